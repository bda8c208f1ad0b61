"""Kubernetes' and Cyclonus' network policies through the evaluator: the outcome is the case's."""

from __future__ import annotations

import pytest

from conformance.case import Case, failures
from conformance.network_policies import cases

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_evaluator_reaches_exactly_what_the_case_says(case: Case) -> None:
    assert failures(case) == []


def test_every_state_and_every_stated_verdict_is_there_in_both_forms() -> None:
    assert len(CASES) == 2 * (58 + 131)
    assert sum(len(case.expectations) for case in CASES) == 2 * (4680 + 55620)
