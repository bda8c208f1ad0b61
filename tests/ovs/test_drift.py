"""What others change on a bridge is found, put right, logged with what was found, and counted."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from support.compiled import FIRST, CompiledFleet
from support.configurations import configure, endpoint, rule, tenant, tier
from support.dummy import DummySwitch
from support.kept_bridge import KeptBridge, kept
from support.whole_controller import is_at_rest, one_bridge, whole_controller
from zonewall.intent.fleet import Fleet, index_fleet
from zonewall.openflow.events import BridgeDown, BridgeUp
from zonewall.pipeline.cookie import Category, cookie
from zonewall.pipeline.tables import QUARANTINE
from zonewall.policy.inventory import BridgeDeclaration, ForeignFlows
from zonewall.reconciler import holdings as holdings_module
from zonewall.reconciler.link import SessionLink

pytestmark = pytest.mark.ovs
METER = "meter=999,pktps,burst,band=type=drop,rate=5,burst_size=5"
AS_A_ROW = cookie(Category.CONNECTION, 1)
STRANGE = f"cookie={cookie(Category.STATIC):#x},table=9,priority=1 actions=1"
FOREIGN = "cookie=0x77,table=200,priority=9,ip,nw_dst=192.0.2.1 actions=meter:999,output:1"


def world(mode: ForeignFlows = ForeignFlows.REPORT) -> Fleet:
    ends = [endpoint(f"acme/e{n}", f"10.0.0.{n}") for n in (1, 2, 3)]
    fleet = CompiledFleet(configure(*ends, tenant("acme", tier("t", rule("r", "any", "any")))))
    inventory = fleet.configuration.inventory
    host = inventory.hosts[FIRST.host]
    bridge: BridgeDeclaration = replace(host.bridges[FIRST.bridge], foreign_flows=mode)
    hosts = {**inventory.hosts, FIRST.host: replace(host, bridges={FIRST.bridge: bridge})}
    configuration = replace(fleet.configuration, inventory=replace(inventory, hosts=hosts))
    return index_fleet(replace(fleet.policy, configuration=configuration), fleet.placement)


def is_whole(switch: DummySwitch, bridge: KeptBridge) -> bool:
    return len(switch.dump_flows("br-int", "cookie=0x5a57000000000000/0xffff000000000000")) == (
        bridge.keeper.status.flows
    )


@pytest.mark.parametrize("is_watched", [True, False], ids=["told-by-the-bridge", "found-by-the-audit"])
def test_what_is_done_by_hand_is_put_right_and_counted(
    dummy_switch: DummySwitch,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_watched: bool,
) -> None:
    async def cannot(self: SessionLink) -> bool:
        return False

    monkeypatch.setattr(holdings_module, "AUDIT_PAUSE_S", 0.1)
    if not is_watched:
        monkeypatch.setattr(SessionLink, "watch", cannot)
        monkeypatch.setattr(holdings_module, "AUDIT_S", 0.3)
    table = QUARANTINE.number
    with kept(dummy_switch, FIRST, world()) as bridge:
        counts = bridge.keeper.holdings.counts
        assert counts.is_watched is is_watched
        for words, what in (
            (("--strict", "del-flows", "br-int", f"table={table},priority=0"), "missing=1"),
            (("mod-flows", "br-int", f"table={table} actions=drop"), "changed="),
            (("add-flow", "br-int", STRANGE), "unknown=1"),
            (("add-flow", "br-int", f"cookie={AS_A_ROW:#x},priority=65535 actions=NORMAL"), "unknown=1"),
        ):
            before = counts.drift
            dummy_switch.ofctl(*words)
            bridge.until(lambda before=before: counts.drift > before, f"{words} found")  # type: ignore[misc]
            bridge.settle()
            assert what in capsys.readouterr().out
            assert is_whole(dummy_switch, bridge)


def test_what_is_done_by_hand_to_groups_and_meters_is_put_right_at_once(
    dummy_switch: DummySwitch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the bridge tells, not by the audit, which comes after two minutes."""
    monkeypatch.setattr(holdings_module, "AUDIT_PAUSE_S", 0.1)
    with kept(dummy_switch, FIRST, world(), ports=2) as bridge:
        counts = bridge.keeper.holdings.counts
        before = groups_and_meters(dummy_switch)
        number = min(bridge.keeper.holdings.last_confirmed.meters)  # type: ignore[union-attr]
        meter = f"meter={number}"
        for words, what in (
            (("add-group", "br-int", "group_id=7,type=all"), "'group': 7"),
            (("add-meter", "br-int", METER), "'meter': 999"),
            (("mod-meter", "br-int", METER.replace("meter=999", meter)), f"'meter': {number}"),
            (("del-meter", "br-int", meter), f"'meter': {number}"),
        ):
            found = counts.drift
            dummy_switch.ofctl(*words)
            bridge.until(lambda found=found: counts.drift > found, f"{words} found")  # type: ignore[misc]
            bridge.settle()
            assert what in capsys.readouterr().out
            assert groups_and_meters(dummy_switch) == before
            assert is_whole(dummy_switch, bridge)


def test_a_meter_of_ours_that_others_use_as_well_stays_ours(dummy_switch: DummySwitch) -> None:
    with kept(dummy_switch, FIRST, world(), ports=2) as bridge:
        counts = bridge.keeper.holdings.counts
        before = groups_and_meters(dummy_switch)
        number = min(bridge.keeper.holdings.last_confirmed.meters)  # type: ignore[union-attr]
        dummy_switch.ofctl("add-flow", "br-int", FOREIGN.replace("meter:999", f"meter:{number}"))
        bridge.until(lambda: bool(counts.foreign), "the flow found")
        bridge.settle()
        assert (bridge.keeper.status.state, counts.drift) == ("in-force", 0)
        assert groups_and_meters(dummy_switch) == before
        assert is_whole(dummy_switch, bridge)


