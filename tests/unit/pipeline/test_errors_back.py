"""An ICMP error that belongs to an allowed connection reaches its client, also in another tenant."""

from __future__ import annotations

import pytest

from support.compiled import CompiledFleet
from support.errors_back import BETWEEN, CLIENT, WITHIN, agreed, error, question
from zonewall.values.names import EndpointKey


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("server", [WITHIN, BETWEEN])
def test_an_error_of_the_answering_end_reaches_the_client(server: EndpointKey, family: int) -> None:
    fleet = CompiledFleet(agreed())
    asked = question(fleet, server, family)
    assert fleet.send(fleet.places[server], error(asked)).arrived == []

    begun = fleet.send(fleet.places[CLIENT], asked)
    back = fleet.send(fleet.places[server], error(asked))

    assert [port for port, _ in back.arrived] == [fleet.places[CLIENT]]
    assert back.rule == begun.rule
