"""Isolation by hand: in force at once, in the journal with who asked, and there after a restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from zonewall.errors import ZonewallError
from zonewall.journal.record import Entry, Kind
from zonewall.placement.model import BindingState, BridgeKey
from zonewall.reconciler.actions import carry_out
from zonewall.reconciler.reconciler import Reconciler
from zonewall.values.addresses import parse_mac
from zonewall.values.names import BridgeName, EndpointKey, HostName

INVENTORY = """\
kind: inventory
hosts: {hv1: {bridges: {br-int: {attachment: fabric}}}}
endpoints:
  - {name: web1, tenant: acme, iface-id: web1, mac: "52:54:00:00:00:01", ips: [10.0.0.1]}
---
kind: tenant
tenant: acme
"""
WEB1 = EndpointKey("acme/web1")


class Kept:
    """A sink that keeps what it is given in memory."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def put(self, entries: Iterable[Entry], texts: Mapping[str, bytes] | None = None) -> None:
        self.entries += entries


def controller(tmp_path: Path) -> tuple[Reconciler, Kept]:
    policies = tmp_path / "policies"
    policies.mkdir(exist_ok=True)
    (policies / "all.yaml").write_text(INVENTORY)
    kept = Kept()
    return Reconciler(policies, tmp_path / "state", b"k" * 32, kept), kept


def reasons(reconciler: Reconciler) -> list[str]:
    record = reconciler.world.fleet.records.get(WEB1)
    return [] if record is None else [hold.reason for hold in record.holds]


def test_who_asked_and_why_is_recorded_before_what_came_of_it(tmp_path: Path) -> None:
    reconciler, kept = controller(tmp_path)
    carry_out(reconciler, "quarantine", {"endpoint": "acme/web1", "reason": "odd traffic"}, "root")
    assert [(one.kind, one.cause, one.endpoint) for one in kept.entries] == [
        (Kind.ADMIN, "root", "acme/web1"),
        (Kind.QUARANTINED, "root", "acme/web1"),
    ]
    assert kept.entries[1].said["reason"] == "odd traffic"


def test_an_isolated_endpoint_is_isolated_after_the_controller_was_killed(tmp_path: Path) -> None:
    reconciler, _ = controller(tmp_path)
    carry_out(reconciler, "quarantine", {"endpoint": "acme/web1", "reason": "odd traffic"}, "root")
    reconciler.remembered().result()  # as who asked is answered then
    restarted, _ = controller(tmp_path)
    assert reasons(restarted) == ["odd traffic"]
    carry_out(restarted, "release", {"endpoint": "acme/web1"}, "root")
    restarted.remembered().result()
    again, _ = controller(tmp_path)
    assert reasons(again) == []


@pytest.mark.asyncio
async def test_who_is_isolated_stays_so_when_an_edit_takes_the_endpoint_away_and_brings_it_back(
    tmp_path: Path,
) -> None:
    """Also over a restart in between; released while it is away it is free."""
    reconciler, _ = controller(tmp_path)
    carry_out(reconciler, "quarantine", {"endpoint": "acme/web1", "reason": "odd traffic"}, "root")
    documents = tmp_path / "policies" / "all.yaml"
    documents.write_text(INVENTORY.replace("name: web1", "name: web2"))
    await reconciler.reload()
    assert WEB1 not in reconciler.world.configuration.inventory.endpoints
    reconciler.remembered().result()

    def restarted() -> Reconciler:
        return Reconciler(tmp_path / "policies", tmp_path / "state", b"k" * 32)

    again = restarted()
    assert reasons(again) == ["odd traffic"]
    documents.write_text(INVENTORY.replace("00:01", "00:02"))
    for one in (reconciler, again):
        await one.reload()
        plugged, _ = one.world.fleet.port_seen(
            HostName("hv1"), BridgeName("br-int"), "tap0", 5, {"iface-id": "web1"}, 1.0
        )
        plugged, _ = plugged.confirm(
            BridgeKey(HostName("hv1"), BridgeName("br-int")), plugged.placement(), 2.0
        )
        one.take((plugged, ()))
        (bound,) = one.world.fleet.placement().bindings[WEB1]
        assert bound.state is BindingState.QUARANTINED
        assert one.world.fleet.records[WEB1].mac == parse_mac("52:54:00:00:00:02")

    documents.write_text(INVENTORY.replace("name: web1", "name: web2"))
    await again.reload()
    carry_out(again, "release", {"endpoint": "acme/web1"}, "root")
    documents.write_text(INVENTORY)
    await again.reload()
    assert reasons(again) == []


def test_release_with_a_reason_lifts_that_hold_alone(tmp_path: Path) -> None:
    reconciler, _ = controller(tmp_path)
    for reason in ("ids alert", "by hand"):
        carry_out(reconciler, "quarantine", {"endpoint": "acme/web1", "reason": reason}, "root")
    carry_out(reconciler, "release", {"endpoint": "acme/web1", "reason": "ids alert"}, "root")
    assert reasons(reconciler) == ["by hand"]


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("quarantine", {"endpoint": "acme/nobody"}, "no such endpoint"),
        ("quarantine", {"endpoint": "acme/web1", "reason": "x" * 501}, "at most 500"),
        ("quarantine", {"endpoint": "acme/web1", "reason": "\x1b[2J"}, "printable"),
        ("release", {"endpoint": ["acme/web1"]}, "printable text"),
        ("explode", {}, "no such action"),
    ],
)
def test_what_is_not_said_well_changes_nothing_and_is_refused_with_what_would_do(
    tmp_path: Path, name: str, said: Mapping[str, object], message: str
) -> None:
    reconciler, kept = controller(tmp_path)
    with pytest.raises(ZonewallError, match=message):
        carry_out(reconciler, name, said, "root")
    assert kept.entries == []
