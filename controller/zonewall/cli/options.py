"""What many verbs are told in the same words: which controller, which VM, and how to write the answer."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from zonewall.store.options import STATE_VARIABLE, read_options


class Output(StrEnum):
    """How to write it."""

    TEXT = "text"
    JSON = "json"


OutputForm = Annotated[Output, typer.Option("--output", help="Text or JSON.")]

OptionsFile = Annotated[Path | None, typer.Option("--options", help="The controller's options file.")]
StateFolder = Annotated[
    Path | None, typer.Option("--state", envvar=STATE_VARIABLE, help="The controller's state folder.")
]
SocketFile = Annotated[Path | None, typer.Option("--socket", help="The controller's control socket.")]
JournalFile = Annotated[Path | None, typer.Option("--journal", help="The journal's file itself, or a copy.")]

Vm = Annotated[str, typer.Argument(metavar="VM", help="The endpoint, tenant/name.")]


def control_socket(options: Path | None, state: Path | None, socket: Path | None) -> Path:
    """Return where the controller answers.

    Raises:
        ZonewallError: the options file cannot be read, or says something unknown.
    """
    said: dict[str, Any] = {"state": state, "socket": socket}
    return read_options(options, said).control_socket
