"""The control socket: what it is asked is bounded, and a refusal says why."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from zonewall.api.control import ask, look, tell
from zonewall.api.server import ControlServer
from zonewall.errors import ControllerUnreachableError, ZonewallError


async def _act(name: str, said: dict[str, Any], who: str) -> dict[str, Any]:
    if name == "refuse":
        raise ZonewallError("not today")
    return {"done": name, "said": said, "who": who}


async def _look(name: str, words: Mapping[str, str]) -> dict[str, Any]:
    return {"name": name, **words}


def asked(socket: Path, name: str, said: Any) -> dict[str, Any]:
    """Return what a server of its own answers, and end it."""

    async def scene() -> dict[str, Any]:
        server = ControlServer(socket, dict, _act, _look)
        await server.start()
        try:
            return await asyncio.get_running_loop().run_in_executor(None, tell, socket, name, said)
        finally:
            await server.stop()

    return asyncio.run(scene())


def test_what_is_asked_for_is_done_in_the_name_of_who_asks(tmp_path: Path) -> None:
    answer = asked(tmp_path / "s", "add", {"endpoints": [{"name": "é"}]})
    assert answer["said"] == {"endpoints": [{"name": "é"}]}
    assert "by command (process " in answer["who"]


def test_the_socket_is_its_owners_alone(tmp_path: Path) -> None:
    async def mode() -> int:
        server = ControlServer(tmp_path / "s", dict, _act, _look)
        await server.start()
        found = (tmp_path / "s").stat().st_mode
        await server.stop()
        return stat.S_IMODE(found)

    assert asyncio.run(mode()) == 0o600


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("refuse", {}, "not today"),
        ("add", ["a list"], "say what is wanted as a JSON object"),
        ("add", {"endpoints": ["x" * 2_000_000]}, "too much at once"),
    ],
)
def test_a_request_that_will_not_do_is_refused_with_the_reason(
    tmp_path: Path, name: str, said: Any, message: str
) -> None:
    with pytest.raises(ZonewallError, match=message):
        asked(tmp_path / "s", name, said)


@pytest.mark.parametrize("ask_for", ["look", "status", "act"])
def test_what_fails_unforeseen_is_said_as_the_controllers_own_failure_and_logged(
    tmp_path: Path, ask_for: str
) -> None:
    async def fails(*_: object) -> dict[str, Any]:
        raise KeyError("gone")

    def fails_at_once() -> dict[str, Any]:
        raise KeyError("gone")

    def question() -> None:
        if ask_for == "look":
            look(tmp_path / "s", "counters")
        elif ask_for == "status":
            ask(tmp_path / "s", "/status")
        else:
            tell(tmp_path / "s", "add", {})

    async def scene() -> None:
        server = ControlServer(tmp_path / "s", fails_at_once, fails, fails)
        await server.start()
        try:
            await asyncio.get_running_loop().run_in_executor(None, question)
        finally:
            await server.stop()

    with (
        capture_logs() as logged,
        pytest.raises(ZonewallError, match="the controller failed at it: KeyError"),
    ):
        asyncio.run(scene())
    assert [one["event"] for one in logged] == ["request_failed"]


def test_a_request_that_is_nested_without_end_is_refused_and_the_next_one_answered(tmp_path: Path) -> None:
    async def scene() -> list[bytes]:
        server = ControlServer(tmp_path / "s", dict, _act, _look)
        await server.start()
        found = []
        for body in (b"[" * 500_000, b"{", b"{}"):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            head = ("POST /act/add HTTP/1.1", "Host: c", "Connection: close", f"Content-Length: {len(body)}")
            writer.write("\r\n".join((*head, "", "")).encode() + body)
            found.append(await reader.read())
            writer.close()
        await server.stop()
        return found

    nested, cut, good = asyncio.run(scene())
    assert b" 400 " in nested
    assert b"nested too deeply" in nested
    assert b" 400 " in cut
    assert b" 200 " in good


def spoken(socket: Path, *parts: bytes) -> list[bytes]:
    """Return what a server answers to bytes, each on a connection of its own that then says no more."""

    async def scene() -> list[bytes]:
        server = ControlServer(socket, lambda: {"is": "well"}, _act, _look)
        await server.start()
        found = []
        for part in parts:
            reader, writer = await asyncio.open_unix_connection(str(socket))
            writer.write(part)
            writer.write_eof()
            found.append(await reader.read())
            writer.close()
        await server.stop()
        return found

    return asyncio.run(scene())


def test_what_is_no_question_is_refused_with_the_reason_and_the_next_one_answered(tmp_path: Path) -> None:
    host = b"Host: controller\r\n"
    post, get = b"POST /act/add HTTP/1.1\r\n" + host, b"GET /status HTTP/1.1\r\n" + host
    *refused, nothing, chunked, good = spoken(
        tmp_path / "s",
        b"\x06\x00\x00\x08\r\n\r\n",
        get + b"X: " + b"x" * 100_000,
        get,
        post + b"Content-Length: 9\r\n\r\n{}",
        post + b"Content-Length: -1\r\n\r\n{}",
        post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"GET /etc/passwd HTTP/1.1\r\n" + host + b"\r\n",
        b"DELETE /status HTTP/1.1\r\n" + host + b"\r\n",
        b"",
        post + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"GET /status HTTP/1.0\r\n\r\n",
    )
    said = [b"that is no request"] * 6 + [b"no such thing"] * 2
    for reason, answer in zip(said, refused, strict=True):
        assert answer.startswith(b"HTTP/1.1 4")
        assert reason in answer
    assert nothing == b""
    assert b" 200 " in chunked
    assert good.startswith(b"HTTP/1.1 200 OK\r\n")
    assert good.endswith(b'\r\n\r\n{"is": "well"}')


def test_what_a_name_or_a_word_may_be_made_of_comes_as_it_was_said(tmp_path: Path) -> None:
    words = {"to": "a b&c=d/é?", "empty": ""}

    async def scene() -> dict[str, Any]:
        server = ControlServer(tmp_path / "s", dict, _act, _look)
        await server.start()
        answer = await asyncio.to_thread(lambda: look(tmp_path / "s", "counters", **words))
        await server.stop()
        return answer

    assert asyncio.run(scene()) == {"name": "counters", **words}


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", b"220 mail\r\n\r\n{}"]
)
def test_who_answers_otherwise_is_no_controller(tmp_path: Path, said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async def scene() -> None:
        async with await asyncio.start_unix_server(answer, str(tmp_path / "s")):
            await asyncio.to_thread(ask, tmp_path / "s", "/status")

    with pytest.raises(ControllerUnreachableError):
        asyncio.run(scene())


def test_a_stop_waits_for_nobody_who_has_not_been_answered(tmp_path: Path) -> None:
    async def scene() -> bytes:
        begun = asyncio.Event()

        async def for_ever(*_: object) -> dict[str, Any]:
            begun.set()
            await asyncio.Event().wait()
            return {}

        server = ControlServer(tmp_path / "s", dict, for_ever, _look)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(b"POST /act/add HTTP/1.1\r\nHost: c\r\nContent-Length: 2\r\n\r\n{}")
        await begun.wait()
        await server.stop()
        writer.close()
        return await reader.read()

    assert asyncio.run(scene()) == b""
