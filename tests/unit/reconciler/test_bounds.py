"""What outsiders can have told, recorded or remembered has a bound, whoever they say they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from itertools import chain
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from support.kept_in_memory import Bridge, Kept
from support.whole_controller import one_bridge
from zonewall.flows.packet_ends import packet_ends
from zonewall.journal.record import Entry, Kind
from zonewall.openflow.events import BridgeUp, PacketIn, Port
from zonewall.pipeline.cookie import Reason
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.binding_record import PortRef
from zonewall.placement.model import BridgeKey
from zonewall.placement.observations import HostUnreachable
from zonewall.policy.load import load_directory
from zonewall.reconciler import cuts, intruders, named_ports
from zonewall.reconciler.addresses import Addresses
from zonewall.reconciler.bridges import MOST_WAITING, BridgeEvents
from zonewall.reconciler.hosts import HostEvents
from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.recorder import Recorder
from zonewall.reconciler.seldom import EVERY_S, MOST, MOST_OF_ONE, Lately, Names, Seldom
from zonewall.reconciler.status import MOST_UNKNOWN, unknown_ports
from zonewall.values.names import BridgeName, EndpointKey, HostName

BRIDGE, OTHER = (BridgeKey(HostName(host), BridgeName("br-int")) for host in ("hv1", "hv2"))


class Journal:
    """A journal that keeps what it is given."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def put(self, entries: Iterable[Entry], texts: Mapping[str, bytes] | None = None) -> None:
        self.entries.extend(entries)


def test_one_who_is_refused_for_ever_new_reasons_is_told_of_some_times_a_minute() -> None:
    seldom = Seldom()
    told = [seldom.is_due("10.0.0.1", number, number * 0.001) for number in range(1000)]
    assert sum(told) == MOST_OF_ONE
    assert seldom.untold == 1000 - MOST_OF_ONE
    assert seldom.is_due("10.0.0.2", 1, 1.0)
    assert not seldom.is_due("10.0.0.2", 1, 2.0)
    assert seldom.is_due("10.0.0.1", 5000, EVERY_S)


def test_ever_new_addresses_are_told_of_so_many_times_a_minute_in_all() -> None:
    seldom = Seldom()
    told = [seldom.is_due(f"2001:db8::{number:x}", "no", number * 0.001) for number in range(10_000)]
    assert sum(told) == MOST


def test_the_last_so_many_who_were_refused_are_kept() -> None:
    lately = Lately(3)
    for who in ("a", "b", "c", "a", "d"):
        lately.note(who, f"not {who}")
    assert lately.words == {"c": "not c", "a": "not a", "d": "not d"}


def test_a_bridge_that_names_ports_without_end_has_so_many() -> None:
    names = Names(2)
    assert [names.admit(BRIDGE, name, gone=False) for name in ("a", "b", "a", "c")] == [
        True,
        True,
        True,
        False,
    ]
    assert names.admit(OTHER, "c", gone=False)
    names.admit(BRIDGE, "a", gone=True)
    assert names.admit(BRIDGE, "c", gone=False)


def test_a_bridge_that_names_ever_new_ports_that_should_only_listen_is_told_of_in_few_records() -> None:
    journal = Journal()
    seen = intruders.Intruders(Recorder(journal))
    for number in range(1000):
        seen.take(BRIDGE, str(number), PacketIn(1, 0, 0, b"\x04", number, (), 0, 60, bytes(60)))
    seen.take(OTHER, "7", PacketIn(2, 0, 0, b"\x04", 7, (), 0, 60, bytes(60)))
    rows = seen.status()
    assert len(rows) == intruders.MOST_PORTS + 2
    assert sum(row["reports"] for row in rows) == 1001
    assert sum(one.kind is Kind.INTRUDED for one in journal.entries) == len(rows)


def segment(sport: int) -> bytes:
    """Return a TCP segment between two addresses from a port."""
    ip = bytes.fromhex("450000280000000040060000 0a000001 0a000002")
    return bytes(12) + b"\x08\x00" + ip + sport.to_bytes(2, "big") + b"\x00\x50" + bytes(16)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(cuts, "MOST_OF_ONE", 10)
    return 10


def test_of_one_bridge_so_many_cuts_a_minute_leave_a_record_and_the_rest_is_counted(
    few: int, tmp_path: Path
) -> None:
    journal = Journal()
    told = cuts.Cuts(Reconciler(one_bridge(tmp_path / "policies"), tmp_path / "state", b"k" * 32, journal))
    assert packet_ends(segment(1)) is not None
    for sport in range(1, few * 3 + 1):
        told.take(BRIDGE, PacketIn(1, 0, 0, b"\x08", 1, (), 0, 54, segment(sport)))
    told.take(OTHER, PacketIn(2, 0, 0, b"\x08", 1, (), 0, 54, segment(60_000)))
    assert sum(one.kind is Kind.CUT for one in journal.entries) == few + 1
    assert sum(one.kind is Kind.GAP for one in journal.entries) == 1
    assert told.missed == 2 * few


