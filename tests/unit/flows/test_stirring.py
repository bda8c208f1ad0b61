"""When a row comes by which cached decisions end, which one, and when it goes."""

from __future__ import annotations

from support.compiled import FIRST, CompiledFleet
from support.configurations import configure, endpoint, rule, tenant, tier
from zonewall.flows.assembly import Assembler
from zonewall.flows.diff import Delta, diff
from zonewall.flows.encoded import BridgeState, EncodedFlow
from zonewall.flows.layers import Layers
from zonewall.flows.leaving import REVALIDATION_S
from zonewall.flows.stirring import ROWS, Stirring, decides, is_stirring
from zonewall.flows.wire import encode_flow
from zonewall.intent.fleet import index_fleet
from zonewall.pipeline.make import flow
from zonewall.pipeline.model import Table
from zonewall.pipeline.registers import BANK
from zonewall.pipeline.tables import ACT, MIRROR_SELECT, VERDICT_TABLE

EMPTY = BridgeState({}, {}, {})


def row(table: Table = VERDICT_TABLE) -> EncodedFlow:
    return encode_flow(flow(table, 100, ((BANK, 1, None),)))


def there(state: BridgeState) -> set[int]:
    return {at for at, one in enumerate(ROWS) if one.key in state.flows}


def test_each_row_takes_group_addresses_alone_and_reads_a_bit_that_no_other_does() -> None:
    masks = [int.from_bytes(one.match[-6:], "big") for one in ROWS]
    values = {int.from_bytes(one.match[-12:-6], "big") for one in ROWS}
    assert values == {1 << 40}
    assert all(mask & 1 << 40 for mask in masks)
    assert len({mask & ~(1 << 40) for mask in masks}) == len(ROWS) == 7
    assert all(one.instructions == b"" for one in ROWS)


def test_only_changes_of_what_decides_need_one() -> None:
    assert decides(Delta((row(),)))
    assert decides(Delta((), (row(MIRROR_SELECT).key,)))
    assert not decides(Delta((row(ACT),), (row(ACT).key,)))
    assert not decides(Delta((), (row().key, ROWS[0].key)), {row().key})
    assert not decides(Delta(ROWS, tuple(one.key for one in ROWS)))


def test_it_goes_half_a_second_later_and_the_next_change_brings_another() -> None:
    stirring = Stirring()
    first = there(stirring.keep(Delta((row(),)), EMPTY, 10.0, ()))
    assert len(first) == 1
    assert there(stirring.keep(Delta(), EMPTY, 10.4, ())) == first
    assert stirring.until == 10.0 + REVALIDATION_S
    second = there(stirring.keep(Delta((row(),)), EMPTY, 10.4, ()))
    assert len(second) == 1
    assert second != first
    assert there(stirring.keep(Delta(), EMPTY, 10.6, ())) == second
    assert stirring.keep(Delta(), EMPTY, 10.9, ()) is EMPTY
    assert stirring.until is None


def test_what_is_owed_is_given_without_a_change_and_a_bridge_without_room_is_left_alone() -> None:
    stirring = Stirring(owed=True)
    assert len(there(stirring.keep(Delta(), EMPTY, 10.0, ()))) == 1
    assert not stirring.owed
    stirring.refused(10.0, 30.0)
    assert stirring.keep(Delta((row(),)), EMPTY, 39.9, ()) is EMPTY
    assert len(there(stirring.keep(Delta((row(),)), EMPTY, 40.0, ()))) == 1


def test_a_state_of_pieces_stays_one_and_differs_by_the_row_alone() -> None:
    ends = [endpoint(f"acme/e{n}", f"10.0.0.{n}") for n in (1, 2, 3)]
    fleet = CompiledFleet(configure(*ends, tenant("acme", tier("t", rule("r", "any", "any")))))
    state = Assembler().state(index_fleet(fleet.policy, fleet.placement), FIRST)
    assert isinstance(state.flows, Layers)
    for counted in (False, True):
        assert not counted or len(state.flows)
        stirred = Stirring(owed=True).keep(Delta(), state, 10.0, ())
        assert isinstance(stirred.flows, Layers)
        delta = diff(state.flows, stirred.flows)
        assert [is_stirring(one.key) for one in delta.put] == [True]
        assert delta.delete == ()
        assert len(stirred.flows) == len(set(stirred.flows)) == len(state.flows) + 1
        assert diff(stirred.flows, state.flows).delete == (delta.put[0].key,)
        assert stirred.flows._asked is state.flows._asked
        assert not diff(state.flows, state.flows)
        assert not diff(stirred.flows, stirred.flows)
        assert diff(stirred.flows, state.flows).delete == (delta.put[0].key,)
