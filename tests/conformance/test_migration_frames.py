"""Announcements that others' systems send, and forged ones: what each does to a migration."""

from __future__ import annotations

import ipaddress
import json
import os
from pathlib import Path
from typing import Any

import pytest

from zonewall.placement.announcement import Announcement, Forged, parse_announcement
from zonewall.placement.binding_events import Announced, Confirmed, EffectKind, PlacementEvent, Plugged
from zonewall.placement.binding_record import EndpointRecord, PortRef, State, bindings, state
from zonewall.placement.migration import step
from zonewall.placement.model import BindingState, BridgeKey
from zonewall.values.addresses import parse_mac
from zonewall.values.names import BridgeName, EndpointKey, HostName, OfPort

PROJECT = Path(__file__).parents[2]
CASES = Path(os.environ.get("ZONEWALL_CONFORMANCE", PROJECT.parent / "shared" / "conformance")) / "migration"


def read(name: str) -> dict[str, Any]:
    """Return a file of cases; where it is missing, the tests must not pass for want of them."""
    path = CASES / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; set ZONEWALL_CONFORMANCE to the directory of cases")
    document: dict[str, Any] = json.loads(path.read_text())
    return document


FRAMES = read("frames.json")
SCHEDULE = read("qemu_announce_schedule.json")
MAC = parse_mac(FRAMES["vm"]["mac"])
PREFIXES = tuple(ipaddress.ip_network(FRAMES["vm"][key]) for key in ("ip", "ip6"))
MOVES = [frame for frame in FRAMES["frames"] if not frame["name"].startswith("NEG:")]
STAYS = [frame for frame in FRAMES["frames"] if frame["name"].startswith("NEG:")]
OLD, NEW = (PortRef(BridgeKey(HostName(host), BridgeName("br-int")), "tap0") for host in ("hv1", "hv2"))
ONE = OfPort(1)


def frame_named(name: str) -> Announcement | Forged | None:
    """Return what the frame of that name announces."""
    [frame] = [each for each in FRAMES["frames"] if each["name"] == name]
    raw = bytes.fromhex(frame["hex"])
    assert len(raw) == frame["len"]
    return parse_announcement(raw)


def migrating() -> EndpointRecord:
    """Return the VM active on hv1, with a port and its policy waiting on hv2."""
    record = EndpointRecord(EndpointKey("acme/vm"), MAC, prefixes=PREFIXES)
    happened: list[PlacementEvent] = []
    for generation, port in enumerate((OLD, NEW), start=1):
        happened += [Plugged(port, ONE, generation, 0.0, MAC, "vm-1"), Confirmed(port, ONE, generation, 0.0)]
    for event in happened:
        record, _ = step(record, event)
    return record


def active_at(record: EndpointRecord) -> list[str]:
    return [each.bridge.host for each in bindings(record) if each.state is BindingState.ACTIVE]


@pytest.mark.parametrize("name", [frame["name"] for frame in MOVES])
def test_the_frame_moves_the_vm_to_the_port_it_came_in_on(name: str) -> None:
    announcement = frame_named(name)
    assert isinstance(announcement, Announcement)

    record, effects = step(migrating(), Announced(NEW, announcement, 1.0))

    assert active_at(record) == ["hv2"]
    assert [effect.kind for effect in effects][:3] == [
        EffectKind.ACTIVATE,
        EffectKind.REPATH,
        EffectKind.REFUSE,
    ]


@pytest.mark.parametrize("name", [frame["name"] for frame in STAYS])
def test_the_frame_moves_nothing(name: str) -> None:
    announcement = frame_named(name)
    before = migrating()
    after = before if announcement is None else step(before, Announced(NEW, announcement, 1.0))[0]

    assert after == before
    assert active_at(after) == ["hv1"]


def test_only_the_truncated_frame_cannot_be_read() -> None:
    unreadable = [frame["name"] for frame in FRAMES["frames"] if frame_named(frame["name"]) is None]

    assert unreadable == ["NEG: truncated RARP (20 bytes)"]


@pytest.mark.parametrize("name", [frame["name"] for frame in MOVES])
def test_announcements_at_qemus_times_move_it_once(name: str) -> None:
    announcement = frame_named(name)
    assert isinstance(announcement, Announcement)
    times = [1.0 + ms / 1000 for ms in SCHEDULE["send_times_ms_after_first"]]

    record = migrating()
    told = []
    for at in times:
        record, effects = step(record, Announced(NEW, announcement, at))
        told.append(bool(effects))

    assert told == [True] + [False] * (len(times) - 1)
    assert state(record) is State.LEAVING


def test_the_old_place_may_speak_as_long_as_qemu_announces_without_being_taken_for_a_clone() -> None:
    announcement = frame_named("qemu-announce-self RARP")
    assert isinstance(announcement, Announcement)
    record, _ = step(migrating(), Announced(NEW, announcement, 1.0))

    for ms in SCHEDULE["send_times_ms_after_first"]:
        record, _ = step(record, Announced(OLD, announcement, 1.0 + ms / 1000))

    assert active_at(record) == ["hv2"]
    assert record.holds == ()
