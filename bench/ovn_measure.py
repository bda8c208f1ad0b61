"""OVN on its workload, measured or recorded, under the names of ``end_to_end``'s figures."""

from __future__ import annotations

import functools
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.fleets import one_host
from bench.ovn_host import BRIDGE, OvnHost, missing_programs, running_ovn
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Rule

LOADED = "connected to all in force"
EDITED = "a rule changed"
PLUGGED = "a port plugged, ovs-vsctl included"
CLAIMED = "a port that is there told whose it is, ovs-vsctl included"
MEMBER = "a zone's member changed"
RESTARTED = "restarted to settled"
MEMORY = "resident memory"
FLOWS = "flows"
ALL = (FLOWS, LOADED, EDITED, PLUGGED, MEMBER, RESTARTED, MEMORY)

RECORDED = {
    (500, 1_000): (121_760.0, 2_900.0, 48.0, 66.0, 67.0, 1_600.0, 144.0),
    (1_000, 1_000): (237_260.0, 9_600.0, 81.0, 137.0, 115.0, 4_700.0, 269.0),
    (1_000, 5_000): (1_049_040.0, 30_300.0, 227.0, 494.0, 681.0, 29_600.0, 1_102.0),
}
"""OVN 23.03 on an idle machine of two cores, by ports and rules: flows, milliseconds, MB, as in ``ALL``."""
LONGEST_S = 200.0
"""How long OVN may take for everything at one size."""
SETTLE_S = 0.5


@dataclass(frozen=True)
class Size:
    """How large the workload is."""

    endpoints: int
    rules: int


FULL = Size(1_000, 5_000)


@dataclass(frozen=True)
class Peer:
    """OVN's values: medians of this run as far as it came, recorded ones in their place otherwise.

    Attributes:
        why: why some are not of this run; empty where all are.
    """

    measured: Mapping[str, float]
    recorded: Mapping[str, float]
    why: str

    def value(self, what: str) -> float | None:
        """Return a value, in milliseconds, flows or MiB; None where there is none."""
        return self.measured.get(what, self.recorded.get(what))

    def note(self, what: str) -> str:
        """Return what a reader must know of a value."""
        if what in self.measured:
            return "OVN measured in this run"
        return f"OVN's value is a recorded one: {self.why}" if what in self.recorded else ""


@functools.cache
def peer(size: Size, runs: int) -> Peer:
    """Return what OVN takes for a workload; measured once in a process, however many groups ask."""
    recorded = dict(zip(ALL, RECORDED.get((size.endpoints, size.rules), ()), strict=False))
    missing = missing_programs()
    if missing:
        return Peer({}, recorded, f"{', '.join(missing)} not installed")
    found: dict[str, list[float]] = {}
    why = ""
    try:
        with tempfile.TemporaryDirectory() as folder, running_ovn(Path(folder), LONGEST_S) as host:
            for what, value in _Workload(host, size, runs).measure():
                found.setdefault(what, []).append(value)
    except (subprocess.SubprocessError, OSError, AssertionError) as error:
        said = str(error) if isinstance(error, OSError) else type(error).__name__
        why = f"OVN did not come through ({said})"
    return Peer({what: median(values) for what, values in found.items()}, recorded, why)


