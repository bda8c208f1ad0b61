"""The control socket: HTTP over a unix socket that only its owner may open."""

from __future__ import annotations

import os
import pwd
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from socket import AF_UNIX, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET, socket
from typing import Any

from aiohttp import web

from zonewall.api.alone import refuse_second
from zonewall.errors import ZonewallError


class ControlServer:
    """Answers the command line."""

    def __init__(
        self,
        path: Path,
        status: Callable[[], dict[str, Any]],
        act: Callable[[str, dict[str, Any], str], Awaitable[dict[str, Any]]],
        look: Callable[[str, Mapping[str, str]], Awaitable[dict[str, Any]]],
    ) -> None:
        """Listen at ``socket`` once started.

        Args:
            status: makes the document.
            act: does what is asked for by name, with what was said and by whom; raises ZonewallError.
            look: answers what is asked about by name, with the query's words; raises ZonewallError.
        """
        self._socket = path
        application = web.Application()
        application.router.add_get("/status", self._status)
        application.router.add_post("/act/{name}", self._act)
        application.router.add_get("/look/{name}", self._look)
        self._runner = web.AppRunner(application, access_log=None)
        self._make_status = status
        self._do = act
        self._tell = look

    async def start(self) -> None:
        """Open the socket for its owner alone.

        Raises:
            ZonewallError: another controller answers there.
        """
        await refuse_second(self._socket)
        self._socket.unlink(missing_ok=True)
        self._socket.parent.mkdir(parents=True, exist_ok=True)
        await self._runner.setup()
        await web.SockSite(self._runner, _private_socket(self._socket)).start()

    async def stop(self) -> None:
        """Close the socket and take it away."""
        await self._runner.cleanup()
        self._socket.unlink(missing_ok=True)

    async def _status(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(self._make_status())

    async def _act(self, request: web.Request) -> web.Response:
        try:
            said = await request.json()
            if not isinstance(said, dict):
                raise ZonewallError("say what is wanted as a JSON object")
            return web.json_response(await self._do(request.match_info["name"], said, _caller(request)))
        except web.HTTPRequestEntityTooLarge:
            return web.json_response(
                {"error": "that is too much at once; say it in several parts"}, status=413
            )
        except RecursionError:
            return web.json_response({"error": "that is nested too deeply"}, status=400)
        except (ZonewallError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)

    async def _look(self, request: web.Request) -> web.Response:
        try:
            return web.json_response(await self._tell(request.match_info["name"], dict(request.query)))
        except (ZonewallError, ConnectionError, TimeoutError) as error:
            return web.json_response({"error": str(error) or type(error).__name__}, status=400)


def _caller(request: web.Request) -> str:
    """Return who is at the other end of the socket, as the kernel says (SO_PEERCRED, unix(7))."""
    socket = None if request.transport is None else request.transport.get_extra_info("socket")
    if socket is None:
        return "operator"
    pid, uid, _ = struct.unpack("3i", socket.getsockopt(SOL_SOCKET, SO_PEERCRED, struct.calcsize("3i")))
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    return f"{name} by command (process {pid})"


def _private_socket(path: Path) -> socket:
    # Its mode is set before it has a name: no moment in which others can connect (unix(7)).
    made = socket(AF_UNIX, SOCK_STREAM)
    os.fchmod(made.fileno(), 0o600)
    made.bind(str(path))
    return made
