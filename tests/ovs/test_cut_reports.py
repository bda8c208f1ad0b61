"""On a real switch: what is cut is told once; where more is cut than told, copies of all still leave."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.compiled import SECOND, TARGETS, CompiledFleet
from support.configurations import configure, endpoint, mirror, probe, rule, tenant, tier
from support.dummy import DummySwitch, running_dummy_switch
from support.fragments import big, cut
from support.packets import build
from zonewall.flows.render import render_program
from zonewall.flows.simulate.packet import Packet
from zonewall.pipeline.stages.cut import CUT_METER
from zonewall.pipeline.tables import CUT, PARTED
from zonewall.placement.model import BindingState
from zonewall.policy.model import Configuration
from zonewall.values.names import EndpointKey

pytestmark = pytest.mark.ovs
CLIENT, SERVER = EndpointKey("acme/b"), EndpointKey("acme/d")
MANY = 20


def shop(action: str) -> Configuration:
    """Return four machines of which two are on the second bridge, with a mirror of what is refused, too."""
    ends = [endpoint(f"acme/{name}", f"10.0.0.{number}") for number, name in enumerate("abcd", 1)]
    asked = tier("t", rule("asks", "any", "any", action, services=["udp/53", "sctp/5000"]))
    return configure(*ends, tenant("acme", asked, mirrors=(mirror("all", "any", "any", targets="tap"),)))


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[DummySwitch]:
    with running_dummy_switch(tmp_path) as running:
        running.add_bridge("brB")
        running.add_ports("brB", [1, 2, TARGETS + 1], name="b{}")
        yield running


def load(switch: DummySwitch, fleet: CompiledFleet) -> None:
    """Put the second bridge's flows in force, with a meter that lets one report a second pass."""
    program = fleet.programs[SECOND]
    meters = [
        replace(meter, rate=1, burst=1) if meter.number == CUT_METER else meter for meter in program.meters
    ]
    for command in ("del-flows", "del-meters"):  # connections stay
        switch.ofctl(command, "brB")
    switch.appctl("revalidator/purge")
    switch.load_program("brB", "\n".join(render_program(replace(program, meters=tuple(meters)))))


def connections(fleet: CompiledFleet) -> list[Packet]:
    ends = fleet.addresses(probe(CLIENT, SERVER))
    asked = [probe(CLIENT, SERVER, "udp/53", sport=40000 + number) for number in range(MANY)]
    return [fleet.entering(one, *ends)[1] for one in asked]


@pytest.mark.parametrize("action", ["drop", "reject"])
def test_a_copy_of_each_packet_leaves_whether_its_connections_end_is_told_or_not(
    switch: DummySwitch, action: str
) -> None:
    fleet = CompiledFleet(shop("allow"))
    load(switch, fleet)
    port = fleet.places[CLIENT][1]
    for packet in connections(fleet):
        switch.inject(f"b{port}", build(packet))
    assert len(switch.captured(f"b{fleet.places[SERVER][1]}")) == MANY
    assert len(switch.captured(f"b{TARGETS + 1}")) == MANY

    after = CompiledFleet(shop(action), numbering=fleet.policy.numbering)
    load(switch, after)
    for packet in connections(after):
        switch.inject(f"b{port}", build(packet))
    assert switch.captured(f"b{fleet.places[SERVER][1]}") == []
    assert len(switch.captured(f"b{TARGETS + 1}")) == MANY


def told(switch: DummySwitch) -> int:
    """Return how many packets have come to a flow that tells of a connection's end."""
    switch.appctl("revalidator/purge")
    flows = "".join(switch.ofctl("dump-flows", "brB", f"table={table.number}") for table in (CUT, PARTED))
    return sum(int(found) for found in re.findall(r"n_packets=(\d+),.*controller\(", flows))


def frames(packet: Packet, in_parts: bool) -> list[bytes]:
    return cut(big(packet, 3000)) if in_parts else [build(packet)]


@pytest.mark.parametrize("in_parts", [False, True], ids=["whole", "in fragments"])
@pytest.mark.parametrize("isolated", [None, SERVER], ids=["its rule goes", "its server is isolated"])
def test_a_connection_that_is_cut_is_told_once_whatever_its_datagrams_size(
    switch: DummySwitch, in_parts: bool, isolated: EndpointKey | None
) -> None:
    before = CompiledFleet(shop("allow"))
    load(switch, before)
    port, server = (f"b{before.places[end][1]}" for end in (CLIENT, SERVER))
    packet, other = connections(before)[:2]
    for frame in frames(packet, in_parts):
        switch.inject(port, frame)
    assert len(switch.captured(server)) == len(frames(packet, in_parts))

    states = {} if isolated is None else {isolated: BindingState.QUARANTINED}
    after = CompiledFleet(
        shop("allow" if isolated else "drop"), numbering=before.policy.numbering, states=states
    )
    load(switch, after)
    counts = []
    for one in (other, packet, packet):
        for frame in frames(one, in_parts):
            switch.inject(port, frame)
        counts.append(told(switch))

    assert switch.captured(server) == []
    assert counts == [0, 1, 1]


def test_of_sctp_which_is_known_by_addresses_alone_what_began_is_told_and_no_other_that_is_refused(
    switch: DummySwitch,
) -> None:
    before = CompiledFleet(shop("allow"))
    load(switch, before)
    port, server = (f"b{before.places[end][1]}" for end in (CLIENT, SERVER))
    ends = before.addresses(probe(CLIENT, SERVER))
    began, other = (
        build(before.entering(probe(CLIENT, SERVER, f"sctp/{number}", sport=40000), *ends)[1])
        for number in (5000, 5001)
    )
    switch.inject(port, began)
    assert len(switch.captured(server)) == 1
    switch.inject(port, other)
    assert (switch.captured(server), told(switch)) == ([], 0)

    load(switch, CompiledFleet(shop("drop"), numbering=before.policy.numbering))
    counts = []
    for _ in range(2):
        switch.inject(port, other)
        counts.append(told(switch))
    load(switch, before)
    for frame in (other, began):
        switch.inject(port, frame)
    assert len(switch.captured(server)) == 1
    load(switch, CompiledFleet(shop("drop"), numbering=before.policy.numbering))
    switch.inject(port, began)
    assert [*counts, told(switch)] == [1, 1, 1]
