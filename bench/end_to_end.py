"""OVN's workload end to end: a whole controller, a real switch and database, 1,000 endpoints, 5,000 rules.

Beside each figure stands what was recorded for OVN 23.03 on a machine of two cores (docs/benchmarks.md).
"Saved" is from the document on disk, written as people write it; "read" leaves out the reading of documents.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.bare_client import BareClient
from bench.fleets import one_host
from bench.harness import Figure, Options
from bench.programming import FREED_S, some_flows
from support.dummy import DummySwitch, running_dummy_switch
from support.ovsdb_host import free_port
from zonewall.api.control import ask, look
from zonewall.cli.verb_run import SWITCH_S
from zonewall.errors import ControllerUnreachableError
from zonewall.flows.wire import encode_program, flow_mod_body
from zonewall.placement.model import BridgeKey
from zonewall.policy.model import Configuration
from zonewall.reconciler.controller import Controller
from zonewall.reconciler.keeper import BridgeKeeper
from zonewall.store.options import Options as ControllerOptions
from zonewall.values.names import BridgeName, HostName

ENDPOINTS, HOST, BRIDGE = 1_000, "hv000", "br-int"
KEY = BridgeKey(HostName(HOST), BridgeName(BRIDGE))
HELD, PLUGGED = 23_000, 25
"""Flows of the whole workload, and of one endpoint."""
PATIENCE_S = 120.0
IDLE_S = 0.05
QUIET_S = 0.7
"""Longer than rows stay for cached decisions (decision 0011): nothing follows what was confirmed before."""
OVN = {
    "connected to all in force": (30_300.0, 30),
    "a rule changed (saved)": (227.0, 20),
    "a rule changed (read)": (227.0, 20),
    "a port plugged, ovs-vsctl included": (494.0, 25),
    "a zone's member changed (saved)": (681.0, 30),
    "a zone's member changed (read)": (681.0, 30),
    "restarted to settled": (29_600.0, 30),
    "resident memory": (1_102.0, None),
}
"""Recorded milliseconds (memory: MB) of OVN, and how many times faster is asked for."""
ABSOLUTE = {
    "a port plugged, database's word to confirmed": 5.0,
    "resident memory": 150.0,
    "flows changed by a restart": 0.0,
}
"""Targets that are no multiple of OVN's: ms, MiB, changes."""


def figures(options: Options) -> Iterator[Figure]:
    """Yield medians, each beside OVN's recorded one."""
    with tempfile.TemporaryDirectory() as folder:
        found = _Run(Path(folder), options.slow(options.runs)).measure()
    for what, samples in found.items():
        theirs, times = OVN.get(what, (None, None))
        target = theirs / times if theirs and times else None
        unit = "MiB" if what == "resident memory" else "flows" if what.startswith("flows") else "ms"
        target = ABSOLUTE.get(what, target)
        note = "OVN's value is a recorded one" if theirs else ""
        yield Figure(
            f"end_to_end/{what}", unit, tuple(samples), "OVN" if theirs else "", theirs, target, note
        )


class _Observed(Controller):
    """A controller that notes when its database spoke."""

    def __init__(self, directory: Path, options: ControllerOptions) -> None:
        self.heard: list[float] = []
        super().__init__(directory, options)

    def _observed(self, seen: Any) -> None:
        self.heard.append(time.monotonic())
        super()._observed(seen)


