"""Two sides of each bank on a bridge: a policy is staged on one while packets are judged by the other.

The highest bit of the ``bank`` field is the side. Compiled flows know one side only; what is sent to a
bridge, and what is read from it, has the bit turned over for the banks that stand on the other side there.
Turning over twice is the same as not at all, so that flows of the side out of force read as of a bank with
the bit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from zonewall.flows.encoded import BridgeState, EncodedFlow, FlowKey
from zonewall.flows.wire_actions import encode_actions
from zonewall.flows.wire_match import encode_match
from zonewall.pipeline.model import SetField
from zonewall.pipeline.registers import BANK

SIDE = 0x8000
"""The bit of the bank field that no compiled flow uses."""

_MATCHED = encode_match(((BANK, 0, None),))
_WHOLE = bytes((*_MATCHED[:2], _MATCHED[2] & 0xFE, 8))
_FIELD = b"|".join(b"%s.{%d}" % (re.escape(bytes((size,))), size) for size in (4, 2, 1, 8, 16, 6, 12, 32, 3))
_MATCHES = re.compile(
    b"(?:...(?:%s))*?(?:%s.{6}(..).{6}\xff\xff|%s.{6}(..))"
    % (_FIELD, re.escape(_MATCHED[:4]), re.escape(_WHOLE)),
    re.DOTALL,
)
"""Fields, each as long as its header says, up to the pair of registers that holds the bank."""
_SET = encode_actions((SetField(BANK, 0),))
_SETS = re.compile(re.escape(_SET[:10]) + b"(..)" + re.escape(_SET[12:16]), re.DOTALL)
_NUMBER_AT = 10
"""Where in a set action the bank's two bytes are: after both headers and the upper half of the register."""


def _place(match: bytes) -> int:
    """Return where in a match the bank's two bytes are, 0 if it does not ask for one bank."""
    found = _MATCHES.match(match)
    return found.start(found.lastindex or 0) if found else 0


def bank_matched(match: bytes) -> int | None:
    """Return the bank that a match asks for, None if it asks for no one bank."""
    place = _place(match)
    return int.from_bytes(match[place : place + 2], "big") if place else None


def banks_set(flow: EncodedFlow) -> set[int]:
    """Return the banks that a flow's actions set."""
    if _SET[:10] not in flow.instructions:
        return set()
    return {int.from_bytes(number, "big") for number in _SETS.findall(flow.instructions)}


def turned_key(key: FlowKey, turned: frozenset[int]) -> FlowKey:
    """Return a key with the side of the banks in ``turned`` (by the number without the bit) turned over."""
    place = _place(key.match) if turned else 0
    if not place:
        return key
    number = int.from_bytes(key.match[place : place + 2], "big")
    if number & ~SIDE not in turned:
        return key
    match = key.match[:place] + (number ^ SIDE).to_bytes(2, "big") + key.match[place + 2 :]
    return FlowKey(key.table, key.priority, match)


def turned_flow(flow: EncodedFlow, turned: frozenset[int]) -> EncodedFlow:
    """Return a flow with the side of the banks in ``turned`` turned over, where matched and where set."""
    if not turned:
        return flow
    key = turned_key(flow.key, turned)
    instructions = flow.instructions
    if _SET[:10] in instructions:
        instructions = _SETS.sub(lambda found: _turned_set(found, turned), instructions)
    if key.match is flow.match and instructions is flow.instructions:
        return flow
    return EncodedFlow(flow.table, flow.priority, key.match, instructions, flow.cookie, flow.hard_timeout_s)


def _turned_set(found: re.Match[bytes], turned: frozenset[int]) -> bytes:
    number = int.from_bytes(found[1], "big")
    if number & ~SIDE not in turned:
        return found[0]
    return found[0][:_NUMBER_AT] + (number ^ SIDE).to_bytes(2, "big") + found[0][_NUMBER_AT + 2 :]


def turned_state(state: BridgeState, turned: frozenset[int]) -> BridgeState:
    """Return a state with the side of the banks in ``turned`` turned over."""
    if not turned:
        return state
    flows: Mapping[FlowKey, EncodedFlow] = {
        flow.key: flow for flow in (turned_flow(flow, turned) for flow in state.flows.values())
    }
    return BridgeState(flows, state.groups, state.meters)


def sides(flows: Iterable[EncodedFlow]) -> frozenset[int]:
    """Return the banks whose other side is in force: flows that ask for no bank set that one only."""
    upper: set[int] = set()
    lower: set[int] = set()
    for flow in flows:
        found = banks_set(flow)
        if found and bank_matched(flow.match) is None:
            for number in found:
                (upper if number & SIDE else lower).add(number & ~SIDE)
    return frozenset(upper - lower)


def is_out_of_force(match: bytes) -> bool:
    """Say whether a flow, as read with its bridge's sides turned, is of the side that is not in force."""
    return (bank_matched(match) or 0) & SIDE != 0
