"""The single steps of a change: what each is as a message, and what is said of it when it is refused."""

from __future__ import annotations

from collections.abc import Sequence

from zonewall.flows.diff import Change
from zonewall.flows.encoded import EncodedFlow, EncodedGroup, FlowKey
from zonewall.flows.wire import (
    FLOW_MOD,
    GROUP_MOD,
    flow_delete_body,
    flow_mod_body,
    group_delete_body,
    group_put_body,
)
from zonewall.openflow import parse
from zonewall.openflow.errors import Refusal

Step = EncodedFlow | FlowKey | EncodedGroup | int
"""A flow or group to put; a flow, by its key, or a group, by its number, to remove."""


def steps_of(change: Change) -> Sequence[Step]:
    """Return a change's steps in their order; meters are no part of it."""
    return (*change.put_groups, *change.flows.put, *change.flows.delete, *change.delete_groups)


def packed(step: Step) -> tuple[int, bytes]:
    """Return a step's kind of message, and the message without its header."""
    if isinstance(step, EncodedFlow):
        return FLOW_MOD, flow_mod_body(step)
    if isinstance(step, FlowKey):
        return FLOW_MOD, flow_delete_body(step)
    if isinstance(step, EncodedGroup):
        return GROUP_MOD, group_put_body(step)
    return GROUP_MOD, group_delete_body(step)


def described(step: Step) -> str:
    """Return what a step is, in words."""
    if isinstance(step, EncodedFlow):
        return f"a flow of table {step.table}, priority {step.priority}"
    if isinstance(step, FlowKey):
        return f"to remove a flow of table {step.table}, priority {step.priority}"
    if isinstance(step, EncodedGroup):
        return f"group {step.number}"
    return f"to remove group {step}"


def refused_step(step: Step, error: bytes) -> Refusal:
    """Return that a bridge answered to a step with an error message of this content."""
    flow = step if isinstance(step, EncodedFlow | FlowKey) else None
    return Refusal(described(step), *parse.parse_error(error), flow)
