"""Rows for identities that nobody is given any more go a moment after the change that took them away."""

from __future__ import annotations

from zonewall.flows.encoded import BridgeState, EncodedFlow
from zonewall.flows.leaving import REVALIDATION_S, Leaving, identities_matched, identities_set, retired
from zonewall.flows.wire import encode_flow
from zonewall.pipeline.cookie import Category
from zonewall.pipeline.make import flow
from zonewall.pipeline.model import Action, Condition, Conjunction, Goto, SetField
from zonewall.pipeline.packet_fields import CONJ_ID, IN_PORT
from zonewall.pipeline.registers import BANK, DST_IDENTITY, OUTSIDE_BIT, RULE, SECTION, SRC_IDENTITY, VERDICT
from zonewall.pipeline.tables import GUARD, RESOLVE, VERDICT_TABLE


def who(port: int, identity: int) -> EncodedFlow:
    give = SetField(SRC_IDENTITY, identity)
    return encode_flow(flow(GUARD, 200, ((IN_PORT, port, None),), give, Goto(RESOLVE)))


def row(rule: int, *asks: Condition, act: tuple[Action, ...] = ()) -> EncodedFlow:
    where: tuple[Condition, ...] = ((BANK, 1, None), (SECTION, 0, None), *asks)
    actions = act or (SetField(RULE, rule), SetField(VERDICT, 1))
    return encode_flow(flow(VERDICT_TABLE, 100 + rule, where, *actions, category=Category.RULE, rule=rule))


def src(number: int) -> Condition:
    return (SRC_IDENTITY, number, None)


def dst(number: int) -> Condition:
    return (DST_IDENTITY, number, None)


def state(*flows: EncodedFlow) -> BridgeState:
    return BridgeState({one.key: one for one in flows}, {}, {})


def test_identities_are_read_from_matches_and_actions() -> None:
    assert identities_matched(row(1, src(5), dst(6)).match) == (5, 6)
    assert identities_matched(row(1, src(5)).match) == (5, None)
    assert identities_matched(row(1, dst(6)).match) == (None, 6)
    assert identities_matched(row(1, (SRC_IDENTITY, 0, OUTSIDE_BIT), dst(6)).match) == (-1, 6)
    assert identities_matched(who(1, 5).match) == (None, None)
    given = [who(1, 5), who(2, 0x80000007), row(1, src(9)), who(3, 6)]
    assert identities_set(given, {5, 0x80000007, 9}) == {5, 0x80000007}


def test_a_row_of_a_number_that_is_given_to_nobody_goes_later_and_any_other_at_once() -> None:
    old = state(who(1, 5), who(2, 6), row(1, src(5)), row(2, src(6)))
    new = state(who(1, 7), who(2, 6), row(1, src(7)))
    assert retired(old.flows, new.flows) == {row(1, src(5)).key}


def test_a_line_goes_later_as_a_whole_only_if_one_of_its_sides_is_nobody_now() -> None:
    clauses = [
        row(3, src(5), act=(Conjunction(9, 1, 2),)),
        row(3, dst(6), act=(Conjunction(9, 2, 2),)),
        row(3, (CONJ_ID, 9, None)),
    ]
    old = state(who(1, 5), who(2, 6), *clauses)
    assert retired(old.flows, state(who(1, 7), who(2, 6)).flows) == {one.key for one in clauses}
    # Revoked, with the same people still there: at once.
    assert retired(old.flows, state(who(1, 5), who(2, 6)).flows) == set()
    wide = state(who(1, 5), *clauses, row(3, (SRC_IDENTITY, 0, OUTSIDE_BIT), act=(Conjunction(9, 1, 2),)))
    assert retired(wide.flows, state(who(1, 7), who(2, 6)).flows) == {clauses[0].key}


def test_what_leaves_is_kept_until_no_cached_decision_can_need_it() -> None:
    old, new = state(who(1, 5), row(1, src(5))), state(who(1, 7), row(1, src(7)))
    leaving = Leaving()
    kept = leaving.keep(old, new, 10.0)
    assert kept.flows == {**new.flows, row(1, src(5)).key: row(1, src(5))}
    assert leaving.last_at == 10.0 + REVALIDATION_S
    assert leaving.keep(kept, new, 10.0 + REVALIDATION_S / 2).flows == kept.flows
    assert leaving.keep(kept, new, 10.0 + REVALIDATION_S).flows == new.flows
    assert leaving.keep(new, new, 11.0) is new
    assert leaving.last_at is None


def test_a_number_that_is_given_again_meanwhile_takes_its_old_rows_away_at_once() -> None:
    old, new = state(who(1, 5), row(1, src(5))), state(who(1, 7), row(1, src(7)))
    leaving = Leaving()
    kept = leaving.keep(old, new, 10.0)
    back = state(who(1, 5), row(2, src(5)))
    assert row(1, src(5)).key not in leaving.keep(kept, back, 10.1).flows
