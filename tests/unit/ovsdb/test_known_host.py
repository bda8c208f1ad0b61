"""What is told of a host is told a piece at a time, and told again where it may not have been told whole."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from hypothesis import given
from hypothesis import strategies as st

from support.ovsdb_host import declared_hosts
from zonewall.ovsdb import known_host
from zonewall.ovsdb.facts import InterfaceFacts
from zonewall.ovsdb.known_host import TOLD_AT_ONCE, KnownHost
from zonewall.ovsdb.view import LOOKED_AT, BridgeView, HostView, PortView
from zonewall.placement.observations import (
    BridgeGone,
    BridgeSeen,
    Observation,
    PortGone,
    PortSeen,
    SnapshotComplete,
)
from zonewall.values.names import BridgeName, DatapathId, HostName, OfPort

BRIDGE = BridgeName("br0")


def _port(name: str, ofport: int) -> PortView:
    return PortView(InterfaceFacts(name, OfPort(ofport), False, {}, None, "", None, ""), None)


def _view(ports: Mapping[str, int]) -> HostView:
    bridge = BridgeView(DatapathId(7), "", True)
    return HostView({BRIDGE: bridge}, {(BRIDGE, name): _port(name, number) for name, number in ports.items()})


def _joined(view: HostView) -> Generator[None, None, HostView]:
    yield from ()
    return view


def _host() -> KnownHost:
    return KnownHost(declared_hosts("hv1")[HostName("hv1")])


def _told(observations: list[Observation]) -> tuple[set[str], dict[str, int | None]]:
    """Return the bridges and ports that somebody knows of who was told this."""
    bridges: set[str] = set()
    ports: dict[str, int | None] = {}
    for one in observations:
        if isinstance(one, BridgeSeen):
            bridges.add(one.bridge)
        elif isinstance(one, BridgeGone):
            bridges.discard(one.bridge)
        elif isinstance(one, PortSeen):
            ports[one.name] = one.ofport
        elif isinstance(one, PortGone):
            ports.pop(one.name, None)
    return bridges, ports


def test_others_have_their_turn_between_so_many_that_are_told() -> None:
    host, heard, counts = _host(), list[Observation](), list[int]()
    view = _view({f"p{number}": number for number in range(5 * TOLD_AT_ONCE)})
    for _ in host.telling(_joined(view), heard.append, 0.0, first=True):
        counts.append(len(heard))
    pieces = [after - before for before, after in zip([0, *counts], [*counts, len(heard)], strict=True)]
    assert sum(pieces) == 5 * TOLD_AT_ONCE + 2
    assert max(pieces) <= TOLD_AT_ONCE
    assert isinstance(heard[-1], SnapshotComplete)


def test_a_change_among_many_ports_lets_others_have_their_turn_and_tells_no_more_than_that() -> None:
    host, heard = _host(), list[Observation]()
    ports = {f"p{number}": number for number in range(3 * LOOKED_AT)}
    host.view = _view(ports)
    after = _view({**ports, "p7": 1})
    turns = len(list(host.telling(_joined(after), heard.append, 0.0, first=False)))
    assert turns == 2
    assert [(type(one), one.name) for one in heard if isinstance(one, PortSeen)] == [(PortSeen, "p7")]
    assert len(heard) == 1


def test_a_small_change_is_told_at_once() -> None:
    host, heard = _host(), list[Observation]()
    assert not list(host.telling(_joined(_view({"p1": 1, "p2": 2})), heard.append, 0.0, first=True))
    assert _told(heard) == ({BRIDGE}, {"p1": 1, "p2": 2})


_PORTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 3))


@given(st.lists(st.tuples(_PORTS, st.integers(0, 4) | st.none()), min_size=1, max_size=6))
def test_whoever_is_told_knows_what_there_is_however_often_it_was_interrupted(
    contents: list[tuple[dict[str, int], int | None]],
) -> None:
    """Each time the host connects; after so many pieces of one it is lost, or all is told."""
    host, heard, patched = _host(), list[Observation](), known_host.TOLD_AT_ONCE
    known_host.TOLD_AT_ONCE = 1
    try:
        for ports, pieces in [*contents, (contents[-1][0], None)]:
            telling = host.telling(_joined(_view(ports)), heard.append, 0.0, first=True)
            for piece, _ in enumerate(telling):
                if piece == pieces:
                    break
            host.interrupted()
            if pieces is None:
                assert _told(heard) == ({BRIDGE}, ports)
    finally:
        known_host.TOLD_AT_ONCE = patched
