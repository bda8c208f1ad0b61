"""ClassBench's filter sets through the evaluator: the same filter decides as in a linear search.

A sample of each set's headers, drawn with a fixed seed; all of them with ``ZONEWALL_CONFORMANCE_FULL=1``.
"""

from __future__ import annotations

import os

import pytest

from conformance.case import Case, failures
from conformance.filter_sets import cases

FULL = os.environ.get("ZONEWALL_CONFORMANCE_FULL") == "1"
CASES = cases(None if FULL else 1000)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_filter_that_a_linear_search_finds_decides(case: Case) -> None:
    assert failures(case) == []


def test_every_set_is_there_in_both_families() -> None:
    assert len(CASES) == 10
    assert all(len(case.expectations) >= 700 for case in CASES)
