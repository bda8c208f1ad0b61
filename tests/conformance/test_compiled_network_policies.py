"""Kubernetes' and Cyclonus' network policies through compiled flows: what passes is what the case says."""

from __future__ import annotations

import pytest

from conformance.case import Case
from conformance.compiled_case import compiled_failures, groups
from conformance.network_policies import cases
from support.compiled import CompiledFleet

CASES = cases()
GROUPS = groups(CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_bridges_let_pass_exactly_what_the_case_says(case: Case) -> None:
    assert compiled_failures(CompiledFleet(case.configuration), case.expectations) == []


@pytest.mark.parametrize("name", GROUPS)
def test_a_state_holds_too_when_it_follows_another_with_the_numbering_carried_over(name: str) -> None:
    numbering = None
    for case in GROUPS[name]:
        fleet = CompiledFleet(case.configuration, numbering=numbering)
        numbering = fleet.policy.numbering

        assert compiled_failures(fleet, case.expectations) == [], case.id


def test_groups_of_successive_states_are_there() -> None:
    assert len(GROUPS) == 36
