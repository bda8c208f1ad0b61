"""OVN's own sequence for a port that is on two hosts, step by step, on three real hosts.

In two steps zonewall does otherwise, and its tests say so: OVN delivers to both places until the migration is
over and lets the old one speak; here an endpoint is at one place at each moment, and from the announcement on
that is the new one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_interface
from typing import Any

import pytest
from topologies.frames import Capture, gratuitous_arp, rarp, unsolicited_advertisement
from topologies.lab import Lab, Machine

from conformance.case import directory
from support.asked import is_in_force
from support.packets import build
from support.raw_probes import ip_packet, send
from support.service_frames import eventually
from support.site import Site

pytestmark = pytest.mark.net
MACHINES = {
    "migrator": ("hv1", "02:00:00:00:00:10", ("10.0.0.10/24", "fd10::10/64")),
    "first": ("hv1", "02:00:00:00:00:01", ("10.0.0.1/24",)),
    "second": ("hv2", "02:00:00:00:00:02", ("10.0.0.2/24",)),
    "outside": ("hv3", "02:00:00:00:00:03", ("10.0.0.3/24",)),
}
OTHERWISE = {11: {"hv2/migrator"}, 12: set[str]()}
"""Who receives where zonewall differs, by the number of the step."""

ARRIVING_S = 0.3


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Lab() as lab:
        made = Site(lab)
        made.hosts = {name: lab.host(name) for name in ("hv1", "hv2", "hv3")}
        hv1, hv2, hv3 = made.hosts.values()
        lab.link(hv1, hv2)
        lab.link(hv2, hv3)
        rule = {"name": "all", "from": "any", "to": "any", "services": ["udp/9"], "action": "allow"}
        endpoints = [
            {"name": name, "tenant": "acme", "iface-id": name, "mac": mac,
             "ips": [str(ip_interface(one).ip) for one in ips]}
            for name, (_, mac, ips) in MACHINES.items()
        ]  # fmt: skip
        hosts = {name: host.inventory() for name, host in made.hosts.items()}
        made.put(
            inventory={"kind": "inventory", "hosts": hosts, "endpoints": endpoints},
            acme={"kind": "tenant", "tenant": "acme", "tiers": [{"name": "t", "rules": [rule]}]},
        )
        made.start()
        made.join(*made.hosts.values())
        for name, (host, mac, ips) in MACHINES.items():
            made.machines[name] = lab.machine(name, mac, ips)
            made.machines[name].plug(made.hosts[host])
        made.wait_for(lambda status: len(status["links"]) == 2 and is_in_force(status))
        yield made


class Sequence:
    """One migration from hv1 to hv2, announced by one kind of frame."""

    def __init__(self, site: Site, kind: str, stack: ExitStack) -> None:
        self.site, self.kind = site, kind
        self.migrator = site.machines["migrator"]
        self.places: dict[str, Capture] = {}
        for host in ("hv1", "hv2"):
            leg = self.migrator.leg(site.hosts[host])
            self.places[f"{host}/migrator"] = stack.enter_context(Capture(site.lab.panel, leg))
        for name, (host, _, _) in MACHINES.items():
            if name != "migrator":
                self.places[f"{host}/{name}"] = stack.enter_context(site.machines[name].capture())

    def receivers(self, frame: bytes, wanted: set[str]) -> set[str]:
        """Return who has received a frame, once those that should have, and others could have, too."""
        eventually(lambda: all(frame in self.places[place].drain() for place in wanted))
        time.sleep(ARRIVING_S)
        return {place for place, capture in self.places.items() if frame in capture.drain()}

    def deliver(self, what: str, number: int, wanted: set[str]) -> set[str]:
        words = [word.partition("(")[0].strip() for word in what.split("->")]
        host, _, name = words[0].rpartition("/")
        source, destination = self.site.machines[name], self.site.machines[words[1].partition(" ")[0]]
        frame = build(ip_packet(source, destination, "udp", 9, sport=20000 + number))
        self._send(source, host, frame)
        return self.receivers(frame, wanted)

    def activate(self, wanted: set[str]) -> set[str]:
        mac = self.migrator.mac
        frame = {
            "rarp": rarp(mac),
            "garp": gratuitous_arp(mac, "10.0.0.10"),
            "na": unsolicited_advertisement(mac, "fd10::10"),
        }[self.kind]
        self.migrator.send_at(self.site.hosts["hv2"], [frame])
        # Whatever it announced itself by, the others hear where its MAC is now.
        return self.receivers(rarp(mac), wanted) - {"hv1/migrator"}

    def states(self) -> dict[str, str]:
        return self.site.places("acme/migrator")

    def _send(self, source: Machine, host: str, frame: bytes) -> None:
        if source is self.migrator:
            source.send_at(self.site.hosts[host], [frame])
        else:
            send(source, [frame])


@contextmanager
def waiting(site: Site) -> Iterator[None]:
    """The migrator on hv1, and its second port on hv2; afterwards it is on hv1 alone."""
    migrator, hv1, hv2 = site.machines["migrator"], site.hosts["hv1"], site.hosts["hv2"]
    until(site, {"hv1": "active"})
    migrator.plug(hv2)
    until(site, {"hv1": "active", "hv2": "pending"})
    yield
    until(site, {"hv2": "active"})
    migrator.plug(hv1)
    until(site, {"hv2": "active", "hv1": "pending"})
    migrator.send_at(hv1, [rarp(migrator.mac)])
    site.wait_for(lambda _: site.places("acme/migrator")["hv1/br-int"] == "active")
    migrator.hand_over(hv1)
    migrator.unplug(hv2)


def until(site: Site, places: dict[str, str]) -> None:
    wanted = {f"{host}/br-int": state for host, state in places.items()}
    site.wait_for(
        lambda status: (
            site.places("acme/migrator") == wanted
            and all(one["state"] == "in-force" and not one["pending"] for one in status["bridges"])
        )
    )


@pytest.mark.parametrize("kind", ["rarp", "garp", "na"])
def test_each_step_of_ovns_sequence_is_received_by_whom_it_says(site: Site, kind: str) -> None:
    case: dict[str, Any] = json.loads(
        (directory() / "ovn" / "migration_activation_sequence.json").read_text()
    )
    done = 0
    with waiting(site), ExitStack() as stack:
        sequence = Sequence(site, kind, stack)
        for step in case["steps"]:
            number, wanted = step["n"], OTHERWISE.get(step["n"], set(step["received_by"] or ()))
            if step["type"] == "deliver":
                assert sequence.deliver(step["what"], number, wanted) == wanted, step
            elif step["type"] == "activate":
                assert sequence.activate(wanted) >= wanted, step
            elif step["type"] == "state":
                state = "pending" if step["note"] == "absent" else "active"
                eventually(lambda state=state: sequence.states()["hv2/br-int"] == state)
                assert sequence.states()["hv2/br-int"] == state, step
            else:
                sequence.migrator.hand_over(site.hosts["hv2"])
                sequence.migrator.unplug(site.hosts["hv1"])
            done += 1
    assert done == 14
