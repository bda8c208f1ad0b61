"""A migration in a fleet of 50 hosts: from the first announcement to the first packet at the destination.

Two hosts are real ones of the lab: namespaces, each with its own Open vSwitch and database; packets flow
every millisecond. The other 48 are databases of their own and bridges on one switch with the dummy datapath,
which take every flow; their endpoints are where their databases say. Needs root, as the lab does.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from topologies.frames import Capture, rarp
from topologies.lab import Host, Lab, Machine
from topologies.namespace import Process, command, start_process

from bench.harness import Figure, Options

HOSTS, ENDPOINTS, TENANTS = 50, 5_000, 10
HOSTS_OF_A_TENANT = 10
BRIDGE = "br-int"
ZONEWALL = Path(__file__).resolve().parents[1] / ".venv" / "bin" / "zonewall"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
READY_S = 900.0
EVERY_S = 0.001
PATIENCE_S = 20.0


def figures(options: Options) -> Iterator[Figure]:
    """Yield the figures of this group."""
    with tempfile.TemporaryDirectory(prefix="zonewall-bench-") as folder, Lab() as lab, ExitStack() as stack:
        fleet = FarFleet(lab, Path(folder), stack)
        site = Site(lab, Path(folder), fleet)
        site.start()
        gaps = [site.move(round_) for round_ in range(options.runs * 4)]
    name = f"migration/{HOSTS} hosts, {ENDPOINTS:,} endpoints"
    yield Figure(f"{name}: first announcement to first packet there", "ms", tuple(gaps), target=10.0)
    worst = sorted(gaps)[min(len(gaps) - 1, round(len(gaps) * 0.99))]
    yield Figure(f"{name}: 99th percentile", "ms", (worst,), target=50.0)


class FarFleet:
    """Hosts without machines: a database each, and a bridge that takes flows."""

    def __init__(self, lab: Lab, folder: Path, stack: ExitStack) -> None:
        """Start the switch; the databases follow with ``join``."""
        self.names = [f"far{number:02}" for number in range(HOSTS - 2)]
        self._lab, self._folder = lab, folder
        self._env = dict.fromkeys(("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"), str(folder / "switch"))
        (folder / "switch").mkdir()
        command("ovsdb-tool", "create", str(folder / "switch" / "conf.db"), SCHEMA)
        self._processes = [self._database("switch", self._env), self._switch()]
        stack.callback(self._stop)

    def datapath_id(self, number: int) -> str:
        """Return the datapath id of a far host's bridge."""
        return f"{0xF000 + number:016x}"

    def join(self, placed: dict[str, list[dict[str, Any]]], address: str) -> None:
        """Start every database with its ports, and point databases and bridges at the controller."""
        for number, name in enumerate(self.names):
            words = ["add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "fail_mode=secure"]
            words += [f'datapath_id="{self.datapath_id(number)}"']
            for at, endpoint in enumerate(placed[name], 1):
                port = f"p{at}"
                words += ["--", "add-port", BRIDGE, port, "--", "set", "interface", port, f"ofport={at}"]
                words += [f'external_ids:iface-id="{endpoint["iface-id"]}"']
            env = dict.fromkeys(("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"), str(self._folder / name))
            (self._folder / name).mkdir()
            command("ovsdb-tool", "create", str(self._folder / name / "conf.db"), SCHEMA)
            self._processes.append(self._database(name, env))
            self._vsctl(name, "init", "--", "set", "Open_vSwitch", ".", f"external_ids:system-id={name}")
            self._vsctl(name, *words)
            self._vsctl(name, "set-manager", f"tcp:{address}:6640")
        words = []
        for number, name in enumerate(self.names):
            words += ["--", "add-br", name, "--", "set", "bridge", name, "datapath_type=dummy"]
            words += ["fail_mode=secure", "protocols=OpenFlow15", "other_config:disable-in-band=true"]
            words += [f"other_config:datapath-id={self.datapath_id(number)}"]
            words += ["--", "set-controller", name, f"tcp:{address}:6653"]
        self._vsctl("switch", *words)

    def _vsctl(self, name: str, *words: str) -> None:
        command("ovs-vsctl", "--no-wait", f"--db=unix:{self._folder / name / 'db.sock'}", *words)

    def _database(self, name: str, env: dict[str, str]) -> Process:
        folder = self._folder / name
        process = self._spawn(
            env, "ovsdb-server", str(folder / "conf.db"), f"--remote=punix:{folder}/db.sock",
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options", "--no-chdir",
            f"--pidfile={folder}/db.pid",
        )  # fmt: skip
        _await(folder / "db.sock")
        return process

    def _switch(self) -> Process:
        folder = self._folder / "switch"
        command("ovs-vsctl", "--no-wait", f"--db=unix:{folder}/db.sock", "init")
        return self._spawn(
            self._env, "ovs-vswitchd", f"unix:{folder}/db.sock", "--enable-dummy=override",
            "--disable-system", "--disable-system-route",
            "--no-chdir", f"--pidfile={folder}/vswitchd.pid", "-vconsole:off",
        )  # fmt: skip

    def _spawn(self, env: dict[str, str], *words: str) -> Process:
        inside = ("ip", "netns", "exec", self._lab.controller.name)
        return start_process(self._lab.ledger, *inside, *words, env={**os.environ, **env})

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.stop()


class Site:
    """The two real hosts, the controller, and the machine that moves."""

    def __init__(self, lab: Lab, folder: Path, far: FarFleet) -> None:
        """Make the real hosts and their machines."""
        self._lab, self._folder, self._far = lab, folder, far
        self._hosts: list[Host] = [lab.host(name) for name in ("near0", "near1")]
        lab.link(*self._hosts, names=("fab0", "fab0"))
        self._machine: Machine = lab.machine("mover", "52:54:00:ff:00:01", ("10.255.0.1/16",))
        self._peer: Machine = lab.machine("peer", "52:54:00:ff:00:02", ("10.255.0.2/16",))

    def start(self) -> None:
        """Bring everything into force."""
        endpoints, placed = self._endpoints()
        documents = self._folder / "policies"
        documents.mkdir()
        (documents / "inventory.yaml").write_text(json.dumps(self._inventory(endpoints)))
        for number in range(TENANTS):
            (documents / f"t{number}.yaml").write_text(json.dumps(_policy(f"t{number}")))
        address = self._lab.controller_address
        self._controller = self._lab.controller.start(
            str(ZONEWALL), "run", str(documents), "--state", str(self._folder / "state"), "--allow-plain",
            "--openflow", f"tcp:{address}:6653", "--ovsdb", f"tcp:{address}:6640",
        )  # fmt: skip
        for host in self._hosts:
            host.set_manager(f"tcp:{address}:6640")
            host.set_controller(f"tcp:{address}:6653")
        self._far.join(placed, address)
        self._machine.plug(self._hosts[0])
        self._peer.plug(self._hosts[0])
        self._until({"near0": "active"}, READY_S)

    def move(self, round_: int) -> float:
        """Move the machine to the other real host; return the milliseconds until a packet arrives there."""
        origin, target = self._hosts[round_ % 2], self._hosts[1 - round_ % 2]
        self._machine.plug(target)
        self._until({origin.short_name: "active", target.short_name: "pending"})
        with Capture(self._lab.panel, self._machine.leg(target)) as there:
            packets = self._peer.start(
                "ping", "-n", "-q", "-i", str(EVERY_S), "-W", "1", self._machine.ips[0]
            )
            time.sleep(0.3)
            there.drain()
            there.frames.clear()
            announced = time.monotonic()
            self._machine.send_at(target, [rarp(self._machine.mac)])
            found = there.wait_for(lambda frame: frame[12:14] == b"\x08\x00", PATIENCE_S)
            arrived = time.monotonic()
            packets.stop()
        if found is None:
            raise RuntimeError(f"nothing arrived in {PATIENCE_S} s:\n{self._controller.output()[-2000:]}")
        self._machine.hand_over(target)
        self._machine.unplug(origin)
        self._until({target.short_name: "active"})
        return (arrived - announced) * 1000

    def _endpoints(self) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
        """Return all endpoints, and those of the far hosts by host; a tenant is on some hosts, t0 on all."""
        endpoints: list[dict[str, Any]] = [
            {"name": machine.short_name, "tenant": "t0", "iface-id": machine.short_name, "mac": machine.mac,
             "ips": [machine.ips[0]], "labels": {"role": "web"}}
            for machine in (self._machine, self._peer)
        ]  # fmt: skip
        names = self._far.names
        placed: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for number in range(ENDPOINTS - len(endpoints)):
            tenant = number % TENANTS
            mine = names if tenant == 0 else names[tenant * 4 : tenant * 4 + HOSTS_OF_A_TENANT]
            one = {
                "name": f"vm{number}", "tenant": f"t{tenant}", "iface-id": f"vm{number}",
                "mac": f"52:54:01:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
                "ips": [f"10.{number >> 8}.{number & 255}.1"],
                "labels": {"role": ("web", "db")[number // 10 % 2]},
            }  # fmt: skip
            endpoints.append(one)
            placed[mine[number // TENANTS % len(mine)]].append(one)
        return endpoints, placed

    def _inventory(self, endpoints: list[dict[str, Any]]) -> dict[str, Any]:
        hosts: dict[str, Any] = {host.short_name: host.inventory() for host in self._hosts}
        for number, name in enumerate(self._far.names):
            bridge = {"attachment": "fabric", "datapath-id": self._far.datapath_id(number)}
            hosts[name] = {"bridges": {BRIDGE: bridge}}
        return {"kind": "inventory", "hosts": hosts, "endpoints": endpoints}

    def _until(self, places: dict[str, str], patience_s: float = 60.0) -> None:
        """Wait until the machine is there and every bridge has what is wanted of it."""
        deadline = time.monotonic() + patience_s
        wanted = {f"{host}/{BRIDGE}": state for host, state in places.items()}
        while time.monotonic() < deadline:
            status = _status(self._folder / "state" / "control.sock")
            known = next((one for one in status.get("endpoints", ()) if one["endpoint"] == "t0/mover"), None)
            here = {one["bridge"]: one["state"] for one in known["places"]} if known else {}
            busy = [one for one in status.get("bridges", ()) if one["state"] != "in-force" or one["pending"]]
            if here == wanted and not busy:
                return
            time.sleep(0.5)
        raise RuntimeError(f"not in force after {patience_s} s:\n{self._controller.output()[-2000:]}")


def _status(control: Path) -> dict[str, Any]:
    from zonewall.api.control import ask
    from zonewall.errors import ControllerUnreachableError

    try:
        return ask(control, "/status")
    except ControllerUnreachableError:
        return {}


def _policy(tenant: str) -> dict[str, Any]:
    rules: list[dict[str, Any]] = [
        {
            "name": f"r{number}",
            "from": "web",
            "to": "db",
            "services": [f"tcp/{5000 + number}"],
            "action": "allow",
        }
        for number in range(20)
    ]
    ping = {"name": "ping", "from": "any", "to": "any", "services": ["icmp/echo-request"], "action": "allow"}
    zones = {role: {"labels": {"role": role}} for role in ("web", "db")}
    tier = {"name": "t", "rules": [*rules, ping]}
    return {"kind": "tenant", "tenant": tenant, "zones": zones, "tiers": [tier]}


def _await(path: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"{path} does not answer")