@dataclass
class _Running:
    """A controller on a loop and a thread of its own; each word of a bridge in force with its time."""

    controller: _Observed
    loop: asyncio.AbstractEventLoop
    confirmed: list[float] = field(default_factory=list)

    @property
    def keeper(self) -> BridgeKeeper:
        return self.controller.reconciler.keepers[KEY]

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, self.controller.status()
            time.sleep(0.001)

    def rest(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds and the controller has had nothing to do since a moment."""
        self.until(condition)
        used = -1.0
        while time.process_time() - used > IDLE_S:
            used = time.process_time()
            time.sleep(QUIET_S)
        self.until(condition)

    def changed(self, begin: float, work: Callable[[], object]) -> float:
        """Return the milliseconds from ``begin`` until the flows that the work changes are confirmed."""
        applied, known = self.keeper.status.applied, len(self.confirmed)
        work()
        self.until(lambda: self.keeper.status.applied > applied and len(self.confirmed) > known)
        took = (self.confirmed[known] - begin) * 1e3
        self.rest(lambda: not self.keeper.is_pending)
        return took


@contextmanager
def _running(directory: Path, options: ControllerOptions) -> Iterator[_Running]:
    loop = asyncio.new_event_loop()
    running = _Running(_Observed(directory, options), loop)
    running.controller.reconciler.on_in_force.append(lambda said: running.confirmed.append(said.at))
    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(running.controller.run(stop)))
    thread.start()
    try:
        yield running
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


class _Run:
    """One bridge with its ports, and the documents."""

    def __init__(self, folder: Path, runs: int) -> None:
        self._folder, self._runs = folder, runs
        self._directory, self._state = folder / "policies", folder / "state"
        self._directory.mkdir()
        self._openflow, self._ovsdb = free_port(), free_port()
        self._configuration, _ = one_host(ENDPOINTS + self._runs)
        self._ends = [_endpoint(one) for one in self._configuration.inventory.endpoints.values()]
        self._rules = [_rule(one) for one in next(iter(self._configuration.tenants.values())).tiers[0].rules]

    def measure(self) -> dict[str, list[float]]:
        """Return the samples by what they are of; threads take turns as they do in the command."""
        sys.setswitchinterval(SWITCH_S)
        self._inventory_written()()
        self._rules_written()()
        options = ControllerOptions(
            openflow=(f"tcp:127.0.0.1:{self._openflow}",),
            ovsdb=(f"tcp:127.0.0.1:{self._ovsdb}",),
            state=self._state,
        )
        with running_dummy_switch(self._folder / "switch", HOST) as switch:
            switch.add_bridge(BRIDGE, datapath_id=0xA1)
            self._plug(switch, range(ENDPOINTS))
            alone = [self._alone(switch) for _ in range(self._runs)]
            unwaited = [self._unwaited(switch) for _ in range(self._runs)]
            least = self._least(switch)
            with _running(self._directory, options) as one:
                found = self._changes(switch, one)
            found.update(self._restarts())
        found["a port plugged by ovs-vsctl, nobody connected"] = alone
        found["ovs-vsctl itself, not waiting for the switch"] = unwaited
        found["a port plugged, database's word to a ready bundle confirmed"] = least
        return found

    def _alone(self, switch: DummySwitch) -> float:
        """Return how long ovs-vsctl(8) takes by itself for one port more: the switch looks at all of them."""
        begin = time.monotonic()
        self._plug(switch, range(ENDPOINTS, ENDPOINTS + 1))
        took = (time.monotonic() - begin) * 1e3
        switch.del_port(BRIDGE, str(self._ends[ENDPOINTS]["name"]))
        return took

    def _unwaited(self, switch: DummySwitch) -> float:
        """Return how long ovs-vsctl(8) takes to write down whose a port is."""
        name = str(self._ends[0]["name"])
        begin = time.monotonic()
        switch.vsctl("--no-wait", "set", "interface", name, f"external_ids:iface-id={name}")
        took = (time.monotonic() - begin) * 1e3
        time.sleep(QUIET_S)
        return took

    def _least(self, switch: DummySwitch) -> list[float]:
        """Return how long the switch itself takes, holding as many flows, with one bundle for a port."""
        bodies = [
            flow_mod_body(flow)
            for flow in encode_program(some_flows(HELD + self._runs * PLUGGED)).flows.values()
        ]
        client = BareClient(switch.run_dir, BRIDGE)
        client.put(bodies[:HELD])
        found = []
        for number in range(self._runs):
            time.sleep(QUIET_S)
            port = range(ENDPOINTS + number, ENDPOINTS + number + 1)
            plugging = threading.Thread(target=self._plug, args=(switch, port))
            begin = HELD + number * PLUGGED
            found.append(client.plugged(plugging.start, 1 + number, bodies[begin : begin + PLUGGED]))
            plugging.join()
            switch.del_port(BRIDGE, str(self._ends[ENDPOINTS + number]["name"]))
        client.close()
        switch.ofctl("del-flows", BRIDGE)
        time.sleep(FREED_S)
        return found

    def _changes(self, switch: DummySwitch, one: _Running) -> dict[str, list[float]]:
        switch.vsctl("set-manager", f"tcp:127.0.0.1:{self._ovsdb}")
        one.rest(lambda: len(one.controller.heard) >= ENDPOINTS)
        begin = time.monotonic()
        switch.vsctl("set-controller", BRIDGE, f"tcp:127.0.0.1:{self._openflow}")
        one.until(lambda: len(one.confirmed) and not one.keeper.is_pending)
        found = {"connected to all in force": [(one.confirmed[-1] - begin) * 1e3]}
        found["flows"] = [float(one.keeper.status.flows)]
        # A restart is not to wait for the switch's own pauses, which grow to 8 s unless said.
        switch.vsctl("set", "controller", BRIDGE, "max_backoff=1000")
        switch.vsctl("set", "manager", f"tcp:127.0.0.1:{self._ovsdb}", "max_backoff=1000")
        one.rest(lambda: not one.keeper.is_pending)
        for number in range(self._runs):
            self._plugged(switch, one, ENDPOINTS + number, found)
        for number in range(self._runs):
            self._rules[number]["services"] = [f"tcp/{7 + number}"]
            self._timed(one, "a rule changed", self._rules_written(), found)
            self._ends[number]["labels"] = {"zone": f"zone{(number + 1) % 20}"}
            self._timed(one, "a zone's member changed", self._inventory_written(), found)
        return found

    def _timed(
        self, one: _Running, what: str, save: Callable[[], object], found: dict[str, list[float]]
    ) -> None:
        """Change a document on disk: from saving it, and from when it had been read, to in force."""
        read: list[float] = []
        reconciler = one.controller.reconciler
        amend = reconciler.amend

        def noted(configuration: Configuration) -> Configuration:
            read.append(time.monotonic())
            return amend(configuration)

        reconciler.amend = noted
        begin = time.monotonic()
        whole = one.changed(begin, save)
        reconciler.amend = amend
        found.setdefault(f"{what} (saved)", []).append(whole)
        found.setdefault(f"{what} (read)", []).append(whole - (read[0] - begin) * 1e3)

    def _plugged(
        self, switch: DummySwitch, one: _Running, number: int, found: dict[str, list[float]]
    ) -> None:
        begin = time.monotonic()
        heard = len(one.controller.heard)
        whole = one.changed(begin, lambda: self._plug(switch, range(number, number + 1)))
        confirmed_at = begin + whole / 1e3
        word = max(at for at in one.controller.heard[heard:] if at < confirmed_at)
        found.setdefault("a port plugged, ovs-vsctl included", []).append(whole)
        found.setdefault("a port plugged, database's word to confirmed", []).append(
            (confirmed_at - word) * 1e3
        )

    def _restarts(self) -> dict[str, list[float]]:
        """Start it as a process of its own, on the bridge as it is.

        The first start is not counted: modules are compiled there, as they are when a package is installed.
        """
        found: dict[str, list[float]] = {}
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(self._folder / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(1 + min(3, self._runs)):
            words = ["run", str(self._directory), "--state", str(self._state)]
            words += ["--openflow", f"tcp:127.0.0.1:{self._openflow}"]
            words += ["--ovsdb", f"tcp:127.0.0.1:{self._ovsdb}"]
            command = Path(sys.executable).with_name("zonewall")
            begin = time.monotonic()
            with subprocess.Popen(
                [str(command), *words],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
            ) as process:
                status = self._settled()
                found.setdefault("restarted to settled", []).append((time.monotonic() - begin) * 1e3)
                known = ask(self._state / "control.sock", "/status")["endpoints"]
                assert sum(bool(one["places"]) for one in known) >= ENDPOINTS
                sent = status["bridges"][0]["changes_applied"]
                found.setdefault("flows changed by a restart", []).append(float(sent))
                time.sleep(2.0)
                kept = Path(f"/proc/{process.pid}/status").read_text().partition("VmRSS:")[2].split()[0]
                found.setdefault("resident memory", []).append(int(kept) / 1024)
                process.terminate()
            if number == 0:
                assert found["flows changed by a restart"] == [0.0]
                found = {}
        return found

    def _settled(self) -> dict[str, Any]:
        """Wait until all is in force; what is asked often is not to cost the controller much."""
        control = self._state / "control.sock"
        deadline = time.monotonic() + PATIENCE_S
        bridges: dict[str, Any] = {}
        while time.monotonic() < deadline:
            with suppress(ControllerUnreachableError):
                bridges = look(control, "bridges")
                if all(one["state"] == "in-force" and not one["pending"] for one in bridges["bridges"]):
                    return bridges
            time.sleep(0.01)
        raise AssertionError(str(bridges)[:500])

    def _plug(self, switch: DummySwitch, numbers: range) -> None:
        words: list[str] = []
        for number in numbers:
            name = str(self._ends[number]["name"])
            words += ["--", "add-port", BRIDGE, name, "--", "set", "interface", name, "type=dummy"]
            words += [f"external_ids:iface-id={name}"]
        switch.vsctl(*words[1:])

    def _inventory_written(self) -> Callable[[], object]:
        hosts = {HOST: {"bridges": {BRIDGE: {"attachment": "fabric", "datapath-id": f"{0xA1:016x}"}}}}
        return self._written("inventory", {"kind": "inventory", "hosts": hosts, "endpoints": self._ends})

    def _rules_written(self) -> Callable[[], object]:
        zones = {f"zone{number}": {"labels": {"zone": f"zone{number}"}} for number in range(20)}
        tiers = [{"name": "application", "rules": self._rules}]
        return self._written("acme", {"kind": "tenant", "tenant": "acme", "zones": zones, "tiers": tiers})

    def _written(self, name: str, document: dict[str, Any]) -> Callable[[], object]:
        """Write a document beside its place; return what puts it there."""
        new = self._folder / "new"
        new.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False))
        return lambda: new.replace(self._directory / f"{name}.yaml")


def _endpoint(one: Any) -> dict[str, Any]:
    mac = ":".join(f"{octet:02x}" for octet in one.mac.to_bytes(6, "big"))
    ips = [str(ip) for ip in one.ips]
    made = {"name": one.name, "tenant": "acme", "iface-id": one.name, "mac": mac, "ips": ips}
    return {**made, "labels": dict(one.labels)}


def _rule(one: Any) -> dict[str, Any]:
    ((first, last),) = one.services[0].ports
    ends = {"from": one.sources[0].zone, "to": one.destinations[0].zone}
    return {"name": one.name, **ends, "services": [f"tcp/{first}-{last}"], "action": "allow"}
