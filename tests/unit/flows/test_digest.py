"""A digest is the same for the same state in whatever order, and another for any other."""

from __future__ import annotations

import subprocess
import sys

import pytest

from zonewall.flows.diff import by_key
from zonewall.flows.digest import digest
from zonewall.flows.encoded import BridgeState, EncodedFlow, EncodedGroup
from zonewall.pipeline.model import MeterEntry, MeterUnit

ONE, TWO = EncodedFlow(1, 10, b"m1", b"i1", 5), EncodedFlow(2, 10, b"m2", b"i2", 6)
GROUP, METER = EncodedGroup(7, 0, b"b"), MeterEntry(9, MeterUnit.PPS, 10, 20)
STATE = BridgeState(by_key((ONE, TWO)), {7: GROUP}, {9: METER})


def test_the_order_and_the_time_that_is_left_do_not_count() -> None:
    other = by_key((TWO._replace(hard_timeout_s=9, ends_at=99), ONE))
    assert digest(BridgeState(other, {7: GROUP}, {9: METER})) == digest(STATE)


def test_another_process_makes_the_same_of_it() -> None:
    program = f"from {__name__.rpartition('.')[2]} import STATE, digest; print(digest(STATE))"
    folder = __file__.rpartition("/")[0]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest(STATE)


@pytest.mark.parametrize(
    "other",
    [
        BridgeState(by_key((ONE,)), {7: GROUP}, {9: METER}),
        BridgeState(by_key((ONE, TWO._replace(instructions=b"i3"))), {7: GROUP}, {9: METER}),
        BridgeState(by_key((ONE, TWO._replace(match=b"m3"))), {7: GROUP}, {9: METER}),
        BridgeState(by_key((ONE, TWO._replace(match=b"m2i", instructions=b"2"))), {7: GROUP}, {9: METER}),
        BridgeState(by_key((ONE, TWO._replace(cookie=7))), {7: GROUP}, {9: METER}),
        BridgeState(STATE.flows, {}, {9: METER}),
        BridgeState(STATE.flows, {7: EncodedGroup(7, 0, b"c")}, {9: METER}),
        BridgeState(STATE.flows, {7: GROUP}, {9: MeterEntry(9, MeterUnit.PPS, 11, 20)}),
    ],
)
def test_any_other_state_has_another(other: BridgeState) -> None:
    assert digest(other) != digest(STATE)
