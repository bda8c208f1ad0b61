"""Whatever hosts report and whoever shouts: one place at most, nothing forged, no trace of the order."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from support.placement_fleet import BR_INT, bridge, confirmed, endpoint, ids, key, mac, ref, started
from zonewall.placement.announcement import Announcement, AnnouncementKind, Forged, parse_announcement
from zonewall.placement.binding_events import EffectKind
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.binding_record import bindings
from zonewall.placement.discovery import LinkClaim, build_discovery_frame, parse_discovery_frame
from zonewall.placement.model import BindingState, BridgeKey, Link
from zonewall.placement.topology import graph_of, hops_in
from zonewall.values.names import BridgeName, DatapathId, HostName, OfPort

HOSTS = ("hv1", "hv2", "hv3")
NAMES = (("web1", 1), ("db1", 2))
HOST = st.sampled_from(HOSTS)
WHO = st.sampled_from(NAMES)
PORT = st.sampled_from(("tap0", "tap1"))

Happening = tuple[Any, ...]
# A happening is a tuple of plain values, so that a failing list of them can be read.
HAPPENING = st.one_of(
    st.tuples(
        st.just("seen"), HOST, PORT, WHO, st.sampled_from((None, -1, 5, 6)), st.sampled_from(("v1", "v2"))
    ),
    st.tuples(st.just("gone"), HOST, PORT),
    st.tuples(st.just("confirm"), HOST),
    st.tuples(st.just("announce"), HOST, st.sampled_from((5, 6)), WHO, st.booleans()),
    st.tuples(st.just("lost"), HOST),
    st.tuples(st.just("back"), HOST),
    st.tuples(st.just("snapshot"), HOST),
    st.tuples(st.just("quarantine"), WHO),
    st.tuples(st.just("release"), WHO),
    st.tuples(st.just("wait"), st.sampled_from((1, 40, 100))),
)


def happen(fleet: FleetState, what: Happening, at: float) -> FleetState:
    """Return the fleet after one happening; the old place is told after the new one, always."""
    kind, *rest = what
    match kind, rest:
        case "seen", [host, name, (who, number), ofport, vm_id]:
            whose = ids(who, number, f"{who}-{vm_id}")
            fleet, effects = fleet.port_seen(HostName(host), BR_INT, name, ofport, whose, at)
        case "gone", [host, name]:
            fleet, effects = fleet.port_gone(ref(host, name), at)
        case "confirm", [host]:
            fleet, effects = fleet.confirm(bridge(host), fleet.placement(), at)
        case "announce", [host, ofport, (_, number), forged]:
            kind_of = AnnouncementKind.RARP
            said = (
                Forged(kind_of, mac(99), mac(number)) if forged else Announcement(kind_of, mac(number), None)
            )
            fleet, effects = fleet.announced(bridge(host), OfPort(ofport), said, at)
        case "lost", [host]:
            fleet, effects = fleet.host_lost(HostName(host), at)
        case "back", [host]:
            fleet, effects = fleet.host_seen(HostName(host), at)
        case "snapshot", [host]:
            fleet, effects = fleet.snapshot_complete(HostName(host), at)
        case "quarantine", [(who, _)]:
            fleet, effects = fleet.quarantine(key(who), "by hand", at)
        case "release", [(who, _)]:
            fleet, effects = fleet.release(key(who), at)
        case _:
            fleet, effects = fleet.tick(at)
    for name in {effect.endpoint for effect in effects}:
        kinds = [effect.kind for effect in effects if effect.endpoint == name]
        if kinds.count(EffectKind.ACTIVATE) == kinds.count(EffectKind.REFUSE) == 1:
            assert kinds.index(EffectKind.ACTIVATE) < kinds.index(EffectKind.REFUSE)
    return fleet


def played(happenings: list[Happening]) -> FleetState:
    fleet, at = started(), 0.0
    for what in happenings:
        at += what[1] if what[0] == "wait" else 0.01
        fleet = happen(fleet, what, at)
    return fleet


@given(st.lists(HAPPENING, max_size=40))
@settings(max_examples=150, deadline=None)
def test_at_most_one_binding_of_an_endpoint_takes_part(happenings: list[Happening]) -> None:
    fleet = played(happenings)

    for name, bound in fleet.placement().bindings.items():
        parts = [each for each in bound if each.state in (BindingState.ACTIVE, BindingState.QUARANTINED)]
        assert len(parts) <= 1
        assert bound == bindings(fleet.records[name])


@given(st.lists(HAPPENING, max_size=40))
@settings(max_examples=100, deadline=None)
def test_what_is_kept_beside_the_records_follows_from_them(happenings: list[Happening]) -> None:
    fleet = played(happenings)
    places = {place.port: (name, place) for name, record in fleet.records.items() for place in record.places}

    assert dict(fleet.placement().bindings) == {
        name: bindings(record) for name, record in fleet.records.items() if bindings(record)
    }
    owned = {port: seen.facts.endpoint for port, seen in fleet.ports.items() if seen.facts.endpoint}
    assert owned == {port: name for port, (name, _) in places.items()}
    waiting = {port for ports in fleet.unconfirmed.values() for port in ports}
    assert waiting == {
        port for port, (_, place) in places.items() if place.ofport is not None and not place.confirmed
    }
    assert {port for view in fleet.hosts.values() for port in view.ports} == set(fleet.ports)


@given(st.lists(HAPPENING, max_size=40))
@settings(max_examples=100, deadline=None)
def test_an_endpoint_is_active_only_where_its_bridge_has_confirmed_a_port_of_its_own(
    happenings: list[Happening],
) -> None:
    fleet = played(happenings)

    for name, record in fleet.records.items():
        holder = record.holder
        for each in fleet.placement().bindings.get(name, ()):
            if each.state is BindingState.ACTIVE:
                assert holder is not None
                assert fleet.ports[holder.port].facts.endpoint == name
                assert (holder.port.bridge, holder.ofport) == (each.bridge, each.ofport)
                assert holder.port.bridge.host != "hv3" or name != key("db1")


@given(st.lists(HAPPENING, max_size=30), HOST, st.sampled_from((5, 6)), WHO)
@settings(max_examples=100, deadline=None)
def test_a_forged_announcement_never_changes_the_placement(
    happenings: list[Happening], host: str, ofport: int, who: tuple[str, int]
) -> None:
    fleet = played(happenings)
    after = happen(fleet, ("announce", host, ofport, who, True), 10_000.0)

    assert after.placement() == fleet.placement()


@given(st.permutations([(host, name, number) for host in ("hv1", "hv2") for name, number in NAMES]))
def test_the_order_in_which_ports_are_reported_leaves_no_trace(order: list[tuple[str, str, int]]) -> None:
    fleet = started()
    for host, name, number in order:
        ofport = 5 + number
        fleet, _ = fleet.port_seen(HostName(host), BR_INT, name, ofport, ids(name, number), 0)
    fleet = confirmed(fleet, "hv1", "hv2")
    for number in (1, 2):
        said = Announcement(AnnouncementKind.RARP, mac(number), None)
        fleet, _ = fleet.announced(bridge("hv1"), OfPort(5 + number), said, 1)
    for name, _ in NAMES:
        fleet, _ = fleet.port_gone(ref("hv2", name), 2)
    fleet, _ = fleet.tick(100)

    assert {str(name): bound for name, bound in fleet.placement().bindings.items()} == {
        f"acme/{name}": confirmed_binding(name, number) for name, number in NAMES
    }


def confirmed_binding(name: str, number: int) -> tuple[Any, ...]:
    fleet, _ = started().port_seen(HostName("hv1"), BR_INT, name, 5 + number, ids(name, number), 0)
    return confirmed(fleet, "hv1").placement().bindings[key(name)]


@given(st.integers(0, 120), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_a_storm_of_moves_and_forgeries_ends_with_every_endpoint_at_its_new_place(
    forgeries: int, rng: object
) -> None:
    many = [endpoint(f"vm-{number}", 100 + number) for number in range(40)]
    fleet = started(*many)
    for host in ("hv1", "hv2"):
        for number in range(40):
            said = ids(f"vm-{number}", 100 + number, f"uuid-{number}")
            fleet, _ = fleet.port_seen(HostName(host), BR_INT, f"tap{number}", 10 + number, said, 0)
        fleet = confirmed(fleet, host)
    truth = [(number, number) for number in range(40)]
    lies = [(number % 40, (number + 1) % 40) for number in range(forgeries)]
    frames = [
        (10 + port, Announcement(AnnouncementKind.RARP, mac(100 + claimed), None))
        for port, claimed in truth + lies
    ]
    rng.shuffle(frames)  # type: ignore[attr-defined]
    for ofport, announcement in frames:
        fleet, _ = fleet.announced(bridge("hv2"), OfPort(ofport), announcement, 1)

    active = [
        each.bridge.host
        for bound in fleet.placement().bindings.values()
        for each in bound
        if each.state is BindingState.ACTIVE
    ]
    assert active == ["hv2"] * 40


# Frames -----------------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_of_announcements_raise(frame: bytes) -> None:
    said = parse_announcement(frame)

    assert said is None or frame[6:12] == (
        said.mac if isinstance(said, Announcement) else said.sender
    ).to_bytes(6, "big")


@given(
    st.sampled_from((0x0806, 0x8035, 0x86DD)),
    st.binary(max_size=120),
    st.integers(0, 2**48 - 1),
)
def test_an_announcement_that_is_believed_names_its_sender(ethertype: int, body: bytes, sender: int) -> None:
    frame = b"\xff" * 6 + sender.to_bytes(6, "big") + struct.pack("!H", ethertype) + body
    said = parse_announcement(frame)

    if isinstance(said, Announcement):
        assert said.mac == sender
        assert sender >> 40 & 1 == 0
        assert said.ip is None or not ipaddress.ip_address(said.ip).is_multicast


@given(st.binary(max_size=130))
def test_no_bytes_make_the_reader_of_discovery_frames_believe_them(frame: bytes) -> None:
    assert parse_discovery_frame(b"\x01\x80\xc2\x00\x00\x0e" + frame, b"k" * 16) is None


@given(
    st.integers(0, 2**64 - 1), st.integers(1, 0xFFFFFEFF), st.integers(0, 2**64 - 1), st.integers(0, 0xFFFF)
)
def test_every_claim_survives_its_frame(datapath: int, ofport: int, counter: int, ttl_s: int) -> None:
    claim = LinkClaim(DatapathId(datapath), OfPort(ofport), counter, ttl_s)

    assert parse_discovery_frame(build_discovery_frame(claim, b"k" * 16), b"k" * 16) == claim


# Paths ------------------------------------------------------------------------------------------------


def at(number: int) -> BridgeKey:
    return BridgeKey(HostName(f"h{number}"), BridgeName("br"))


# Each end is a port of its own: a port has one neighbour.
LINKS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=25).map(
    lambda pairs: [
        Link((at(a), OfPort(2 * number + 1)), (at(b), OfPort(2 * number + 2)))
        for number, (a, b) in enumerate(pairs)
    ]
)


@given(LINKS, st.randoms(use_true_random=False))
def test_following_next_hops_reaches_every_bridge_by_a_shortest_path(links: list[Link], rng: object) -> None:
    graph = graph_of(links)
    shuffled = [Link(link.b, link.a) for link in links]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    for source in graph:
        hops = hops_in(graph, source)
        assert hops == hops_in(graph_of(shuffled), source)
        lengths = nx.single_source_shortest_path_length(graph, source)
        assert set(hops) == set(lengths) - {source}
        for target in hops:
            here, steps = source, 0
            while here != target:
                out = hops_in(graph, here)[target]
                [here] = [far for far in graph[here] if graph.edges[here, far]["ports"][here] == out][:1]
                steps += 1
                assert steps <= lengths[target]


# The mapping ------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(("put", "drop")), st.text(max_size=3), st.integers(0, 3))))
def test_a_frozen_map_is_a_dictionary_that_never_changes(changes: list[tuple[str, str, int]]) -> None:
    plain: dict[str, int] = {}
    frozen: FrozenMap[str, int] = FrozenMap()
    for kind, name, value in changes:
        before, copy = frozen, dict(frozen)
        if kind == "put":
            plain[name] = value
            frozen = frozen.put(name, value)
        else:
            plain.pop(name, None)
            frozen = frozen.drop(name)
        assert dict(before) == copy
        assert frozen == plain
        assert len(frozen) == len(plain)
