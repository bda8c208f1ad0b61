"""Open vSwitch's own cases of conjunctive match, through the simulator and through a real switch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.flow_text import parse_flow, parse_match
from support.injected_switch import InjectedSwitch, injected_switch
from zonewall.flows.simulate import FlowTables, Packet, packet, simulate
from zonewall.pipeline.model import BridgeProgram

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("ZONEWALL_CONFORMANCE", ROOT.parent / "shared" / "conformance"))
FILE = FOLDER / "ovs" / "conjunction_vectors.jsonl"
NAMES = (
    "ovs/single-conjunctive-match",
    "ovs/multiple-conjunctive-match",
    "ovs/conjunctive-match-priority-fallback",
)


@pytest.fixture(scope="module")
def cases() -> dict[str, Any]:
    if not FILE.is_file():
        pytest.fail(f"{FILE} is missing; set ZONEWALL_CONFORMANCE to the folder of borrowed cases")
    return {case["id"]: case for case in map(json.loads, FILE.read_text().splitlines())}


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InjectedSwitch]:
    with injected_switch(tmp_path_factory.mktemp("switch"), ports=7) as running:
        yield running


def as_packet(flow: str) -> Packet:
    fields: dict[str, Any] = {field.base: value for field, value, _ in parse_match(flow)}
    return packet(**fields)


def test_every_borrowed_case_is_run_by_name(cases: dict[str, Any]) -> None:
    assert set(cases) == set(NAMES)
    assert sum(len(case["vectors"]) for case in cases.values()) == 520


@pytest.mark.parametrize("name", NAMES)
def test_simulator_sends_every_packet_where_the_case_says(cases: dict[str, Any], name: str) -> None:
    case = cases[name]
    flows = FlowTables(BridgeProgram(tuple(parse_flow(line) for line in case["flows"])))

    wrong = {
        vector["flow"]: (ports, vector["out"])
        for vector in case["vectors"]
        if (ports := simulate(flows, as_packet(vector["flow"])).ports) != (vector["out"],)
    }

    assert wrong == {}


@pytest.mark.ovs
@pytest.mark.parametrize("name", NAMES)
def test_switch_sends_every_packet_where_the_case_says(
    cases: dict[str, Any], switch: InjectedSwitch, name: str
) -> None:
    case = cases[name]
    switch.program(case["flows"])

    wrong = {
        vector["flow"]: (port, vector["out"])
        for vector in case["vectors"]
        if (port := switch.traced_port(vector["flow"])) != str(vector["out"])
    }

    assert wrong == {}
