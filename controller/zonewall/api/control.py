"""The control socket: HTTP over a unix socket that only its owner may open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector, web

from zonewall.errors import ControllerUnreachableError, ZonewallError

ANSWER_S = 10.0


class ControlServer:
    """Answers the command line."""

    def __init__(self, socket: Path, status: Callable[[], dict[str, Any]]) -> None:
        """Listen at ``socket`` once started; ``status`` makes the document."""
        self._socket = socket
        application = web.Application()
        application.router.add_get("/status", self._status)
        self._runner = web.AppRunner(application, access_log=None)
        self._make_status = status

    async def start(self) -> None:
        """Open the socket for its owner alone.

        Raises:
            ZonewallError: another controller answers there.
        """
        if self._socket.exists():
            if await _answers(self._socket):
                raise ZonewallError(f"{self._socket}: another controller is running; stop it first")
            self._socket.unlink()
        self._socket.parent.mkdir(parents=True, exist_ok=True)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._socket)).start()
        self._socket.chmod(0o600)

    async def stop(self) -> None:
        """Close the socket and take it away."""
        await self._runner.cleanup()
        self._socket.unlink(missing_ok=True)

    async def _status(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(self._make_status())


async def _answers(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    writer.close()
    return True


def ask(socket: Path, path: str) -> dict[str, Any]:
    """Return what the controller answers to a GET.

    Raises:
        ControllerUnreachableError: nothing answers at the socket.
    """
    return asyncio.run(_ask(socket, path))


async def _ask(socket: Path, path: str) -> dict[str, Any]:
    try:
        async with (
            ClientSession(connector=UnixConnector(str(socket)), timeout=ClientTimeout(ANSWER_S)) as session,
            session.get(f"http://controller{path}") as answer,
        ):
            document = json.loads(await answer.text())
    except (ClientError, OSError, TimeoutError, ValueError) as error:
        raise ControllerUnreachableError(
            f"no controller answers at {socket}; is `zonewall run` running, with this --state or --socket?"
        ) from error
    if not isinstance(document, dict):
        raise ControllerUnreachableError(f"{socket} answers something that is no controller's")
    return document
