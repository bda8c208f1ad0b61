"""Neighbour discovery tells its hearers where an address is: nobody asks or answers as another one."""

from __future__ import annotations

import pytest

from support.compiled import FIRST, OUTSIDE_MAC, UPLINKS, CompiledFleet, Port
from support.solicitations import (
    ACME,
    ALL_ROUTERS,
    ASKS,
    MACS,
    OTHER,
    OWN,
    ROUTER,
    UNSPECIFIED,
    VICTIMS,
    at_uplink,
    shop,
    solicits,
)
from zonewall.flows.simulate.packet import Packet
from zonewall.values.addresses import MacAddress, link_local_address
from zonewall.values.names import EndpointKey


def local(fleet: CompiledFleet, port: Port, frame: Packet) -> list[Port]:
    """Return whom of the endpoints a frame reaches."""
    return sorted(at for at, _ in fleet.send(port, frame).arrived if at[1] not in UPLINKS)


@pytest.mark.parametrize("source", [OWN, UNSPECIFIED, str(link_local_address(MacAddress(MACS[ASKS])))])
@pytest.mark.parametrize("to", [ALL_ROUTERS, VICTIMS])
def test_who_asks_for_routers_as_itself_is_heard_by_all(source: str, to: str) -> None:
    fleet = CompiledFleet(shop())
    frame = solicits(source, MACS[ASKS], to=to)

    others = sorted(fleet.places[key] for key in (OTHER, ROUTER))
    assert local(fleet, fleet.places[ASKS], frame) == others


@pytest.mark.parametrize("source", [VICTIMS, "fd00::99", str(link_local_address(MacAddress(MACS[OTHER])))])
@pytest.mark.parametrize("sender", [ASKS, ROUTER])
@pytest.mark.parametrize("kind", [133, 135])
def test_nobody_asks_with_an_address_that_is_not_its_own(sender: EndpointKey, source: str, kind: int) -> None:
    fleet = CompiledFleet(shop())
    target = OWN if sender == ROUTER else "fd00::3"
    frame = solicits(source, MACS[sender], kind=kind, target=target)

    assert fleet.send(fleet.places[sender], frame).arrived == []


@pytest.mark.parametrize("kind", [133, 135])
@pytest.mark.parametrize("source", [VICTIMS, "2001:db8::1", "fe80::99"])
def test_from_outside_only_a_listed_router_asks_with_an_endpoints_address(kind: int, source: str) -> None:
    for routers in ((), (MacAddress(OUTSIDE_MAC),)):
        fleet = at_uplink(routers)
        asks = solicits(source, OUTSIDE_MAC, kind=kind, target=OWN, vlans=(fleet.vlans[ACME],))
        heard = sorted(fleet.places.values()) if kind == 133 else [fleet.places[ASKS]]
        forged = source == VICTIMS and not routers
        assert local(fleet, (FIRST, UPLINKS[0]), asks) == ([] if forged else heard)
