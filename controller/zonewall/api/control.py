"""Asking a running controller, over its control socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from zonewall.api import http
from zonewall.errors import ControllerUnreachableError, ZonewallError

ANSWER_S = 10.0
ACT_S = 120.0
"""What is asked for may have to read every document first."""


def ask(socket: Path, path: str) -> dict[str, Any]:
    """Return what the controller answers to a GET.

    Raises:
        ControllerUnreachableError: nothing answers at the socket.
        ZonewallError: it cannot say, and says why.
    """
    return _ask(socket, path)


def look(socket: Path, name: str, **words: str) -> dict[str, Any]:
    """Return what the controller knows about something.

    Raises:
        ControllerUnreachableError: nothing answers at the socket.
        ZonewallError: it cannot say, and says why.
    """
    query = f"?{urlencode(words)}" if words else ""
    return _ask(socket, f"/look/{quote(name)}{query}")


def tell(socket: Path, name: str, said: dict[str, Any]) -> dict[str, Any]:
    """Have the controller do something and return what it answers.

    Raises:
        ControllerUnreachableError: nothing answers at the socket.
        ZonewallError: it refuses, and says why.
    """
    return _ask(socket, f"/act/{quote(name)}", said)


def _ask(socket: Path, path: str, said: dict[str, Any] | None = None) -> dict[str, Any]:
    method, patience = ("GET", ANSWER_S) if said is None else ("POST", ACT_S)
    body = None if said is None else json.dumps(said).encode()
    try:
        document = http.ask(socket, method, path, body, patience)
    except (OSError, ValueError) as error:
        raise ControllerUnreachableError(
            f"no controller answers at {socket}; is `zonewall run` running, with this --state or --socket?"
        ) from error
    if not isinstance(document, dict):
        raise ControllerUnreachableError(f"{socket} answers something that is no controller's")
    if "error" in document:
        raise ZonewallError(str(document["error"]))
    return document
