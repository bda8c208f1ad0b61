"""Short forms for stages: making flows, checked against the declaration."""

from __future__ import annotations

from zonewall.errors import CompileError
from zonewall.pipeline.cookie import Category, cookie
from zonewall.pipeline.model import Action, Condition, Flow, Goto, Resubmit, SetField, Table
from zonewall.pipeline.registers import SECTION
from zonewall.pipeline.tables import VERDICT_TABLE


def flow(
    table: Table,
    priority: int,
    match: tuple[Condition, ...],
    *actions: Action,
    category: Category = Category.STATIC,
    rule: int = 0,
) -> Flow:
    """Return a flow; no actions drop.

    Raises:
        CompileError: a goto that the table's declaration does not have.
    """
    if actions and isinstance(actions[-1], Goto) and actions[-1].table.name not in table.goto:
        raise CompileError(
            f"{table.name} goes to {actions[-1].table.name}, which its declaration does not say"
        )
    return Flow(table, priority, match, actions, cookie(category, rule))


def ask(table: Table, begin: SetField, rounds: int, ct: bool) -> tuple[Action, ...]:
    """Return the calls of a subroutine that moves on by a field: one for each place it may stop at.

    Not by itself: the original tuple is presented for one search only, not for a resubmit within it.
    """
    return (begin, *(Resubmit(table, ct=ct) for _ in range(rounds)))


def judge(ct: bool, sections: int) -> tuple[Action, ...]:
    """Return the calls of the verdict subroutine, once for each section; decided, it does nothing more."""
    return ask(VERDICT_TABLE, SetField(SECTION, 0), sections, ct)
