"""On a real switch: a question of neighbour discovery passes, but never with another one's address."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.compiled import FIRST, OUTSIDE_MAC, UPLINKS, CompiledFleet
from support.dummy import running_dummy_switch
from support.packets import build
from support.solicitations import ACME, ASKS, MACS, OWN, ROUTER, UNSPECIFIED, VICTIMS, at_uplink, solicits
from zonewall.flows.render import render_program
from zonewall.flows.simulate.packet import Packet

pytestmark = pytest.mark.ovs


def frames(fleet: CompiledFleet) -> list[tuple[int, Packet, bool]]:
    """Return by which port each comes in, and whether it may be heard."""
    tag = (fleet.vlans[ACME],)
    found = []
    for kind in (133, 135):
        for source, heard in ((VICTIMS, False), ("fe80::99", True)):
            asks = solicits(source, OUTSIDE_MAC, kind=kind, target=OWN, vlans=tag)
            found.append((UPLINKS[0], asks, heard))
        for source, heard in ((VICTIMS, False), (OWN, True), (UNSPECIFIED, True)):
            asks = solicits(source, MACS[ASKS], kind=kind, target="fd00::3")
            found.append((fleet.places[ASKS][1], asks, heard))
    return found


def test_a_question_with_another_ones_address_is_heard_by_nobody(tmp_path: Path) -> None:
    fleet = at_uplink(())
    ports = [fleet.places[key][1] for key in (ASKS, ROUTER)]
    with running_dummy_switch(tmp_path) as switch:
        switch.add_bridge("brA")
        switch.add_ports("brA", [*ports, UPLINKS[0]], name="a{}")
        switch.load_program("brA", "\n".join(render_program(fleet.programs[FIRST])))
        for entering, asks, heard in frames(fleet):
            switch.inject(f"a{entering}", build(asks))
            there = [bool(switch.captured(f"a{port}")) for port in ports if port != entering]
            assert any(there) is heard, asks
            simulated = fleet.send((FIRST, entering), asks).arrived
            assert there == [
                (FIRST, port) in {at for at, _ in simulated} for port in ports if port != entering
            ]
