"""Which bridges change first when an endpoint moves: two of them are enough for its packets to arrive."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from support.placement_fleet import bridge, configuration, confirmed, ids, key, mac, seen, started
from zonewall.intent.numbering import Numbering
from zonewall.placement.announcement import Announcement, AnnouncementKind
from zonewall.placement.binding_fleet import FleetState
from zonewall.reconciler.keeper import BridgeKeeper
from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.world import Turn, World
from zonewall.values.names import OfPort


def world_of(fleet: FleetState) -> World:
    return World.start(configuration(), Numbering(), fleet, frozenset())


def migrating() -> FleetState:
    """Return the fleet with web1 on hv1, about to be on hv2, and its neighbour on hv3."""
    fleet = confirmed(seen(started(), "hv1", "web1", 1, ids("web1", 1)), "hv1")
    fleet = confirmed(seen(fleet, "hv3", "tap100i0", 9, {}), "hv3")
    return confirmed(seen(fleet, "hv2", "web1", 4, ids("web1", 1)), "hv2")


def test_the_new_place_changes_first_then_the_one_that_was_left_then_all_others() -> None:
    before = world_of(migrating())
    announcement = Announcement(AnnouncementKind.RARP, mac(1), None)
    fleet, effects = before.fleet.announced(bridge("hv2"), OfPort(4), announcement, 10.0)
    turn = before.with_fleet(fleet).turn(effects, before)
    wanted = [frozenset({bridge(host)}) for host in ("hv2", "hv1", "hv3")]
    assert turn == Turn(*wanted)


def test_what_is_needed_to_send_on_stays_where_it_was_left_until_the_port_goes() -> None:
    before = world_of(migrating())
    announcement = Announcement(AnnouncementKind.RARP, mac(1), None)
    fleet, _ = before.fleet.announced(bridge("hv2"), OfPort(4), announcement, 10.0)
    left = before.with_fleet(fleet)
    tenant = configuration().inventory.endpoints[key("web1")].tenant
    assert left.indexed.is_present(tenant, bridge("hv1"))
    (old,) = [port for port in fleet.ports if port.bridge == bridge("hv1")]
    fleet, _ = fleet.port_gone(old, 11.0)
    gone = left.with_fleet(fleet)
    assert not gone.indexed.is_present(tenant, bridge("hv1"))


def test_who_waits_for_others_to_be_changed_counts_as_still_to_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = {name: {"bridges": {"br-int": {"attachment": "fabric"}}} for name in ("hv1", "hv2", "hv3")}
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/hosts.yaml").write_text(yaml.safe_dump({"kind": "inventory", "hosts": hosts}))

    async def scene() -> None:
        gone_on, woken = asyncio.Event(), asyncio.Event()

        async def in_force(keeper: BridgeKeeper, timeout_s: float) -> bool:
            return await gone_on.wait()

        def wake(keeper: BridgeKeeper, when: asyncio.Event | None = None, *, urgent: bool = False) -> bool:
            if keeper.key == bridge("hv3"):
                woken.set()
            return True

        reconciler = Reconciler(tmp_path / "policies", tmp_path / "state", b"k" * 32)
        running = asyncio.create_task(reconciler.run())
        while len(reconciler.keepers) < len(hosts):
            await asyncio.sleep(0)
        for keeper in reconciler.keepers.values():
            keeper._settled.set()
        monkeypatch.setattr(BridgeKeeper, "in_force", in_force)
        monkeypatch.setattr(BridgeKeeper, "wake", wake)
        waiting = [reconciler.keepers[bridge(host)] for host in ("hv2", "hv3")]
        reconciler.dispatch(Turn(*(frozenset({bridge(host)}) for host in hosts)))
        assert all(keeper.is_pending for keeper in waiting)
        gone_on.set()
        await asyncio.wait_for(woken.wait(), 20)
        assert not any(keeper.is_pending for keeper in waiting), "a word of their own is all that is left"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scene())
