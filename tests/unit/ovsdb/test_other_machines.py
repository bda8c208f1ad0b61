"""A host whose name another machine gets by an edit: what was told of the first one is not the other's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from support.placement_fleet import BR_INT, configuration
from zonewall.ovsdb.facts import InterfaceFacts
from zonewall.ovsdb.fleet import Fleet
from zonewall.ovsdb.patience import Patience
from zonewall.ovsdb.view import BridgeView, HostView, PortView
from zonewall.placement.observations import BridgeGone, Observation, PortGone
from zonewall.values.names import DatapathId, HostName, OfPort

HV1 = HostName("hv1")


@pytest.mark.parametrize(
    ("edit", "is_another"),
    [({"system_id": "hv2"}, True), ({"certificate": "hv1.example"}, False)],
    ids=["another system-id", "another certificate"],
)
def test_what_was_told_is_taken_back_where_the_system_id_is_another(
    edit: dict[str, Any], is_another: bool
) -> None:
    told: list[Observation] = []
    fleet = Fleet(cast(Any, None), told.append, None, Patience())
    hosts = configuration().inventory.hosts
    fleet.set_hosts(hosts)
    port = InterfaceFacts("tap0", OfPort(5), False, {}, True, "", None, "")
    view = HostView(
        {BR_INT: BridgeView(DatapathId(0xA1), "dummy", True)}, {(BR_INT, "tap0"): PortView(port, None)}
    )
    fleet._hosts[HV1].view = view
    fleet.set_hosts({**hosts, HV1: replace(hosts[HV1], **edit)})
    assert told == ([PortGone(HV1, BR_INT, "tap0", 0.0), BridgeGone(HV1, BR_INT, 0.0)] if is_another else [])
    assert fleet._hosts[HV1].view == (HostView() if is_another else view)
