"""``zonewall validate``: what is wrong with a configuration, all of it at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from zonewall.cli.exits import EXIT_FINDING, EXIT_UNUSABLE
from zonewall.cli.options import Output, OutputForm
from zonewall.intent.analysis.acceptance import accept
from zonewall.policy.findings import Finding
from zonewall.policy.load import read_directory
from zonewall.policy.notes import MORE


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def validate(
        directory: Annotated[Path, typer.Argument(metavar="CONFIG_DIR", help="The configuration.")],
        strict: Annotated[bool, typer.Option("--strict", help="Warnings count, too.")] = False,
        output: OutputForm = Output.TEXT,
    ) -> None:
        """Check documents and assertions; exit 0 if they are good, 2 if not, 1 with --strict and warnings."""
        result = accept(read_directory(directory), datetime.now(UTC))
        if output is Output.JSON:
            print(json.dumps(_document(result.configuration is not None, result.findings), indent=2))
        else:
            for finding in result.findings:
                print(finding)
            shown = [finding for finding in result.findings if finding.code != MORE]
            errors = sum(finding.is_error for finding in shown)
            said = "can be used" if result.configuration is not None else "cannot be used"
            more = "" if len(shown) == len(result.findings) else " shown"
            print(f"{directory}: {said}, {errors} error(s), {len(shown) - errors} warning(s){more}")
        if result.configuration is None:
            raise typer.Exit(EXIT_UNUSABLE)
        if strict and result.findings:
            raise typer.Exit(EXIT_FINDING)


def _document(valid: bool, findings: tuple[Finding, ...]) -> dict[str, object]:
    return {
        "valid": valid,
        "findings": [
            {
                "severity": finding.severity.value,
                "code": finding.code,
                "file": finding.location.file,
                "line": finding.location.line,
                "column": finding.location.column,
                "message": finding.message,
            }
            for finding in findings
        ],
    }
