"""HTTP/1.1 at a control socket: one question and its answer a connection. h11 knows what is said (RFC 9112).

Who speaks here is the socket's owner, so that little can be meant badly; all the same what one question may
be, and how long it may take, is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import h11

MOST_HEAD = 16 * 1024
MOST_BODY = 1024 * 1024
_CHUNK = 256 * 1024


class UnusableError(ValueError):
    """A question or an answer that is none: why, and for a question the answer's status."""

    def __init__(self, why: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        """Say why."""
        super().__init__(why)
        self.status = status


class Question(NamedTuple):
    """What somebody asks."""

    method: str
    path: str
    words: Mapping[str, str]
    body: bytes

    def said(self) -> Any:
        """Return the body's JSON.

        Raises:
            ValueError, RecursionError: it is none.
        """
        return json.loads(self.body)


class Asked:
    """One connection at which a question is heard and answered."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        """Hear what ``reader`` gives."""
        self._reader = reader
        self._http = h11.Connection(h11.SERVER, MOST_HEAD)

    async def question(self) -> Question | None:
        """Return what is asked; None where nothing is.

        Raises:
            UnusableError: it is not HTTP, or too much.
            OSError: the connection ended.
        """
        request: h11.Request | None = None
        body, size = bytearray(), 0
        while not isinstance(event := await self._event(), h11.EndOfMessage):
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                size += len(event.data)
                # What is too much is heard to its end, so that who says it comes to hear the answer.
                body += event.data if size <= MOST_BODY else b""
            else:
                return None
        if size > MOST_BODY:
            raise UnusableError(
                "that is too much at once; say it in several parts", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            )
        assert request is not None
        parts = urlsplit(request.target.decode("latin-1"))
        words = dict(parse_qsl(parts.query, keep_blank_values=True))
        return Question(request.method.decode("latin-1"), parts.path, words, bytes(body))

    async def _event(self) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(_CHUNK))
        except h11.RemoteProtocolError as error:
            raise UnusableError(f"that is no request: {error}", HTTPStatus(error.error_status_hint)) from None
        return event

    def answer(self, status: HTTPStatus, document: Any) -> bytes:
        """Return an answer in bytes.

        Raises:
            TypeError, ValueError: the document has no form in JSON.
        """
        body = json.dumps(document).encode()
        fields = [("Content-Type", "application/json; charset=utf-8"), *_sized(body), _CLOSE]
        head = h11.Response(status_code=status.value, reason=status.phrase, headers=fields)
        return _sent(self._http, head, body)


def ask(path: Path, method: str, target: str, body: bytes | None, within_s: float) -> Any:
    """Return the JSON that whoever listens at a socket answers.

    Raises:
        OSError: nobody does, or not in time.
        ValueError: it is no answer.
    """
    until = time.monotonic() + within_s
    http = h11.Connection(h11.CLIENT, MOST_HEAD)
    said = [] if body is None else [("Content-Type", "application/json"), *_sized(body)]
    request = h11.Request(method=method, target=target, headers=[("Host", "controller"), _CLOSE, *said])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as speaking:
        speaking.settimeout(within_s)
        speaking.connect(str(path))
        # Who does not hear it to its end may have answered all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            speaking.sendall(_sent(http, request, body or b""))
        parts: list[bytes] = []
        try:
            while not isinstance(event := http.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    speaking.settimeout(max(0.001, until - time.monotonic()))
                    http.receive_data(speaking.recv(_CHUNK))
                elif isinstance(event, h11.Data):
                    parts.append(bytes(event.data))
                elif isinstance(event, h11.ConnectionClosed):
                    raise UnusableError("there is no answer")
        except h11.RemoteProtocolError as error:
            raise UnusableError(f"that is no answer: {error}") from None
    return json.loads(b"".join(parts))


_CLOSE = ("Connection", "close")


def _sized(body: bytes) -> list[tuple[str, str]]:
    return [("Content-Length", str(len(body)))]


def _sent(http: h11.Connection, head: h11.Request | h11.Response, body: bytes) -> bytes:
    """Return a message in bytes."""
    events = (head, h11.Data(data=body), h11.EndOfMessage()) if body else (head, h11.EndOfMessage())
    return b"".join(http.send(event) or b"" for event in events)
