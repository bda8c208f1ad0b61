"""A real bridge refuses something: the rule it stands for is named and closed there, the rest goes in."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from support.anything import Anything
from support.compiled import FIRST, CompiledFleet
from support.configurations import configure, endpoint, probe, rule, tenant, tier, zone
from support.dummy import DummySwitch
from support.kept_bridge import kept
from support.packets import build
from zonewall.flows.assembly import Assembler
from zonewall.flows.encoded import BridgeState
from zonewall.flows.stirring import is_stirring
from zonewall.flows.wire import encode_program
from zonewall.intent.fleet import Fleet, index_fleet
from zonewall.intent.numbering import Kind
from zonewall.openflow import parse
from zonewall.openflow.events import BridgeDown, BridgeUp
from zonewall.pipeline import compile as compile_module
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.cookie import rule_of
from zonewall.pipeline.model import Action, BridgeProgram, Group, SetField
from zonewall.pipeline.tables import VERDICT_TABLE
from zonewall.placement.model import BridgeKey
from zonewall.reconciler import aside as aside_module
from zonewall.reconciler import keeper as keeper_module

pytestmark = pytest.mark.ovs
PAUSE_S = 200.0
"""Longer than any test."""

AT_COMMIT, WHEN_ADDED = Group(77), SetField(pf.ARP_SPA, 1)
"""Actions that no bridge takes here, and when it says so."""


def shop(rules: int = 0) -> CompiledFleet:
    """Return a drop above an allow between two endpoints of the first bridge, and many rules beside."""
    many = [rule(f"r{n:03}", "web", "db", services=f"tcp/{2000 + 2 * n}") for n in range(rules)]
    own = tenant(
        "acme",
        tier(
            "t",
            rule("never", "web", "db", "drop", services="tcp/22"),
            rule("shop", "web", "db", services="tcp/80"),
            *many,
            rule("rest", "web", "db"),
        ),
        zones=[zone(name, labels={"role": name}) for name in ("web", "db")],
    )
    ends = [
        endpoint(f"acme/{n}{role}", f"10.0.0.{n}", labels={"role": role})
        for n, role in enumerate(("web", "x", "db"), 1)
    ]
    return CompiledFleet(configure(*ends, own))


def passes(switch: DummySwitch, fleet: CompiledFleet, port: int) -> bool:
    """Say whether a SYN from 1web to a port of 3db comes out there."""
    asked = probe("acme/1web", "acme/3db", f"tcp/{port}")
    switch.appctl("revalidator/purge")
    switch.appctl("dpctl/flush-conntrack")
    _, frame = fleet.entering(asked, *fleet.addresses(asked))
    switch.captured("p2")
    switch.inject("p1", build(frame))
    return bool(switch.captured("p2"))


def bad(program: BridgeProgram, number: int, action: Action) -> BridgeProgram:
    """Return the program with an action in one rule's verdicts that no bridge takes."""
    return replace(
        program,
        flows=tuple(
            replace(flow, actions=(*flow.actions, action))
            if flow.table is VERDICT_TABLE and rule_of(flow.cookie) == number
            else flow
            for flow in program.flows
        ),
    )


def refuse_rule(
    monkeypatch: pytest.MonkeyPatch, fleet: CompiledFleet, name: str, action: Action = AT_COMMIT
) -> dict[str, Any]:
    """Have the keeper ask for something impossible in a rule, until ``is_on`` is False."""
    switchable = {"is_on": True}
    number = fleet.policy.number(Kind.RULE, name)

    def compiled(_: Assembler, world: Fleet, key: BridgeKey) -> BridgeState:
        program = compile_module.compile_bridge(world, key)
        return encode_program(bad(program, number, action) if switchable["is_on"] else program)

    monkeypatch.setattr(Assembler, "state", compiled)
    return switchable


@pytest.mark.parametrize(
    ("name", "open_ports"), [("acme/t/shop", {443}), ("acme/t/never", {80, 443})], ids=["allow", "drop"]
)
def test_a_refused_rule_is_closed_alone_and_named(
    dummy_switch: DummySwitch, monkeypatch: pytest.MonkeyPatch, name: str, open_ports: set[int]
) -> None:
    """A drop that is refused must not let through what the allow beneath it would take."""
    fleet = shop()
    refuse_rule(monkeypatch, fleet, name)
    with kept(dummy_switch, FIRST, index_fleet(fleet.policy, fleet.placement), ports=2) as bridge:
        assert bridge.keeper.status.state == "degraded"
        (row,) = bridge.keeper.aside.rows(fleet.policy, 0.0)
        assert (row["rule"], row["at"]) == (name, "test.yaml:1:1")
        assert "no such group" in row["reason"]
        assert {port for port in (22, 80, 443) if passes(dummy_switch, fleet, port)} == open_ports


