"""On a real switch: the ICMP error of a server in another tenant comes back, but none of no connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.compiled import FIRST, CompiledFleet
from support.dummy import running_dummy_switch
from support.errors_back import BETWEEN, CLIENT, agreed, error, question
from support.packets import build
from zonewall.flows.render import render_program

pytestmark = pytest.mark.ovs


def test_an_error_of_a_server_in_another_tenant_reaches_the_client(tmp_path: Path) -> None:
    fleet = CompiledFleet(agreed())
    (bridge, client), (beside, server) = fleet.places[CLIENT], fleet.places[BETWEEN]
    assert bridge == beside == FIRST
    with running_dummy_switch(tmp_path) as switch:
        switch.add_bridge("brA")
        switch.add_ports("brA", [client, server], name="a{}")
        switch.load_program("brA", "\n".join(render_program(fleet.programs[FIRST])))
        for family in (4, 6):
            asked = question(fleet, BETWEEN, family)
            said = build(error(asked))
            switch.inject(f"a{server}", said)
            assert switch.captured(f"a{client}") == []
            switch.inject(f"a{client}", build(asked))
            assert switch.captured(f"a{server}") == [build(asked)]
            switch.inject(f"a{server}", said)
            assert switch.captured(f"a{client}") == [said]
