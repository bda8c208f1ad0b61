"""Regions of services: exact unions, intersections and differences, held against single packets."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from support.configurations import service
from zonewall.intent.analysis.regions import OTHER, Region, difference, intersection, protocols_of, union

TEXTS = (
    "tcp",
    "tcp/5",
    "tcp/3-9",
    "tcp/8-20",
    "tcp/5 from 7",
    "tcp from 3-8",
    "udp/4",
    "icmp",
    "icmp/8/0",
    "any",
)
PROTOCOLS = protocols_of([service("ip/47")])
POINTS = [(6, d, s) for d, s in product((0, 3, 5, 8, 9, 10, 20, 21, 65535), (0, 3, 7, 8, 9))]
POINTS += [(17, 4, 0), (17, 5, 0), (1, 8, 0), (1, 8, 1), (47, 0, 0), (OTHER, 0, 0)]


def holds(region: Region, point: tuple[int, int, int]) -> bool:
    key, x, y = point
    found = [r for r in region.get(key, ()) if r[0] <= x <= r[1] and r[2] <= y <= r[3]]
    assert len(found) <= 1, "rectangles overlap"
    return bool(found)


regions = st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3).map(
    lambda texts: PROTOCOLS.region(map(service, texts))
)


@settings(max_examples=100, deadline=None)
@given(one=regions, other=regions)
def test_a_packet_is_in_what_two_regions_make_exactly_if_it_should_be(one: Region, other: Region) -> None:
    for point in POINTS:
        a, b = holds(one, point), holds(other, point)
        assert holds(union(one, other), point) is (a or b)
        assert holds(intersection(one, other), point) is (a and b)
        assert holds(difference(one, other), point) is (a and not b)


def test_no_services_are_every_service_and_unnamed_protocols_share_one_key() -> None:
    everything = PROTOCOLS.region(())

    assert set(everything) == {1, 6, 17, 47, 58, 132, OTHER}
    assert PROTOCOLS.other == 253
    assert protocols_of([service("ip/253")]).other == 255
