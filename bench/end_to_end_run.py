"""OVN's workload on a whole controller, a real switch and database: what ``end_to_end`` gives as figures.

"Saved" is from when a whole document is moved into place, as editors save; "read" leaves out that it is read
and checked.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.fleets import one_host
from bench.ovn_measure import CLAIMED, EDITED, FLOWS, LOADED, MEMBER, MEMORY, PLUGGED, RESTARTED, Size
from bench.switch_alone import QUIET_S, SwitchAlone
from support.dummy import DummySwitch, running_dummy_switch
from support.ovsdb_host import free_port
from zonewall.api.control import ask, look
from zonewall.cli.running import SWITCH_S
from zonewall.errors import ControllerUnreachableError
from zonewall.placement.model import BridgeKey
from zonewall.placement.observations import Observation, PortSeen
from zonewall.policy.model import Configuration
from zonewall.reconciler.controller import Controller
from zonewall.reconciler.keeper import BridgeKeeper, InForce
from zonewall.store.options import Options as ControllerOptions
from zonewall.values.names import BridgeName, HostName

HOST, BRIDGE = "hv000", "br-int"
KEY = BridgeKey(HostName(HOST), BridgeName(BRIDGE))
PLUGS = 5
"""So many ports are plugged for each run: it matters where the switch's main loop is just then."""
CLAIMS = 3
"""So many are told whose they are."""
EDITS = 3
"""So many rules and members are changed: the first change of a session takes a turn of the bridge more."""
CALLED = "restarted to settled, bridge and database called"
PATIENCE_S = 120.0
IDLE_S = 0.05


class _Observed(Controller):
    """A controller that notes when its database spoke."""

    def __init__(self, directory: Path, options: ControllerOptions) -> None:
        self.heard: list[tuple[float, Observation]] = []
        super().__init__(directory, options)

    def _observed(self, seen: Observation) -> None:
        self.heard.append((time.monotonic(), seen))
        super()._observed(seen)


@dataclass
class _Running:
    """A controller on a loop and a thread of its own; when its bridge has confirmed each change."""

    controller: _Observed
    loop: asyncio.AbstractEventLoop
    confirmed: list[float] = field(default_factory=list)
    _applied: int = 0
    _is_noted: threading.Event = field(default_factory=threading.Event)

    def note(self, said: InForce) -> None:
        """Take that the bridge is as wanted; where nothing was changed for that, nothing was confirmed."""
        if self.keeper.status.applied > self._applied:
            self._applied = self.keeper.status.applied
            self.confirmed.append(said.at)
            self._is_noted.set()

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
        known = len(self.confirmed)
        self._is_noted.clear()
        work()
        assert self._is_noted.wait(PATIENCE_S)  # who looks again and again takes turns with the controller
        took = (self.confirmed[known] - begin) * 1e3
        self.rest(lambda: not self.keeper.is_pending)
        return took


@contextmanager
def _running(directory: Path, options: ControllerOptions) -> Iterator[_Running]:
    loop = asyncio.new_event_loop()
    running = _Running(_Observed(directory, options), loop)
    running.controller.reconciler.on_in_force.append(running.note)
    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(running.controller.run(stop)))
    thread.start()
    try:
        yield running
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