def test_a_refusal_without_a_name_here_closes_its_rule_alone_and_shows_its_numbers(
    dummy_switch: DummySwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where all that the bridge says is in words of its own: of the flow, and of the bundle."""
    monkeypatch.setattr(parse, "parse_error", lambda _: (4242, 7))
    fleet = shop()
    refuse_rule(monkeypatch, fleet, "acme/t/never")
    with kept(dummy_switch, FIRST, index_fleet(fleet.policy, fleet.placement), ports=2) as bridge:
        assert bridge.keeper.status.state == "degraded"
        (row,) = bridge.keeper.aside.rows(fleet.policy, 0.0)
        assert (row["rule"], row["reason"]) == ("acme/t/never", "type 4242/code 7")
        assert {port for port in (22, 80, 443) if passes(dummy_switch, fleet, port)} == {80, 443}


def test_what_is_refused_after_the_commit_was_sent_is_found_closed_and_named(
    dummy_switch: DummySwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bridge holds the rest already: it is read again, and what belongs to the refused goes."""
    fleet = shop()
    refused = refuse_rule(monkeypatch, fleet, "acme/t/never", WHEN_ADDED)
    refused["is_on"] = False
    with kept(dummy_switch, FIRST, index_fleet(fleet.policy, fleet.placement), ports=2) as bridge:
        refused["is_on"] = True
        bridge.bridge.session.taken_shapes = Anything()
        bridge.settle()
        assert bridge.keeper.status.state == "degraded"
        assert {row["rule"] for row in bridge.keeper.aside.rows(fleet.policy, 0.0)} == {"acme/t/never"}
        assert {port for port in (22, 80, 443) if passes(dummy_switch, fleet, port)} == {80, 443}
        refused["is_on"] = False
        bridge.until(lambda: bridge.keeper.status.state == "in-force", "all in force")
        held = bridge.bridge.run(bridge.bridge.session.read_flows())
        held = {key: flow for key, flow in held.items() if not is_stirring(key)}
        assert held == encode_program(compile_module.compile_bridge(bridge.fleet, FIRST)).flows


def test_a_rule_set_aside_is_tried_again_and_taken(
    dummy_switch: DummySwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside_module, "FIRST_PAUSE_S", 0.2)
    fleet = shop()
    refused = refuse_rule(monkeypatch, fleet, "acme/t/shop")
    with kept(dummy_switch, FIRST, index_fleet(fleet.policy, fleet.placement), ports=2) as bridge:
        entry = next(iter(bridge.keeper.aside.flows.values()))
        bridge.until(lambda: entry.pause_s > 0.3, "a second trial, later than the first")
        assert not passes(dummy_switch, fleet, 80)
        refused["is_on"] = False
        bridge.until(lambda: bridge.keeper.status.state == "in-force", "all in force")
        assert passes(dummy_switch, fleet, 80)


def test_what_an_edit_makes_another_flow_of_and_what_a_bridge_that_comes_anew_is_asked_waits_for_no_trial(
    dummy_switch: DummySwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside_module, "FIRST_PAUSE_S", PAUSE_S)
    fleet = shop()
    refused = refuse_rule(monkeypatch, fleet, "acme/t/shop")
    with kept(dummy_switch, FIRST, index_fleet(fleet.policy, fleet.placement), ports=2) as bridge:
        keeper, loop = bridge.keeper, bridge.bridge.loop
        assert keeper.status.state == "degraded"
        loop.call_soon_threadsafe(keeper.wake)
        bridge.settle()
        assert keeper.status.state == "degraded", "what is as it was is not asked for again"
        refused["is_on"] = False
        loop.call_soon_threadsafe(keeper.wake)
        bridge.until(lambda: keeper.status.state == "in-force", "all in force")
        assert passes(dummy_switch, fleet, 80)
        refused["is_on"] = True
        loop.call_soon_threadsafe(keeper.wake)
        bridge.until(lambda: keeper.status.state == "degraded", "refused again")
        entry = next(iter(keeper.aside.flows.values()))
        dummy_switch.vsctl("set-controller", "br-int", "tcp:127.0.0.1:1")
        bridge.bridge.until(BridgeDown)
        dummy_switch.vsctl("set-controller", "br-int", bridge.bridge.remote)
        bridge.bridge.until(BridgeUp)
        bridge.connect()
        assert keeper.status.state == "degraded"
        assert entry.pause_s > PAUSE_S, "it was tried a second time"


def test_a_full_table_holds_the_first_rules_and_lets_through_no_more(
    dummy_switch: DummySwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside_module, "FIRST_PAUSE_S", 0.5)
    fleet = shop(rules=200)
    number = str(VERDICT_TABLE.number)
    dummy_switch.add_bridge("br-int", datapath_id=0xA1)
    limit = ("create", "Flow_Table", "flow_limit=100", "overflow_policy=refuse")
    dummy_switch.vsctl("--id=@t", *limit, "--", "set", "bridge", "br-int", f"flow_tables:{number}=@t")
    with kept(dummy_switch, FIRST, index_fleet(fleet.policy, fleet.placement), ports=2) as bridge:
        assert len(dummy_switch.dump_flows("br-int", f"table={number}")) == 100
        assert bridge.keeper.status.state == "degraded"
        row = bridge.keeper.aside.rows(fleet.policy, 0.0)[0]
        assert "TABLE_FULL" in row["reason"]
        wanted = encode_program(compile_module.compile_bridge(bridge.fleet, FIRST)).flows
        assert row["flows_with_it"] == sum(key.table == VERDICT_TABLE.number for key in wanted) - 101
        first = int(row["rule"].rpartition("/r")[2])
        assert row["rules_with_it"] == [f"acme/t/r{first + later:03}" for later in range(1, 21)]
        assert passes(dummy_switch, fleet, 80)
        assert passes(dummy_switch, fleet, 2010)
        assert not passes(dummy_switch, fleet, 2390)
        assert not passes(dummy_switch, fleet, 22)
        dummy_switch.vsctl("clear", "bridge", "br-int", "flow_tables")
        bridge.until(lambda: bridge.keeper.status.state == "in-force", "all in force")
        assert passes(dummy_switch, fleet, 2390)
        assert not passes(dummy_switch, fleet, 22)


def test_a_feature_that_the_datapath_lacks_is_named_and_what_needs_it_is_closed(
    dummy_switch: DummySwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside_module, "FIRST_PAUSE_S", 0.5)
    fleet = shop()
    dummy_switch.add_bridge("br-int", datapath_id=0xA1)
    dummy_switch.appctl("dpif/set-dp-features", "br-int", "ct_label", "false")
    with kept(dummy_switch, FIRST, index_fleet(fleet.policy, fleet.placement), ports=2) as bridge:
        assert bridge.keeper.status.state == "degraded"
        reasons = [row["reason"] for row in bridge.keeper.aside.rows(fleet.policy, 0.0)]
        assert reasons
        assert all("its datapath lacks connection tracking, or a" in reason for reason in reasons)
        assert any("that is matched: " in reason and "ct_label" in reason for reason in reasons)
        assert not passes(dummy_switch, fleet, 80)
        dummy_switch.appctl("dpif/set-dp-features", "br-int", "ct_label", "true")
        bridge.until(lambda: bridge.keeper.status.state == "in-force", "all in force")
        assert passes(dummy_switch, fleet, 80)
        assert not passes(dummy_switch, fleet, 22)


def test_a_sick_bridge_delays_no_other(dummy_switch: DummySwitch, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bridge takes nothing and answers nothing; the other is programmed meanwhile."""
    fleet = shop()
    world = index_fleet(fleet.policy, fleet.placement)
    with kept(dummy_switch, FIRST, world, ports=2) as bridge:

        class Deaf:
            async def read_state(self, expected: object = ()) -> Any:
                await asyncio.sleep(3600)

            async def watch(self) -> bool:
                return False

            async def keep_settings(self) -> bool:
                return False

            async def change(self, change: Any, planned: Any, when: Any = None, in_force: Any = None) -> None:
                await asyncio.sleep(3600)

            async def reread(self) -> Any:
                await asyncio.sleep(3600)

            @property
            def last_read(self) -> None:
                return None

        sick = keeper_module.BridgeKeeper(FIRST, lambda: world, lambda _: None)
        task = bridge.bridge.loop.create_task(sick.run())
        sick.connect(Deaf())
        bridge.settle()
        assert bridge.keeper.status.state == "in-force"
        assert sick.status.state == "syncing"
        task.cancel()
