"""What an endpoint reaches outside: not what bridges take to an endpoint by its ranges."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from support.configurations import configure, endpoint, rule, tenant, tier, zone
from zonewall.journal.reach import reach
from zonewall.values.names import EndpointKey


@pytest.mark.parametrize(
    ("ranges", "shown"),
    [
        ([], {"198.51.100.0/24", "any other IPv4 address"}),
        (["198.51.100.0/25"], {"198.51.100.0/24", "any other IPv4 address"}),
        (["198.51.0.0/16"], {"any other IPv4 address"}),
        (["0.0.0.0/0"], set()),
    ],
)
@pytest.mark.parametrize("owner", ["acme", "blue"])
def test_what_is_in_the_range_of_somebody_who_can_be_reached_is_not_outside(
    owner: str, ranges: list[str], shown: set[str]
) -> None:
    configuration = configure(
        endpoint("acme/own", "10.0.0.1"),
        endpoint(f"{owner}/gw", "10.0.1.1", ranges=ranges),
        tenant(
            "acme",
            tier("t", rule("out", "any", "external"), rule("in", "any", "any")),
            zones=[zone("far", cidrs=["198.51.100.0/24"])],
            imports=[("blue/all", "theirs")],
        ),
        tenant("blue", zones=[zone("all")], exports=[("all", "acme")]),
    )

    found = reach(configuration, EndpointKey("acme/own"), datetime(2026, 7, 1, tzinfo=UTC))

    outside = {one.peers for one in found if one.outgoing and "/gw" not in one.peers[0]}
    assert outside == {(name,) for name in shown}