class Run:
    """One bridge with its ports, and the documents."""

    def __init__(self, folder: Path, size: Size, runs: int) -> None:
        """Work in an empty folder; what is changed is changed ``runs`` times."""
        self._folder, self._size, self._runs = folder, size, runs
        self._directory, self._state = folder / "policies", folder / "state"
        self._directory.mkdir()
        self._openflow, self._ovsdb = free_port(), free_port()
        self._called_bridge, self._called_database = free_port(), free_port()
        self._configuration, _ = one_host(size.endpoints + (PLUGS + CLAIMS) * runs, rules=size.rules)
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
            self._plug(switch, range(self._size.endpoints))
            names = [str(one["name"]) for one in self._ends]
            alone = SwitchAlone(switch, BRIDGE, names, self._size, self._runs).measure()
            with _running(self._directory, options) as one:
                found = self._changes(switch, one)
            found.update(self._restarts())
            self._listen(switch)
            found[CALLED] = self._restarts(is_flushed=True)[RESTARTED]
        return found | alone

    def _changes(self, switch: DummySwitch, one: _Running) -> dict[str, list[float]]:
        switch.vsctl("set-manager", f"tcp:127.0.0.1:{self._ovsdb}")
        one.rest(lambda: len(one.controller.heard) >= self._size.endpoints)
        begin = time.monotonic()
        switch.vsctl("set-controller", BRIDGE, f"tcp:127.0.0.1:{self._openflow}")
        one.until(lambda: len(one.confirmed) and not one.keeper.is_pending)
        found = {LOADED: [(one.confirmed[-1] - begin) * 1e3]}
        found[FLOWS] = [float(one.keeper.status.flows)]
        # A restart is not to wait for the switch's own pauses, which grow to 8 s unless said.
        switch.vsctl("set", "controller", BRIDGE, "max_backoff=1000")
        switch.vsctl("set", "manager", f"tcp:127.0.0.1:{self._ovsdb}", "max_backoff=1000")
        one.rest(lambda: not one.keeper.is_pending)
        for number in range(PLUGS * self._runs):
            self._plugged(switch, one, self._size.endpoints + number, found)
        for number in range(CLAIMS * self._runs):
            self._claimed(switch, one, self._size.endpoints + PLUGS * self._runs + number, found)
        for number in range(EDITS * self._runs):
            self._rules[number]["services"] = [f"tcp/{7 + number}"]
            self._timed(one, EDITED, self._rules_written(), found)
            self._rules[number]["services"] = [f"tcp/{7 + EDITS * self._runs + number}"]
            self._told(one, self._rules_written(), found)
            self._ends[number]["labels"] = {"zone": f"zone{(number + 1) % 20}"}
            self._timed(one, MEMBER, self._inventory_written(), found)
        return found

    def _timed(
        self, one: _Running, what: str, save: Callable[[], object], found: dict[str, list[float]]
    ) -> None:
        """Change a document on disk: from saving it, and from when what was read counts, to in force."""
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
        found.setdefault(f"{what} (read)", []).append(whole - (read[-1] - begin) * 1e3)

    def _told(self, one: _Running, save: Callable[[], object], found: dict[str, list[float]]) -> None:
        """Change a rule on disk and say that it is whole, as SIGHUP does: from saving it to in force."""

        def work() -> None:
            save()
            one.loop.call_soon_threadsafe(one.controller.hurry.read_now)

        begin = time.monotonic()
        found.setdefault(f"{EDITED} (saved, and said so)", []).append(one.changed(begin, work))

    def _plugged(
        self, switch: DummySwitch, one: _Running, number: int, found: dict[str, list[float]]
    ) -> None:
        self._confirmed(one, PLUGGED, lambda: self._plug(switch, range(number, number + 1)), found)

    def _confirmed(
        self, one: _Running, what: str, tell: Callable[[], object], found: dict[str, list[float]]
    ) -> None:
        """Have ovs-vsctl(8) tell of a port: from its start, and from the database's word, to confirmed.

        The word is the one by which it has both an owner and a number; negative: it was in force before.
        """
        begin = time.monotonic()
        heard = len(one.controller.heard)
        whole = one.changed(begin, tell)
        told = one.controller.heard[heard:]
        word = next(at for at, seen in told if isinstance(seen, PortSeen) and seen.ofport is not None)
        found.setdefault(what, []).append(whole)
        word_to = f"{what.partition(', ')[0]}, database's word to confirmed"
        found.setdefault(word_to, []).append(whole - (word - begin) * 1e3)

    def _claimed(
        self, switch: DummySwitch, one: _Running, number: int, found: dict[str, list[float]]
    ) -> None:
        """Tell whose a port is that is there before, as some hypervisors do; do not wait for the switch."""
        name = str(self._ends[number]["name"])
        switch.vsctl("add-port", BRIDGE, name, "--", "set", "interface", name, "type=dummy")
        one.rest(lambda: not one.keeper.is_pending)
        words = ("--no-wait", "set", "interface", name, f"external_ids:iface-id={name}")
        command = ("ovs-vsctl", f"--db=unix:{switch.run_dir}/db.sock", *words)
        running: list[subprocess.Popen[bytes]] = []
        # Who waits for its end, which comes when the controller has just begun, would take turns with it.
        self._confirmed(one, CLAIMED, lambda: running.append(subprocess.Popen(command)), found)
        assert running[0].wait() == 0

    def _listen(self, switch: DummySwitch) -> None:
        """Have bridge and database listen and be called: neither has a pause of its own to wait for.

        Open vSwitch removes all flows of a bridge when its last controller that it connects to goes.
        """
        switch.vsctl("set-manager", f"ptcp:{self._called_database}:127.0.0.1")
        switch.vsctl("set-controller", BRIDGE, f"ptcp:{self._called_bridge}:127.0.0.1")
        self._inventory_written(is_called=True)()

    def _restarts(self, *, is_flushed: bool = False) -> dict[str, list[float]]:
        """Start it as a process of its own, on the bridge as it is.

        The first start is not counted: modules are compiled there, as they are when a package is installed.
        """
        found: dict[str, list[float]] = {}
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(self._folder / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(1 + min(3, self._runs)):
            begin = time.monotonic()
            with self._command(environment) as process:
                status = self._settled()
                found.setdefault(RESTARTED, []).append((time.monotonic() - begin) * 1e3)
                known = ask(self._state / "control.sock", "/status")["endpoints"]
                assert sum(bool(one["places"]) for one in known) >= self._size.endpoints
                sent = status["bridges"][0]["changes_applied"]
                found.setdefault("flows changed by a restart", []).append(float(sent))
                time.sleep(2.0)
                kept = Path(f"/proc/{process.pid}/status").read_text().partition("VmRSS:")[2].split()[0]
                found.setdefault(MEMORY, []).append(int(kept) / 1024)
            if number == 0:
                assert found["flows changed by a restart"] == [0.0] or is_flushed
                found = {}
        return found

    @contextmanager
    def _command(self, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """Give ``zonewall run`` as a process of its own, which is ended afterwards, whatever happens."""
        # setpriv: a measurement that is killed takes it along.
        words = ["setpriv", "--pdeathsig", "KILL", str(Path(sys.executable).with_name("zonewall"))]
        words += ["run", str(self._directory), "--state", str(self._state)]
        words += ["--openflow", f"tcp:127.0.0.1:{self._openflow}", "--ovsdb", f"tcp:127.0.0.1:{self._ovsdb}"]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(words, stdout=quiet, stderr=quiet, env=environment) as process:
            try:
                yield process
            finally:
                process.terminate()

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

    def _inventory_written(self, *, is_called: bool = False) -> Callable[[], object]:
        bridge = {"attachment": "fabric", "datapath-id": f"{0xA1:016x}"}
        host: dict[str, Any] = {"bridges": {BRIDGE: bridge}}
        if is_called:
            bridge["openflow"] = f"tcp:127.0.0.1:{self._called_bridge}"
            host["ovsdb"] = f"tcp:127.0.0.1:{self._called_database}"
        hosts = {HOST: host}
        return self._written("inventory", {"kind": "inventory", "hosts": hosts, "endpoints": self._ends})

    def _rules_written(self) -> Callable[[], object]:
        zones = {f"zone{number}": {"labels": {"zone": f"zone{number}"}} for number in range(20)}
        tiers = [{"name": "application", "rules": self._rules}]
        return self._written("acme", {"kind": "tenant", "tenant": "acme", "zones": zones, "tiers": tiers})

    def _written(self, name: str, document: dict[str, Any]) -> Callable[[], object]:
        """Write a document beside its place, as editors do; return what puts it there."""
        new = self._directory / f".{name}.new"
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
