"""The control socket: HTTP over a unix socket that only its owner may open."""

from __future__ import annotations

import pwd
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from socket import SO_PEERCRED, SOL_SOCKET
from typing import Any

import structlog

from zonewall.api.alone import refuse_second
from zonewall.api.http import Handler, web
from zonewall.errors import ZonewallError
from zonewall.store.private_socket import private_socket

_log = structlog.get_logger()


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
        application = web.Application(middlewares=[_say_failures])
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
            ZonewallError: another controller answers there, or nothing can be opened there.
        """
        await refuse_second(self._socket)
        try:
            self._socket.unlink(missing_ok=True)
            self._socket.parent.mkdir(parents=True, exist_ok=True)
            made = private_socket(self._socket)
        except OSError as error:
            reason = error.strerror or error
            raise ZonewallError(f"{self._socket}: {reason}; say another place with --socket") from error
        await self._runner.setup()
        await web.SockSite(self._runner, made).start()

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


@web.middleware
async def _say_failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what nobody foresaw as a failure of the controller's own: one that answers is there."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception as error:
        _log.exception("request_failed", path=request.path)
        said = f"the controller failed at it: {type(error).__name__}; its log says where"
        return web.json_response({"error": said}, status=500)


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
