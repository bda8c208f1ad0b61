"""``zonewall lint``: rules that do nothing, contradict each other, or are wider than they need to be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from zonewall.cli.app import EXIT_FINDING
from zonewall.intent.analysis.lint import Remark, lint
from zonewall.intent.analysis.witness import Witness
from zonewall.policy.load import load_directory


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command("lint")
    def lint_(
        directory: Annotated[Path, typer.Argument(metavar="CONFIG_DIR", help="The configuration.")],
        soon: Annotated[
            int, typer.Option(min=0, max=3650, help="Days before its end that a rule is told of.")
        ] = 14,
        output: Annotated[str, typer.Option(help="text or json.")] = "text",
    ) -> None:
        """Look for rules that may not be meant so; exit 1 if there are any, 2 if documents are invalid."""
        if output not in ("text", "json"):
            raise typer.BadParameter("write text or json", param_hint="--output")
        remarks = lint(load_directory(directory), datetime.now(UTC), timedelta(days=soon))
        if output == "json":
            print(json.dumps({"remarks": [_remark(remark) for remark in remarks]}, indent=2))
        else:
            for remark in remarks:
                print(remark)
            print(f"{directory}: {len(remarks)} remark(s)")
        if remarks:
            raise typer.Exit(EXIT_FINDING)


def _remark(remark: Remark) -> dict[str, Any]:
    return {
        "code": remark.code,
        "subject": remark.subject,
        "file": remark.location.file,
        "line": remark.location.line,
        "column": remark.location.column,
        "message": remark.message,
        "other": remark.other,
        "witness": None if remark.witness is None else _witness(remark.witness),
    }


def _witness(witness: Witness) -> dict[str, Any]:
    """Return a probe as ``zonewall check`` reads it, and its verdict."""
    probe, said = witness.probe, witness.verdict
    asked: dict[str, Any] = {
        "tenant": probe.tenant,
        "src": str(probe.source),
        "dst": str(probe.destination),
        "proto": probe.protocol,
        "sport": probe.source_port,
        "dport": probe.destination_port,
        "icmp": None if probe.icmp is None else list(probe.icmp),
        "src_ip": None if probe.source_ip is None else str(probe.source_ip),
        "dst_ip": None if probe.destination_ip is None else str(probe.destination_ip),
        "time": None if probe.time is None else probe.time.isoformat(),
    }
    return {
        "probe": {key: value for key, value in asked.items() if value is not None},
        "verdict": said.verdict.value,
        "rule": said.rule,
        "at": said.at,
        "monitored": said.monitored,
    }
