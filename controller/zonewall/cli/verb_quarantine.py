"""``zonewall quarantine`` and ``zonewall release``: isolate an endpoint by hand, and let it go."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from zonewall.api.control import tell
from zonewall.cli.verb_journal import OptionsFile, Output, OutputForm, StateFolder
from zonewall.store.options import read_options

Vm = Annotated[str, typer.Argument(metavar="VM", help="The endpoint, tenant/name.")]
Socket = Annotated[Path | None, typer.Option("--socket", help="The controller's control socket.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(quarantine)
    app.command()(release)


def quarantine(
    vm: Vm,
    reason: Annotated[str, typer.Option(help="Why; it is shown and recorded.")] = "by hand",
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: Socket = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Isolate a VM at once, its live connections too; it may reach the remediation zone only."""
    place = read_options(options, {"state": state, "socket": socket}).control_socket
    report(tell(place, "quarantine", {"endpoint": vm, "reason": reason}), f"{vm} is isolated", output)


def release(
    vm: Vm,
    reason: Annotated[
        str | None, typer.Option(help="Lift only what was imposed for exactly this reason.")
    ] = None,
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: Socket = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Lift a VM's isolation; what is wrong with its port stays wrong."""
    place = read_options(options, {"state": state, "socket": socket}).control_socket
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
