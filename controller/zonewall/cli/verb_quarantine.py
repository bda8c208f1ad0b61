"""``zonewall quarantine`` and ``zonewall release``: isolate an endpoint by hand, and let it go."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from zonewall.api.control import tell
from zonewall.cli.options import OptionsFile, Output, OutputForm, SocketFile, StateFolder, Vm, control_socket


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(quarantine)
    app.command()(release)


def quarantine(
    vm: Vm,
    reason: Annotated[str, typer.Option(help="Why; it is shown and recorded.")] = "by hand",
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: SocketFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Isolate a VM at once, its live connections too; it may reach the remediation zone only."""
    place = control_socket(options, state, socket)
    report(tell(place, "quarantine", {"endpoint": vm, "reason": reason}), f"{vm} is isolated", output)


def release(
    vm: Vm,
    reason: Annotated[
        str | None, typer.Option(help="Lift only what was imposed for exactly this reason.")
    ] = None,
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: SocketFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Lift a VM's isolation; what is wrong with its port stays wrong."""
    place = control_socket(options, state, socket)
    said = {"endpoint": vm, **({} if reason is None else {"reason": reason})}
    report(tell(place, "release", said), f"what held {vm} is lifted", output)


def report(answer: dict[str, Any], text: str, output: Output) -> None:
    """Say what was done, and what could not be."""
    if output is Output.JSON:
        print(json.dumps(answer))
        return
    record = answer.get("journal")
    print(text if record is None else f"{text} (journal record {record})")
    if answer.get("warning"):
        print(f"zonewall: {answer['warning']}", file=sys.stderr)
