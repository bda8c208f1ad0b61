"""The verdict subroutine: a rule becomes the fewest flows, a sum where both of its sides are many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from zonewall.intent.model import BankFrame, BridgeIntent, CrowdIntent, VerdictLine
from zonewall.pipeline.cookie import Category
from zonewall.pipeline.make import flow
from zonewall.pipeline.matches import service_conditions
from zonewall.pipeline.model import (
    Action,
    Condition,
    Conjunction,
    Field,
    Flow,
    Resubmit,
    SetField,
    Spread,
)
from zonewall.pipeline.packet_fields import CONJ_ID, CT_INV, CT_STATE, CT_TRK
from zonewall.pipeline.registers import (
    ALLOW,
    BANK,
    DROP,
    DST_IDENTITY,
    LABEL_RULE,
    MIRROR_ALLOWED,
    MIRROR_DROPPED,
    MIRROR_PICK,
    MIRROR_STEP,
    MONITORED,
    OUTSIDE_BIT,
    REJECT,
    RULE,
    SECTION,
    SRC_IDENTITY,
    VERDICT,
)
from zonewall.pipeline.tables import MIRROR_SAMPLE, MIRROR_SELECT, VERDICT_TABLE

Clause = list[tuple[Condition, ...]]


def decided_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows that end the search where a section before has decided."""
    if intent.sections > 1:
        for verdict in (ALLOW, DROP, REJECT):
            yield flow(VERDICT_TABLE, 65000, ((VERDICT, verdict, None),), category=Category.TRACK)


def onward_flows(bank: BankFrame) -> Iterator[Flow]:
    """Yield where what no line of a section matches goes on."""
    for index, miss in enumerate(bank.misses):
        if miss is not None:
            where = ((BANK, bank.number, None), (SECTION, index, None))
            yield flow(VERDICT_TABLE, 1, where, *_onward(miss), category=Category.TRACK)


def line_flows(bank: BankFrame, index: int, line: VerdictLine) -> Iterator[Flow]:
    """Yield the flows of one line, all of one priority and one conjunction number."""
    return (line_flow(line, match, actions) for match, actions in line_rows(bank, index, line))


def line_flow(line: VerdictLine, match: tuple[Condition, ...], actions: tuple[Action, ...]) -> Flow:
    """Return one row of a line as a flow."""
    made = flow(VERDICT_TABLE, line.priority, match, *actions, category=Category.RULE, rule=line.rule)
    return replace(made, ends_at=line.ends_at) if line.ends_at else made


def line_rows(
    bank: BankFrame, index: int, line: VerdictLine
) -> Iterator[tuple[tuple[Condition, ...], tuple[Action, ...]]]:
    """Yield match and actions of each of a line's flows; those in a row that do the same, the same object."""
    where: tuple[Condition, ...] = ((BANK, bank.number, None), (SECTION, index, None))
    decide = decision(line)
    services = service_conditions(line.services, line.families)
    clauses = [
        clause
        for clause in (
            crowd_conditions(SRC_IDENTITY, line.sources),
            crowd_conditions(DST_IDENTITY, line.destinations),
            services,
        )
        if clause != [()]
    ]
    if line.outlives:
        where += ((LABEL_RULE, line.rule, None), (CT_STATE, CT_TRK, CT_TRK | CT_INV))
    for match, actions in spread(clauses, line.conjunction, decide):
        yield where + match, actions


def decision(line: VerdictLine) -> tuple[Action, ...]:
    """Return what a line's flows do once it is decided."""
    if line.verdict == 0:
        return _onward(line.onward)
    monitored: tuple[Action, ...] = (SetField(MONITORED, 1),) if line.monitored else ()
    return (SetField(RULE, line.rule), SetField(VERDICT, line.verdict), *monitored)


