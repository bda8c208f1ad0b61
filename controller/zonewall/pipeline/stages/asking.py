"""Calls of the verdict, in the packet's own direction or its connection's first, as stages make them."""

from __future__ import annotations

from zonewall.intent.model import BridgeIntent
from zonewall.pipeline.make import ask, judge
from zonewall.pipeline.model import (
    Action,
    Clone,
    Condition,
    Ct,
    Field,
    Move,
    PopField,
    PushField,
    SetField,
)
from zonewall.pipeline.packet_fields import CT_STATE, CT_TRK
from zonewall.pipeline.registers import ANSWER, DST_IDENTITY, MIRROR_STEP, SRC_IDENTITY, TRACK_ZONE
from zonewall.pipeline.tables import MIRROR_SELECT

SWAP_IDENTITIES: tuple[Action, ...] = (
    PushField(SRC_IDENTITY),
    PushField(DST_IDENTITY),
    PopField(SRC_IDENTITY),
    PopField(DST_IDENTITY),
)

TURN: tuple[Action, ...] = (*SWAP_IDENTITIES, SetField(ANSWER, 1))


def state_condition(plus: int = 0, minus: int = 0) -> Condition:
    """Return the condition on ct_state that bits are set and others are not."""
    plus |= CT_TRK
    return (CT_STATE, plus, plus | minus)


def remembered(fields: tuple[SetField | Move, ...], zone: int | Field = TRACK_ZONE) -> Clone:
    """Return what remembers the connection, with these marks.

    On a copy: Open vSwitch lets fragments that waited in vain go on with whatever packet is tracked next
    (ipf.c, 3.1). Here they end with the copy; where a tracked packet comes back, they come back untracked.
    """
    return Clone((Ct(zone=zone, commit=True, fields=fields),))


def ask_all(intent: BridgeIntent, ct: bool) -> tuple[Action, ...]:
    """Return the calls of mirror_select and verdict; with ``ct`` they see the connection's first packet."""
    return (*select_mirrors(intent, ct), *judge(ct, intent.sections))


def select_mirrors(intent: BridgeIntent, ct: bool) -> tuple[Action, ...]:
    """Return the calls of mirror_select, one for each mirror rule."""
    steps = intent.mirror_steps
    return ask(MIRROR_SELECT, SetField(MIRROR_STEP, 0), steps, ct) if steps else ()


def ask_turned(intent: BridgeIntent, source: Field, destination: Field) -> tuple[Action, ...]:
    """Return the calls of both subroutines with the packet's ports changed over, and back."""
    turn = (PushField(source), PushField(destination), PopField(source), PopField(destination))
    return (*turn, *ask_all(intent, False), *turn)
