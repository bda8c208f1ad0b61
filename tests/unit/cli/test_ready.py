"""``zonewall ready``: said only of a place whose bridge has confirmed the policy."""

from __future__ import annotations

from typing import Any

import pytest

from zonewall.cli.verb_ready import ready_place
from zonewall.errors import ZonewallError


def status(*places: tuple[str, str, bool]) -> dict[str, Any]:
    listed = [
        {"bridge": f"{host}/br-int", "ofport": 5, "state": state, "ready": ready}
        for host, state, ready in places
    ]
    return {"endpoints": [{"endpoint": "acme/web1", "places": listed}]}


@pytest.mark.parametrize(
    ("places", "host", "where"),
    [
        ((), None, None),
        ((("hv1", "pending", False),), None, None),
        ((("hv1", "pending", True),), None, "hv1/br-int"),
        ((("hv1", "active", True), ("hv2", "pending", False)), "hv2", None),
        ((("hv1", "active", True), ("hv2", "pending", True)), "hv2", "hv2/br-int"),
        ((("hv1", "quarantined", True),), None, None),
        ((("hv1", "leaving", True), ("hv2", "active", True)), None, "hv2/br-int"),
    ],
)
def test_a_vm_is_ready_where_a_bridge_has_confirmed_it_and_nothing_is_wrong_with_it(
    places: tuple[tuple[str, str, bool], ...], host: str | None, where: str | None
) -> None:
    found = ready_place(status(*places), "acme/web1", host)
    assert (None if found is None else found["bridge"]) == where


def test_an_unknown_vm_is_refused_instead_of_waited_for() -> None:
    with pytest.raises(ZonewallError, match="no such endpoint"):
        ready_place(status(), "acme/nobody", None)