def crowd_conditions(field: Field, crowd: CrowdIntent) -> Clause:
    """Return the alternatives for one side; ``[()]`` asks nothing, ``[]`` is nobody."""
    if crowd.everybody:
        return [()]
    alternatives: Clause = [((field, number, None),) for number in crowd.identities]
    for value, mask in crowd.blocks:
        alternatives.append(((field, value, None if mask == field.ones else mask),))
    if crowd.inside:
        alternatives.append(((field, 0, OUTSIDE_BIT),))
    if crowd.outside:
        alternatives.append(((field, OUTSIDE_BIT, OUTSIDE_BIT),))
    return alternatives


def spread(
    clauses: list[Clause], conjunction: int, decide: tuple[Action, ...]
) -> Iterator[tuple[tuple[Condition, ...], tuple[Action, ...]]]:
    """Yield (match, actions) for all combinations of the clauses' alternatives, by the cheapest form.

    Either every combination, or a conjunction of two or three clauses (ovs-fields(7), "Conjunctive Match"),
    of which two may be multiplied out into one.
    """
    if any(not clause for clause in clauses):
        return
    best = min(_forms(clauses), key=_cost)
    if len(best) == 1:
        for match in best[0]:
            yield match, decide
        return
    for number, clause in enumerate(best, 1):
        takes_part = (Conjunction(conjunction, number, len(best)),)
        for match in clause:
            yield match, takes_part
    yield ((CONJ_ID, conjunction, None),), decide


def _forms(clauses: list[Clause]) -> Iterator[list[Clause]]:
    if not clauses:
        yield [[()]]
        return
    sizes = 1
    for clause in clauses:
        sizes *= len(clause)
    if sizes <= 4 or len(clauses) == 1:
        yield [_product(clauses)]
        return
    if sizes <= 4096:
        yield [_product(clauses)]
    yield clauses
    if len(clauses) == 3:
        for alone in range(3):
            pair = [clause for place, clause in enumerate(clauses) if place != alone]
            if len(pair[0]) * len(pair[1]) <= 4096:
                yield [clauses[alone], _product(pair)]


def _cost(form: list[Clause]) -> int:
    return sum(len(clause) for clause in form) + (len(form) > 1)


def _product(clauses: list[Clause]) -> Clause:
    result: Clause = [()]
    for clause in clauses:
        result = [left + right for left in result for right in clause]
    return result


def _onward(section: int) -> tuple[Action, ...]:
    return (SetField(SECTION, section),)


def mirror_select_flows(bank: BankFrame) -> Iterator[Flow]:
    """Yield the flows that ask one mirror rule after the other; each adds the bits of its targets."""
    for step, mirror in enumerate(bank.mirrors):
        where: tuple[Condition, ...] = ((BANK, bank.number, None), (MIRROR_STEP, step, None))
        onward: tuple[Action, ...] = (SetField(MIRROR_STEP, step + 1),)
        bits = ((MIRROR_ALLOWED, mirror.allowed), (MIRROR_DROPPED, mirror.dropped))
        wanted = tuple(SetField(field, mask, mask) for field, mask in bits if mask)
        if mirror.sample > 1:
            chosen = (*where, (MIRROR_PICK, 0, None))
            yield flow(MIRROR_SAMPLE, 100, chosen, *wanted, category=Category.MIRROR)
            copies: tuple[Action, ...] = (Spread(MIRROR_PICK, mirror.sample), Resubmit(MIRROR_SAMPLE))
        else:
            copies = wanted
        clauses = [
            clause
            for clause in (
                crowd_conditions(SRC_IDENTITY, mirror.sources),
                crowd_conditions(DST_IDENTITY, mirror.destinations),
                service_conditions(mirror.services, bank.families),
            )
            if clause != [()]
        ]
        number = 0x80000000 | bank.number << 16 | step
        for match, actions in spread(clauses, number, (*copies, *onward)):
            yield flow(MIRROR_SELECT, 100, (*where, *match), *actions, category=Category.MIRROR)
        yield flow(MIRROR_SELECT, 1, where, *onward, category=Category.MIRROR)
