"""Cases carried out by compiled flows: what the simulated bridges do is what the case says."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.case import Case, Expectation
from support.compiled import CompiledFleet
from zonewall.intent.semantics.multicast import is_group_address
from zonewall.policy.model import Action
from zonewall.values.services import PORT_PROTOCOLS


def is_judged_by_rules(expected: Expectation) -> bool:
    """Say whether a bridge asks the rules about the packet.

    Connection tracking takes port 0 and IP protocol 0 as invalid before any rule is asked, and multicast and
    broadcast are a class of their own; the evaluator judges ports and protocols as numbers.
    """
    probe = expected.probe
    if probe.protocol == 0 or (
        probe.protocol in PORT_PROTOCOLS and 0 in (probe.source_port, probe.destination_port)
    ):
        return False
    ends = (probe.source, probe.destination, probe.source_ip, probe.destination_ip)
    return not any(is_group_address(end) for end in ends if end is not None and not isinstance(end, str))


def compiled_failures(fleet: CompiledFleet, expectations: Iterable[Expectation]) -> list[str]:
    """Return each probe with which the bridges do otherwise, in words."""
    found = []
    for expected in expectations:
        seen = fleet.judge(expected.probe)
        right = Action(seen.verdict) in expected.verdicts and expected.rule in (None, seen.rule)
        if not right:
            found.append(
                f"{expected.probe}: {seen.verdict} by {seen.rule}, "
                f"but should be {expected.verdicts} {expected.rule}"
            )
    return found


def groups(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """Return the cases that are successive states of one system, by group; lone ones are left out."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.group, []).append(case)
    return {name: states for name, states in found.items() if len(states) > 1}
