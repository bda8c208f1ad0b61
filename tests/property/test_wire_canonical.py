"""However a match is written, its bytes are the same, and reading them back changes nothing."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from support.wire_flows import flows
from zonewall.flows.wire import encode_flow
from zonewall.flows.wire_match import canonical_match, encode_match
from zonewall.pipeline.model import Flow


@given(flows(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_order_of_conditions_makes_no_difference(flow: Flow, chance: random.Random) -> None:
    shuffled = list(flow.match)
    chance.shuffle(shuffled)
    assert encode_match(tuple(shuffled)) == encode_match(flow.match)


@given(flows())
@settings(max_examples=150, deadline=None)
def test_a_canonical_match_read_back_is_itself(flow: Flow) -> None:
    match = encode_flow(flow).match
    assert canonical_match(match) is match


@given(flows())
@settings(max_examples=150, deadline=None)
def test_a_match_with_each_value_is_told_from_one_with_another(flow: Flow) -> None:
    for position, (field, value, mask) in enumerate(flow.match):
        if field.base.startswith("reg"):
            bits = field.ones if mask is None else mask
            other = (field, value ^ (bits & -bits), mask)
            changed = (*flow.match[:position], other, *flow.match[position + 1 :])
            assert encode_match(changed) != encode_match(flow.match)
