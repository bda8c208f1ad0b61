"""The declaration of the tables is what the flows do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.everything import ATTACHMENTS, write_everything
from zonewall.intent.fleet import bridges_of, index_fleet, prepare
from zonewall.intent.numbering import Numbering
from zonewall.pipeline.compile import compile_bridge
from zonewall.pipeline.cookie import rule_of
from zonewall.pipeline.model import Action, Clone, Ct, Flow, Goto, Resubmit, SamplePacket
from zonewall.pipeline.registers import RULE
from zonewall.pipeline.tables import PIPELINE
from zonewall.policy.load import load_directory
from zonewall.store.placement_file import read_placement


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> list[Flow]:
    found: list[Flow] = []
    for attachment in ATTACHMENTS:
        folder = tmp_path_factory.mktemp(attachment) / "configuration"
        placement = read_placement(write_everything(folder, attachment))
        configuration = load_directory(folder)
        fleet = index_fleet(prepare(configuration, Numbering()), placement)
        for key in bridges_of(configuration):
            found += compile_bridge(fleet, key).flows
    return found


def led_to(actions: tuple[Action, ...]) -> Iterator[str]:
    """Yield the tables that actions hand the packet itself on to."""
    for action in actions:
        if isinstance(action, Goto | Ct) and action.table is not None:
            yield action.table.name


def test_no_flow_matches_a_field_that_its_table_does_not_declare(flows: list[Flow]) -> None:
    undeclared = {
        (flow.table.name, field.name)
        for flow in flows
        for field, _, _ in flow.match
        if field.name not in flow.table.matches
    }
    assert undeclared == set()


def test_collectors_are_told_the_bridges_own_number_and_the_rules(flows: list[Flow]) -> None:
    told = [(flow, one) for flow in flows for one in flow.actions if isinstance(one, SamplePacket)]
    assert len({one.domain for _, one in told} - {0}) == len({one.domain for _, one in told}) >= 2
    assert all(flow.match == ((RULE, one.point, None),) for flow, one in told)
    assert all(rule_of(flow.cookie) == one.point for flow, one in told)


def test_no_flow_leads_where_its_table_does_not_say(flows: list[Flow]) -> None:
    undeclared = {
        (flow.table.name, name)
        for flow in flows
        for name in led_to(flow.actions)
        if name not in flow.table.goto and name != flow.table.name  # tracking may hand it back where it was
    }
    assert undeclared == set()


def test_each_table_has_flows_where_every_kind_of_thing_is_said(flows: list[Flow]) -> None:
    reached = {flow.table.name for flow in flows}
    calls = {
        action.table.name
        for flow in flows
        for outer in flow.actions
        for action in ((outer, *outer.actions) if isinstance(outer, Clone) else (outer,))
        if isinstance(action, Resubmit)
    }
    assert calls <= reached | {"log_rows"}
    assert {table.name for table in PIPELINE.tables} - reached <= RARE


RARE = frozenset({"announce", "take_up", "log_rows"})
"""Flows only for ports that wait, and for connections after a move; rows are the bridge's own."""