def groups_and_meters(switch: DummySwitch) -> list[str]:
    said = switch.ofctl("dump-groups", "br-int") + switch.ofctl("dump-meters", "br-int")
    return [line for line in said.splitlines() if "OFPST" not in line]


def test_what_somebody_else_sets_on_the_bridge_as_a_whole_is_set_back_and_counted(
    dummy_switch: DummySwitch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A bridge does not tell of that: it is found by the audit.
    monkeypatch.setattr(holdings_module, "WATCHED_AUDIT_S", 0.3)
    with kept(dummy_switch, FIRST, world()) as bridge:
        assert bridge.keeper.holdings.counts.drift == 0
        dummy_switch.ofctl("set-frags", "br-int", "drop")
        bridge.until(lambda: bridge.keeper.holdings.counts.drift > 0, "the handling of fragments found")
        assert dummy_switch.ofctl("get-frags", "br-int").strip() == "nx-match"
        assert "setting='the handling of fragments'" in capsys.readouterr().out
        bridge.settle()
        assert bridge.keeper.holdings.counts.drift == 1


@pytest.mark.parametrize("is_same", [True, False], ids=["the-same-documents", "other-documents"])
def test_what_was_done_by_hand_without_a_controller_is_counted_by_the_next_that_wants_the_same(
    dummy_switch: DummySwitch, tmp_path: Path, is_same: bool
) -> None:
    at_rest = partial(is_at_rest, dummy_switch)
    policies, state = one_bridge(tmp_path / "policies"), tmp_path / "state"
    with whole_controller(policies, state) as (whole, remote):
        dummy_switch.add_bridge("br-int", datapath_id=0xA1, controller=remote)
        dummy_switch.add_port("br-int", "vm", ofport=1)
        before = whole.until(at_rest)["flows"]
    table = QUARANTINE.number
    dummy_switch.ofctl("--strict", "del-flows", "br-int", f"table={table},priority=0")
    dummy_switch.ofctl("add-flow", "br-int", STRANGE)
    dummy_switch.ofctl("add-group", "br-int", "group_id=7,type=all")
    if not is_same:
        (policies / "all.yaml").write_text(
            (policies / "all.yaml").read_text().replace("10.0.0.1", "10.0.0.2")
        )
    with whole_controller(policies, state) as (whole, remote):
        dummy_switch.vsctl("set-controller", "br-int", remote)
        row = whole.until(at_rest)
        assert row["drift_repaired"] == (3 if is_same else 0)
        assert row["flows"] == before or not is_same
        assert "group_id" not in dummy_switch.ofctl("dump-groups", "br-int")
    with whole_controller(policies, state) as (whole, remote):
        dummy_switch.vsctl("set-controller", "br-int", remote)
        row = whole.until(at_rest)
        assert (row["drift_repaired"], row["changes_applied"]) == (0, 0)


def test_a_bridge_that_lost_its_tables_is_found_on_reconnect(
    dummy_switch: DummySwitch, capsys: pytest.CaptureFixture[str]
) -> None:
    with kept(dummy_switch, FIRST, world()) as bridge:
        flows = bridge.keeper.status.flows
        dummy_switch.stop_vswitchd()
        bridge.bridge.until(BridgeDown)
        dummy_switch.start_vswitchd()
        bridge.bridge.until(BridgeUp)
        bridge.connect()
        assert bridge.keeper.holdings.counts.drift >= flows
        assert f"missing={flows}" in capsys.readouterr().out
        assert is_whole(dummy_switch, bridge)


def test_a_bridge_that_comes_back_as_it_was_is_no_drift(dummy_switch: DummySwitch) -> None:
    with kept(dummy_switch, FIRST, world()) as bridge:
        applied = bridge.keeper.status.applied
        bridge.bridge.session.close("a test cuts it")
        bridge.bridge.until(BridgeUp)
        bridge.connect()
        assert bridge.keeper.holdings.counts.drift == 0
        assert bridge.keeper.status.applied == applied


@pytest.mark.parametrize("mode", ForeignFlows)
def test_flows_of_others_are_reported_left_or_removed_as_the_inventory_says(
    dummy_switch: DummySwitch,
    capsys: pytest.CaptureFixture[str],
    mode: ForeignFlows,
) -> None:
    with kept(dummy_switch, FIRST, world(mode)) as bridge:
        counts = bridge.keeper.holdings.counts
        dummy_switch.ofctl("add-meter", "br-int", METER)
        dummy_switch.ofctl("add-flow", "br-int", FOREIGN)
        told = []

        def is_found() -> bool:
            told.append(capsys.readouterr().out)
            return bool(counts.foreign) or "foreign_flows_found" in told[-1]

        bridge.until(is_found, "the flow found")
        bridge.settle()
        stays = mode is not ForeignFlows.REMOVE
        assert [flow.cookie for flow in counts.foreign] == [0x77] * stays
        # Open vSwitch removes a meter's flows together with it: it has to stay, too.
        assert bool(dummy_switch.dump_flows("br-int", "table=200")) is stays
        said = "".join(told) + capsys.readouterr().out
        assert ("foreign_flows_found" in said) is (mode is not ForeignFlows.LEAVE)
        assert is_whole(dummy_switch, bridge)
        bridge.fleet = world(ForeignFlows.REMOVE)
        bridge.settle()
        assert not dummy_switch.dump_flows("br-int", "table=200")
        assert counts.foreign == ()