class _Workload:
    """The ports, groups and access lists, and what is changed about them."""

    def __init__(self, host: OvnHost, size: Size, runs: int) -> None:
        self._host, self._runs = host, runs
        configuration, _ = one_host(size.endpoints + 2 * runs, rules=size.rules)
        (tenant,) = configuration.tenants.values()
        self._rules = tenant.tiers[0].rules
        ends = tuple(configuration.inventory.endpoints.values())
        self._ends, self._late = ends[: size.endpoints], ends[size.endpoints :]

    def measure(self) -> Iterator[tuple[str, float]]:
        """Yield what was measured, as soon as it was."""
        host = self._host
        host.vsctl(*_joined([_plug(one) for one in self._ends]))
        time.sleep(SETTLE_S)
        yield LOADED, self._took("--wait=hv", *self._load())
        # What it does of itself after that (a port's claim is answered late) is in no figure.
        host.nbctl("--wait=hv", "sync")
        yield FLOWS, float(host.flows())
        yield MEMORY, host.resident_mib()
        for number in range(self._runs):
            host.nbctl("--wait=hv", "sync")
            yield EDITED, self._took("--wait=hv", *_acl(len(self._rules) + number, self._rules[number]))
            member = host.nbctl("get", "logical_switch_port", self._ends[number].name, "_uuid")
            group = f"zone{(number + 1) % 20}"
            yield MEMBER, self._took("--wait=hv", "add", "port_group", group, "ports", member)
            yield PLUGGED, self._installed(self._late[number], *_plug(self._late[number]))
            other = self._late[self._runs + number]
            host.vsctl("add-port", BRIDGE, other.name)
            yield CLAIMED, self._installed(other, "--no-wait", *_claim(other))
        yield RESTARTED, self._restarted()

    def _load(self) -> list[str]:
        """Return everything, for one transaction: nothing is worked out anew after each of many."""
        members: dict[str, list[str]] = {}
        calls = [["ls-add", "ls"]]
        for one in (*self._ends, *self._late):
            members.setdefault(str((one.labels or {})["zone"]), []).append(one.name)
            mac = ":".join(f"{octet:02x}" for octet in one.mac.to_bytes(6, "big"))
            addresses = ["lsp-set-addresses", one.name, f"{mac} {one.ips[0]}"]
            calls.append(["lsp-add", "ls", one.name, "--", *addresses])
        calls += [["pg-add", zone, *names] for zone, names in members.items()]
        calls += [_acl(place, rule) for place, rule in enumerate(self._rules)]
        return _joined(calls)

    def _installed(self, one: EndpointDeclaration, *command: str) -> float:
        """Return the time from a command of ovs-vsctl(8) until OVN says that a port's flows are installed."""
        host = self._host
        words = ("wait-until", "interface", one.name, "external_ids:ovn-installed=true")
        with host.vsctl_running(*words) as waiting:
            time.sleep(SETTLE_S)
            begin = time.perf_counter()
            host.vsctl(*command)
            host.output(waiting)
            return (time.perf_counter() - begin) * 1e3

    def _restarted(self) -> float:
        """Return the time from the start of another ``ovn-controller`` until all flows are there."""
        host = self._host
        before = host.flows()
        host.stop_controller()
        begin = time.perf_counter()
        host.start_controller()
        while True:
            host.nbctl("--wait=hv", "sync")
            took = (time.perf_counter() - begin) * 1e3
            if host.flows() >= before:
                return took

    def _took(self, *words: str) -> float:
        begin = time.perf_counter()
        self._host.nbctl(*words)
        return (time.perf_counter() - begin) * 1e3


def _plug(one: EndpointDeclaration) -> list[str]:
    # Without type=dummy, which this switch does not need: OVN works out everything anew for such types.
    return ["add-port", BRIDGE, one.name, "--", *_claim(one)]


def _claim(one: EndpointDeclaration) -> list[str]:
    return ["set", "interface", one.name, f"external_ids:iface-id={one.name}"]


def _joined(calls: list[list[str]]) -> list[str]:
    """Return several calls as one command's words."""
    return [word for call in calls for word in ("--", *call)]


def _acl(place: int, rule: Rule) -> list[str]:
    """Return a rule as an ACL at the destination's port, first rule first."""
    ((first, last),) = rule.services[0].ports
    source, destination = rule.sources[0].zone, rule.destinations[0].zone
    match = (
        f"outport == @{destination} && ip4.src == ${source}_ip4 && tcp.dst >= {first} && tcp.dst <= {last}"
    )
    return ["acl-add", str(destination), "to-lport", str(30_000 - place), match, "allow-related"]
