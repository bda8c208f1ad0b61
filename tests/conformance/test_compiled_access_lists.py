"""OVN's tiered access lists and refusals through compiled flows."""

from __future__ import annotations

import pytest

from conformance.access_lists import cases
from conformance.case import Case
from conformance.compiled_case import compiled_failures, groups
from support.compiled import CompiledFleet

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_bridges_do_what_ovns_own_test_expects(case: Case) -> None:
    assert compiled_failures(CompiledFleet(case.configuration), case.expectations) == []


def test_the_steps_hold_one_after_the_other_with_the_numbering_carried_over() -> None:
    [steps] = groups(CASES).values()
    assert len(steps) == 10
    numbering = None
    for case in steps:
        fleet = CompiledFleet(case.configuration, numbering=numbering)
        numbering = fleet.policy.numbering

        assert compiled_failures(fleet, case.expectations) == [], case.id
