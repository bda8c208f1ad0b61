"""How one bridge is changed: what goes a moment later, what cached decisions need, in which parts."""

from __future__ import annotations

from zonewall.flows.diff import Change, diff_state
from zonewall.flows.encoded import BridgeState
from zonewall.flows.leaving import SEARCHED, Leaving
from zonewall.flows.staging import LARGE, Plan, is_takeover, plan
from zonewall.flows.stirring import Stirring, decides

Prepared = tuple[BridgeState, Change, Plan]
"""What to ask of a bridge, what differs from what it holds, and how to change it."""


def prepare(
    installed: BridgeState,
    asked: BridgeState,
    now: float,
    leaving: Leaving,
    stirring: Stirring,
    turned: frozenset[int],
) -> Prepared:
    """Return what to ask for, what differs, and how to change it.

    Rows that cached decisions may need go a moment later; a large change sees to that itself. Those
    decisions end by a row that comes with a change of the rules; right after it, if that is large.
    """
    change, wanted = diff_state(installed, asked), asked
    is_small = len(change.flows.put) + len(change.flows.delete) <= LARGE
    is_known = bool(installed.flows) and not is_takeover(change.flows)
    before = leaving.until.keys()
    if is_small and any(key.table in SEARCHED for key in change.flows.delete) and is_known:
        wanted = leaving.keep(installed, asked, now)
    else:
        leaving.until = {}
    if is_small and is_known:
        wanted = stirring.keep(change.flows, wanted, now, before)
        change = change if wanted is asked else diff_state(installed, wanted)
    else:
        stirring.owed = is_known and decides(change.flows)
    return wanted, change, plan(change, installed.flows, wanted.flows, turned)
