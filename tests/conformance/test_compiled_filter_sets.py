"""ClassBench's filter sets through compiled flows: the same filter decides as in a linear search.

The small access list in both families, others in one with fewer headers; in ``make conformance`` every set
in both families, the one of nearly ten thousand filters among them.
"""

from __future__ import annotations

import os

import pytest

from conformance.case import Case
from conformance.compiled_case import compiled_failures, is_judged_by_rules
from conformance.filter_sets import cases
from support.compiled import CompiledFleet

LONG = "ZONEWALL_CONFIGURATIONS" in os.environ
HEADERS = 1000
QUICK_HEADERS = 200


def is_quick(case: Case) -> bool:
    """Say whether a case belongs into every run."""
    _, name, family = case.id.split("/")
    return "10k" not in name and (name.startswith("acl1") or family == "ipv4")


CASES = [case for case in cases(HEADERS) if LONG or is_quick(case)]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_filter_that_a_linear_search_finds_decides_on_the_bridge(case: Case) -> None:
    judged = [expected for expected in case.expectations if is_judged_by_rules(expected)]
    wanted = HEADERS if LONG or "/acl1" in case.id else QUICK_HEADERS

    assert len(judged) >= QUICK_HEADERS
    assert compiled_failures(CompiledFleet(case.configuration), judged[:wanted]) == []


def test_the_small_access_list_is_there_in_both_families() -> None:
    assert {"classbench/acl1_1k/ipv4", "classbench/acl1_1k/ipv6"} <= {case.id for case in CASES}
