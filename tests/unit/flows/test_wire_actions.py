"""Actions as bytes: goto is an instruction, everything else is applied at once."""

from __future__ import annotations

import pytest

from zonewall.errors import EncodingError
from zonewall.flows.wire import encode_flow
from zonewall.flows.wire_actions import encode_instructions
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.model import (
    Action,
    Clone,
    Conjunction,
    Ct,
    Flow,
    Goto,
    Meter,
    Move,
    Output,
    SetField,
    Table,
    ToController,
    register,
)

NEXT = Table("next", 9, "", ())
BITS = register("bits", 2, 4, 4)


def test_no_actions_are_no_instructions() -> None:
    assert encode_instructions(()) == b""


def test_goto_alone_is_one_instruction() -> None:
    assert encode_instructions((Goto(NEXT),)).hex() == "0001000809000000"


def test_goto_follows_the_applied_actions() -> None:
    applied = "0004001800000000" + "00000010000000030000000000000000"
    assert encode_instructions((Output(3), Goto(NEXT))).hex() == applied + "0001000809000000"


def test_bits_of_a_register_are_set_under_a_mask() -> None:
    assert (
        encode_instructions((SetField(BITS, 5),))[8:].hex()
        == "00190010" + "00010508" + "00000050" + "000000f0"
    )


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (SetField(BITS, 16), "outside what is set"),
        (SetField(BITS, 1, 0), "empty"),
        (SetField(pf.VLAN_NUMBER, 5), "only be set whole"),
        (Move(register("wide", 1), BITS), "wider"),
        (Ct(1, fields=(SetField(pf.CT_MARK, 1),)), "only be written with commit"),
        (Ct(1, commit=True, fields=(SetField(BITS, 1),)), "only ct_mark and ct_label"),
        (Ct(70000), "zone 70000"),
        (Ct(BITS), "16 bits wide"),
        (Conjunction(1, 3, 2), "clause 3 of 2"),
        (ToController(b""), "userdata"),
        (Clone((Meter(1),)), "no meter"),
        (Clone((Goto(NEXT),)), "last action"),
        (Output(70000), "no OpenFlow port"),
        (Goto(Table("far", 255, "", ())), "table 255"),
    ],
)
def test_an_action_that_cannot_be_is_refused(action: Action, reason: str) -> None:
    with pytest.raises(EncodingError, match=reason):
        encode_instructions((action,))


def test_goto_before_the_end_is_refused() -> None:
    with pytest.raises(EncodingError, match="last action"):
        encode_instructions((Goto(NEXT), Output(1)))


def test_the_error_names_the_flow() -> None:
    with pytest.raises(EncodingError, match="flow of table next, priority 7: "):
        encode_flow(Flow(NEXT, 7, ((pf.TCP_DST, 1, None),), ()))
