"""Cuts what a database sends into JSON documents, bounded in size and depth (RFC 7047, section 4).

JSON-RPC on a stream has no lengths and no delimiters: the end of a document is its last closing brace.
Finding it by a regular expression and leaving the rest to the standard library is about ten times as fast
as python-ovs' own parser where that has no C module.
"""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Room:
    """What a document may have at most.

    Attributes:
        bytes: its length.
        tokens: brackets and strings: a port, as a database tells of it, is about sixty.
        plain_bytes: what is neither, numbers and what parts them: of a port about forty.
    """

    bytes: int
    tokens: int
    plain_bytes: int

    @staticmethod
    def for_ports(ports: int) -> Room:
        """Return the room for a database of so many ports: half as much again as it needs."""
        return Room((1 << 20) + 1024 * ports, 100_000 + 92 * ports, (1 << 20) + 112 * ports)


# Either a bracket, or a string with its closing quote, if that is here already.
_TOKEN = re.compile(rb'[{}\[\]]|"[^"\\]*(?:\\.[^"\\]*)*("?)', re.DOTALL)
_REST_OF_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*("?)', re.DOTALL)
_OPENING = (0x7B, 0x5B)
_QUOTE = 0x22
_BLANK = b" \t\r\n"


class MalformedStreamError(ValueError):
    """What came is no sequence of JSON objects within the bounds."""


class OutgrownError(MalformedStreamError):
    """A document has no room."""


class Framer:
    """Takes bytes, gives whole documents of which each has ``room``."""

    def __init__(self, room: Room) -> None:
        """Begin with nothing."""
        self.room = room
        self._parts: list[bytes] = []
        self._held = 0
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._tokens = self._plain = 0
        self._done: deque[bytes] = deque()

    def feed(self, data: bytes) -> None:
        """Take what came.

        Raises:
            MalformedStreamError: it cannot be, or belongs to, an acceptable document.
        """
        start = position = 0
        while position < len(data):
            if not self._parts and self._depth == 0:
                data = data[start:].lstrip(_BLANK)
                start = position = 0
                if not data:
                    return
                if data[0] != _OPENING[0]:
                    raise MalformedStreamError("what came is no JSON object")
            position = self._scan(data, position)
            self._held += position - start
            if self._held > self.room.bytes:
                raise OutgrownError(f"a message is longer than {self.room.bytes} bytes")
            if self._tokens > self.room.tokens or self._plain > self.room.plain_bytes:
                raise OutgrownError("a message has more values than any database tells at once")
            self._parts.append(data[start:position])
            start = position
            if self._depth == 0:
                self._done.append(b"".join(self._parts))
                self._parts, self._held, self._tokens, self._plain = [], 0, 0, 0

    def pop(self) -> bytes | None:
        """Return the next whole document, or None."""
        return self._done.popleft() if self._done else None

    def __bool__(self) -> bool:
        """Say whether a whole document is here."""
        return bool(self._done)

    def _scan(self, data: bytes, position: int) -> int:
        """Return where the document ends, or the length when it does not end here."""
        if self._in_string:
            position = self._resume_string(data, position)
        while not self._in_string:
            found = _TOKEN.search(data, position)
            if found is None:
                self._plain += len(data) - position
                return len(data)
            self._tokens += 1
            self._plain += found.start() - position
            position = found.end()
            first = data[found.start()]
            if first == _QUOTE:
                if not found[1]:
                    self._leave_in_string(data, position)
            elif first in _OPENING:
                self._depth += 1
                if self._depth > MAX_DEPTH:
                    raise MalformedStreamError(f"a message is nested deeper than {MAX_DEPTH}")
            else:
                self._depth -= 1
                if self._depth == 0:
                    return position
        return len(data)

    def _resume_string(self, data: bytes, position: int) -> int:
        if self._escaped:
            position += 1
            self._escaped = False
        found = _REST_OF_STRING.match(data, position)
        if found is not None and found[1]:
            self._in_string = False
            return found.end()
        self._leave_in_string(data, position if found is None else found.end())
        return len(data)

    def _leave_in_string(self, data: bytes, position: int) -> None:
        # What the expression left over can only be a backslash whose second half has not come yet.
        self._in_string = True
        self._escaped = position < len(data)


def parse_document(document: bytes) -> Any:
    """Return the JSON value.

    Raises:
        MalformedStreamError: it is none, or not in UTF-8, or has numbers that JSON does not know.
    """
    try:
        return json.loads(document.decode("utf-8"), parse_constant=_no_constant, object_hook=_others_first)
    except (ValueError, RecursionError) as problem:
        raise MalformedStreamError(f"a message is no JSON: {problem}") from problem


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _others_first(found: dict[str, Any]) -> dict[str, Any]:
    """Return an object as it is: other threads have a turn where Python is called, none in the parser."""
    return found
