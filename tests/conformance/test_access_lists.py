"""OVN's tiered access lists and refusals through the evaluator."""

from __future__ import annotations

import pytest

from conformance.access_lists import cases
from conformance.case import Case, failures

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_tiers_pass_and_reject_do_what_ovns_own_test_expects(case: Case) -> None:
    assert failures(case) == []


def test_every_step_and_every_refusal_is_there() -> None:
    assert [len(case.expectations) for case in CASES] == [1] * 10 + [8]
