"""``zonewall lint``: rules that do nothing, contradict each other, or are wider than they need to be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from zonewall.cli.exits import EXIT_FINDING
from zonewall.cli.options import Output, OutputForm
from zonewall.intent.analysis.lint import Remark, lint
from zonewall.intent.analysis.witness import Witness
from zonewall.intent.change_report import probe_document
from zonewall.policy.load import load_directory


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command("lint")
    def lint_(
        directory: Annotated[Path, typer.Argument(metavar="CONFIG_DIR", help="The configuration.")],
        soon: Annotated[
            int, typer.Option(min=0, max=3650, help="Days before its end that a rule is told of.")
        ] = 14,
        output: OutputForm = Output.TEXT,
    ) -> None:
        """Look for rules that may not be meant so; exit 1 if there are any, 2 if documents are invalid."""
        remarks = lint(load_directory(directory), datetime.now(UTC), timedelta(days=soon))
        if output is Output.JSON:
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
    said = witness.verdict
    return {
        "probe": probe_document(witness.probe),
        "verdict": said.verdict.value,
        "rule": said.rule,
        "at": said.at,
        "monitored": said.monitored,
    }