def test_a_bridge_that_announces_addresses_without_end_that_are_refused_is_logged_some_times_a_minute(
    tmp_path: Path,
) -> None:
    documents = load_directory(one_bridge(tmp_path / "policies"))
    addresses = Addresses(documents, (), Recorder(Journal()))
    with capture_logs() as lines:
        for number in range(1, 1000):
            cause = f"announcement at {BRIDGE}, ofport {number}"
            assert not addresses.heard(documents, EndpointKey("acme/vm"), ip_address(number), cause)
    assert 0 < sum(line["event"] == "address_refused" for line in lines) <= MOST_OF_ONE


class Stuck(Bridge):
    """A bridge that takes no frame to be sent out."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def packet_out(self, in_port: int, actions: bytes, frame: bytes) -> None:
        self.asked += 1
        await asyncio.Event().wait()

    async def is_alive(self) -> bool:
        return True


def test_what_a_bridge_has_not_sent_out_yet_is_bounded_and_the_rest_is_not_sent(tmp_path: Path) -> None:
    async def scene() -> None:
        reconciler = Reconciler(one_bridge(tmp_path / "policies"), tmp_path / "state", b"k" * 32)
        kept, stuck = Kept(), Stuck()
        reconciler.keepers[BRIDGE] = kept.keeper
        hosts = HostEvents(reconciler)
        events = BridgeEvents(reconciler, hosts, lambda _: stuck, True, None)  # type: ignore[arg-type]
        events.take(BridgeUp(0xA1, "192.0.2.1:1", ()))
        datagram = segment(7).replace(b"\x40\x06", b"\x40\x11")
        for _ in range(MOST_WAITING + 10):
            events.take(PacketIn(0xA1, 0, 0, bytes([Reason.REJECT]), 1, (), 0, len(datagram), datagram))
        await kept.settle()
        assert stuck.asked == MOST_WAITING
        await kept.stop()

    asyncio.run(scene())


def test_what_is_told_late_of_a_host_that_an_edit_took_out_is_not_kept(tmp_path: Path) -> None:
    hosts = HostEvents(Reconciler(one_bridge(tmp_path / "policies"), tmp_path / "state", b"k" * 32))
    for host in (BRIDGE.host, OTHER.host):
        hosts.take(HostUnreachable(host, "connecting failed: no route to host", 0.0))
    assert list(hosts.problems) == [BRIDGE.host]


def test_of_ports_that_nothing_covers_so_many_of_a_bridge_are_shown_and_the_rest_counted() -> None:
    unknown = FrozenMap.of(
        {PortRef(BRIDGE, f"p{number:04}"): "why" for number in range(MOST_UNKNOWN + 7)}
        | {PortRef(OTHER, "p1"): "why"}
    )
    shown = unknown_ports(replace(FleetState.start(load_directory(Path("policies/demo"))), unknown=unknown))
    of_one = [one["port"] for one in shown["unknown_ports"] if one["port"].startswith("hv1")]
    assert of_one == [f"hv1/br-int/p{number:04}" for number in range(MOST_UNKNOWN)]
    assert {"port": "hv2/br-int/p1", "reason": "why"} in shown["unknown_ports"]
    assert shown["unknown_ports_not_shown"] == [{"bridge": "hv1/br-int", "ports": 7}]


def test_of_a_bridge_that_names_many_ports_so_many_are_taken_before_others_have_their_turn(
    tmp_path: Path,
) -> None:
    reconciler = Reconciler(one_bridge(tmp_path / "policies"), tmp_path / "state", b"k" * 32)
    known = named_ports.NamedPorts(reconciler)

    def pieces(count: int) -> list[int]:
        ports = [Port(1 + number, f"p{number}", 0, True) for number in range(count)]
        sizes, before = [], reconciler.world.fleet.ports
        for _ in chain(known.all_of(BRIDGE, ports), [None]):
            after = reconciler.world.fleet.ports
            sizes.append(len(after.changed_since(before)))
            before = after
        return sizes

    most = named_ports.TAKEN_AT_ONCE
    assert pieces(3 * most + 1) == [most, most, most, 1]
    assert pieces(1)[:3] == [most, most, most]
    assert len(reconciler.world.fleet.ports) == 1
