"""The control socket: HTTP over a unix socket that only its owner may open."""

from __future__ import annotations

import asyncio
import pwd
import struct
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from socket import SO_PEERCRED, SOL_SOCKET
from typing import TYPE_CHECKING, Any

import structlog

from zonewall.api.alone import refuse_second
from zonewall.errors import ZonewallError
from zonewall.store.private_socket import private_socket

if TYPE_CHECKING:
    from zonewall.api.http import Question

SAYING_S = 30.0
"""So long a question may take to be said, and an answer to be taken."""

_Said = tuple[HTTPStatus, dict[str, Any]]

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
        self._server: asyncio.Server | None = None
        self._speaking: set[asyncio.Task[Any]] = set()
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
        self._server = await asyncio.start_unix_server(self._serve, sock=made)

    async def stop(self) -> None:
        """Close the socket and take it away; who has not been answered yet is hung up on."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._speaking):
            task.cancel()
        await asyncio.gather(*self._speaking, return_exceptions=True)
        self._socket.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one question; whoever takes its time to ask, or to hear, is not waited for."""
        task = asyncio.current_task()
        assert task is not None
        self._speaking.add(task)
        task.add_done_callback(self._speaking.discard)
        try:
            writer.write(await self._answered(reader, _caller(writer)))
            async with asyncio.timeout(SAYING_S):
                await writer.drain()
        except OSError:
            pass  # a TimeoutError, too: nobody is there to be told
        finally:
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader, who: str) -> bytes:
        """Return the answer to what is asked; what nobody foresaw is a failure of the controller's own."""
        from zonewall.api.http import Asked, UnusableError  # noqa: PLC0415 - not while the controller starts

        asked = Asked(reader)
        try:
            async with asyncio.timeout(SAYING_S):
                question = await asked.question()
        except UnusableError as error:
            return asked.answer(error.status, {"error": str(error)})
        if question is None:
            return b""
        try:
            return asked.answer(*await self._answer(question, who))
        except Exception as error:
            _log.exception("request_failed", path=question.path)
            said = f"the controller failed at it: {type(error).__name__}; its log says where"
            return asked.answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": said})

    async def _answer(self, question: Question, who: str) -> _Said:
        match question.method, question.path.strip("/").split("/"):
            case "GET", ["status"]:
                return HTTPStatus.OK, self._make_status()
            case "GET", ["look", name]:
                return await self._look(name, question.words)
            case "POST", ["act", name]:
                return await self._act(name, question, who)
        return HTTPStatus.NOT_FOUND, {"error": f"{question.method} {question.path}: there is no such thing"}

    async def _act(self, name: str, question: Question, who: str) -> _Said:
        try:
            said = question.said()
            if not isinstance(said, dict):
                raise ZonewallError("say what is wanted as a JSON object")
            return HTTPStatus.OK, await self._do(name, said, who)
        except RecursionError:
            return HTTPStatus.BAD_REQUEST, {"error": "that is nested too deeply"}
        except (ZonewallError, ValueError) as error:
            return HTTPStatus.BAD_REQUEST, {"error": str(error)}

    async def _look(self, name: str, words: Mapping[str, str]) -> _Said:
        try:
            return HTTPStatus.OK, await self._tell(name, words)
        except (ZonewallError, ConnectionError, TimeoutError) as error:
            return HTTPStatus.BAD_REQUEST, {"error": str(error) or type(error).__name__}


def _caller(writer: asyncio.StreamWriter) -> str:
    """Return who is at the other end of the socket, as the kernel says (SO_PEERCRED, unix(7))."""
    socket = writer.get_extra_info("socket")
    pid, uid, _ = struct.unpack("3i", socket.getsockopt(SOL_SOCKET, SO_PEERCRED, struct.calcsize("3i")))
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    return f"{name} by command (process {pid})"
