"""``zonewall compile``: one bridge's flows as text."""

from __future__ import annotations

import json
import resource
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from zonewall.cli.options import Output, OutputForm
from zonewall.cli.times import parse_moment
from zonewall.errors import ZonewallError
from zonewall.flows.ending import program_with_timeouts
from zonewall.flows.names import field_names, rule_names
from zonewall.flows.render import render_group, render_meter, render_numeric, render_program
from zonewall.flows.render_logical import render_logical
from zonewall.flows.wire import encode_flow
from zonewall.intent.fleet import Policy, bridges_of, index_fleet, prepare
from zonewall.intent.numbering import Numbering
from zonewall.intent.passing import Passing, rule_ends
from zonewall.intent.schedule import inactive_rules
from zonewall.pipeline.compile import compile_bridge
from zonewall.pipeline.cookie import rule_of
from zonewall.pipeline.model import BridgeProgram
from zonewall.pipeline.stats import masks_by_table
from zonewall.placement.model import BridgeKey
from zonewall.policy.load import load_directory
from zonewall.store.numbering_file import read_numbering, write_numbering
from zonewall.store.placement_file import read_placement
from zonewall.values.names import BridgeName, HostName


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command("compile")
    def compile_(  # noqa: PLR0917 - typer reads options from parameters
        directory: Annotated[Path, typer.Argument(metavar="CONFIG_DIR", help="The configuration.")],
        placement: Annotated[Path, typer.Option(help="YAML: who is where, ports, links.")],
        bridge: Annotated[str, typer.Option(metavar="HOST/BRIDGE", help="Whose flows to write.")],
        numbering: Annotated[
            Path | None, typer.Option(help="Numbers given before; read, and written with the new ones.")
        ] = None,
        logical: Annotated[bool, typer.Option("--logical", help="Names instead of numbers.")] = False,
        stats: Annotated[bool, typer.Option("--stats", help="Counts and times as JSON instead.")] = False,
        at: Annotated[
            str | None, typer.Option(metavar="MOMENT", help="When (RFC 3339), for hours and expires; now.")
        ] = None,
        output: OutputForm = Output.TEXT,
    ) -> None:
        """Write the flows that a bridge should hold, one a line, for ovs-ofctl or to read."""
        clock = _Clock()
        configuration = load_directory(directory)
        clock.lap("load")
        moment = parse_moment(at, datetime.now(UTC), "--at")
        inactive, passing = inactive_rules(configuration, moment), Passing(rule_ends(configuration, moment))
        known = read_numbering(numbering) if numbering else Numbering()
        policy = prepare(configuration, known, inactive, passing)
        clock.lap("prepare")
        if numbering:
            write_numbering(numbering, policy.numbering)
        key = _bridge(bridge, bridges_of(configuration))
        program = compile_bridge(index_fleet(policy, read_placement(placement)), key)
        program = program_with_timeouts(program, moment.timestamp())
        clock.lap("compile")
        if stats:
            for flow in program.flows:
                encode_flow(flow)
            clock.lap("encode")
            print(json.dumps(_stats(program, clock), indent=2))
        elif output is Output.JSON:
            print(json.dumps(_document(key, program, policy), indent=2))
        elif logical:
            names = field_names(policy)
            for flow in program.flows:
                print(render_logical(flow, names))
        else:
            for line in render_program(program):
                print(line)


class _Clock:
    """Seconds of each phase."""

    def __init__(self) -> None:
        self.phases: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self.phases[phase] = round(now - self._last, 6)
        self._last = now


def _bridge(text: str, known: tuple[BridgeKey, ...]) -> BridgeKey:
    host, _, name = text.partition("/")
    key = BridgeKey(HostName(host), BridgeName(name))
    if key not in known:
        raise ZonewallError(f"{text} is no bridge of the inventory; it has {', '.join(map(str, known))}")
    return key


def _document(key: BridgeKey, program: BridgeProgram, policy: Policy) -> dict[str, object]:
    """Return the bridge's flows, groups and meters in plain values (docs/commands.md)."""
    rules = rule_names(policy)
    flows = [
        {
            "table": flow.table.name,
            "number": flow.table.number,
            "priority": flow.priority,
            "cookie": f"{flow.cookie:#x}",
            "rule": rules.get(rule_of(flow.cookie)),
            "flow": render_numeric(flow),
        }
        for flow in program.flows
    ]
    groups, meters = map(render_group, program.groups), map(render_meter, program.meters)
    return {"bridge": str(key), "flows": flows, "groups": list(groups), "meters": list(meters)}


def _stats(program: BridgeProgram, clock: _Clock) -> dict[str, object]:
    flows: dict[str, int] = defaultdict(int)
    for flow in program.flows:
        flows[flow.table.name] += 1
    return {
        "flows": len(program.flows),
        "flows_per_table": dict(flows),
        "masks_per_table": masks_by_table(program),
        "meters": len(program.meters),
        "groups": len(program.groups),
        "seconds": clock.phases,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
