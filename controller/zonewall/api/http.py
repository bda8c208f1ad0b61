"""HTTP/1.1 as far as a control socket has use for it (RFC 9112): a question and an answer, then the end.

A library for it takes longer to be read than all else that the socket needs, and while a controller starts
there is none. Who speaks here is the socket's owner, so that little can be meant badly; all the same what one
question may be, and how long it may take, is bounded.
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

MOST_HEAD = 16 * 1024
MOST_BODY = 1024 * 1024
SAYING_S = 30.0
"""So long a question may take to be said, and an answer to be taken."""
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


async def read_question(reader: asyncio.StreamReader) -> Question | None:
    """Return what is asked; None where nothing is.

    Raises:
        UnusableError: it is not HTTP, or too much.
        OSError: the connection ended.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        (method, target, _), fields = _head(head, 3)
        size = _size(fields, HTTPStatus.LENGTH_REQUIRED)
        if size > MOST_BODY:
            await _discard(reader, size)
            raise UnusableError(
                "that is too much at once; say it in several parts", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            )
        body = await reader.readexactly(size)
    except asyncio.LimitOverrunError:
        raise UnusableError("that is too long for a request") from None
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise UnusableError("the request ends in its middle") from None
        return None
    parts = urlsplit(target)
    return Question(method, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), body)


def answer(status: HTTPStatus, document: Any) -> bytes:
    """Return an answer in bytes.

    Raises:
        TypeError, ValueError: the document has no form in JSON.
    """
    body = json.dumps(document).encode()
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


def ask(path: Path, method: str, target: str, body: bytes | None, within_s: float) -> Any:
    """Return the JSON that whoever listens at a socket answers.

    Raises:
        OSError: nobody does, or not in time.
        ValueError: it is no answer.
    """
    until = time.monotonic() + within_s
    lines = [f"{method} {target} HTTP/1.1", "Host: controller", "Connection: close"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as speaking:
        speaking.settimeout(within_s)
        speaking.connect(str(path))
        # Who does not hear it to its end may have answered all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            speaking.sendall("\r\n".join((*lines, "", "")).encode() + (body or b""))
        parts: list[bytes] = []
        while True:
            speaking.settimeout(max(0.001, until - time.monotonic()))
            part = speaking.recv(_CHUNK)
            if not part:
                break
            parts.append(part)
    head, end, said = b"".join(parts).partition(b"\r\n\r\n")
    if not end:
        raise UnusableError("the answer ends in its middle")
    _, fields = _head(head, 2)
    if len(said) != _size(fields, HTTPStatus.BAD_GATEWAY):
        raise UnusableError("the answer is not as long as it says")
    return json.loads(said)


def _head(head: bytes, words: int) -> tuple[list[str], dict[str, str]]:
    """Return the first line's words, at least so many, and the fields by their names in small letters."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    found = first.split(" ", 2)
    if len(found) < words or "HTTP/1." not in first:
        raise UnusableError("that is not HTTP/1.1")
    fields = (line.partition(":") for line in lines)
    return found, {name.strip().lower(): value.strip() for name, _, value in fields}


def _size(fields: Mapping[str, str], unless_said: HTTPStatus) -> int:
    if "transfer-encoding" in fields:
        raise UnusableError("say its length (Content-Length)", unless_said)
    size = fields.get("content-length", "0")
    if not (size.isascii() and size.isdigit() and len(size) < 16):
        raise UnusableError("Content-Length is a number")
    return int(size)


async def _discard(reader: asyncio.StreamReader, size: int) -> None:
    """Hear what will not be used, so that who says it comes to hear the answer."""
    while size > 0 and (part := await reader.read(_CHUNK)):
        size -= len(part)
