"""``zonewall apply`` and ``zonewall confirm``: put a directory in force, for good or on trial."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zonewall.api.control import tell
from zonewall.cli.options import OptionsFile, Output, OutputForm, SocketFile, StateFolder, control_socket
from zonewall.cli.verb_quarantine import report
from zonewall.errors import ZonewallError
from zonewall.policy.written import parse_duration_s


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(apply)
    app.command()(confirm)


def apply(
    directory: Annotated[Path, typer.Argument(metavar="CONFIG_DIR", help="The configuration.")],
    confirm: Annotated[
        str | None, typer.Option(help="Go back unless `zonewall confirm` comes within this time: 60s, 5m.")
    ] = None,
    even_if_cut_off: Annotated[
        bool,
        typer.Option(
            "--even-if-cut-off",
            help="Also where a bridge would no longer join its host port with an uplink.",
        ),
    ] = False,
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: SocketFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Put a directory in force instead of the present one; from then on its changes are followed."""
    place = control_socket(options, state, socket)
    said = {"directory": str(directory.absolute()), "confirm": _seconds(confirm)}
    said["even_if_cut_off"] = even_if_cut_off
    text = f"{directory} is in force"
    if confirm is not None:
        text += f", and goes back in {confirm} unless you say `zonewall confirm`"
    report(tell(place, "apply", said), text, output)


def confirm(
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: SocketFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Keep what was applied on trial."""
    place = control_socket(options, state, socket)
    report(tell(place, "confirm", {}), "what was on trial stays", output)


def _seconds(text: str | None) -> int | None:
    try:
        return None if text is None else parse_duration_s(text)
    except ValueError as error:
        raise ZonewallError(f"--confirm: {error}") from None
