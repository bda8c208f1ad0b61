"""A controller takes nobody's place: no other controller's, and no file's that is not its own."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import Any

import pytest

from zonewall.api.alone import alone_in, refuse_second
from zonewall.api.server import ControlServer
from zonewall.errors import ZonewallError

HOLDING = """
import sys
from pathlib import Path
from zonewall.api.alone import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def started(path: Path) -> None:
    """Open a control socket and close it again."""

    async def nothing(*_: object) -> dict[str, Any]:
        return {}

    async def look(_: str, words: Mapping[str, str]) -> dict[str, Any]:
        return dict(words)

    async def scene() -> None:
        server = ControlServer(path, dict, nothing, look)
        await server.start()
        await server.stop()

    asyncio.run(scene())


def test_what_is_no_socket_is_not_taken_away(tmp_path: Path) -> None:
    precious = tmp_path / "precious.yaml"
    precious.write_text("kind: tenant\n")
    with pytest.raises(ZonewallError, match=r"precious\.yaml: is there and no socket; .*--socket"):
        started(precious)
    assert precious.read_text() == "kind: tenant\n"


def test_a_link_to_a_file_is_not_taken_away_either(tmp_path: Path) -> None:
    (tmp_path / "precious.yaml").write_text("x")
    (tmp_path / "s").symlink_to(tmp_path / "precious.yaml")
    with pytest.raises(ZonewallError, match="no socket"):
        started(tmp_path / "s")
    assert (tmp_path / "s").is_symlink()


def test_the_socket_that_a_killed_controller_left_is_replaced(tmp_path: Path) -> None:
    left = socket(AF_UNIX, SOCK_STREAM)
    left.bind(str(tmp_path / "s"))
    left.close()
    assert (tmp_path / "s").is_socket()
    started(tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("place", ["/proc/x/y.sock", "/proc/y.sock", "file/y.sock", "a" * 200])
def test_where_no_socket_can_be_that_is_said_in_one_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ZonewallError, match="--socket") as refused:
        started(tmp_path / place)
    assert "\n" not in str(refused.value)


def test_a_second_controller_in_a_state_folder_is_refused_until_the_first_has_ended_however(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path / "state")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(ZonewallError, match="another controller is running in this state folder"):
            alone_in(tmp_path / "state").__enter__()
        first.send_signal(signal.SIGKILL)
    with alone_in(tmp_path / "state"):
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("folder", ["/proc/state", "file/state", "file"])
def test_a_state_folder_that_cannot_be_is_said_in_one_line(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ZonewallError, match="say another folder with --state"):
        alone_in(tmp_path / folder).__enter__()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ZonewallError, match="--state"):
        alone_in(tmp_path).__enter__()
    assert not (tmp_path / "elsewhere").exists()


def test_nothing_there_is_no_second_controller(tmp_path: Path) -> None:
    asyncio.run(refuse_second(tmp_path / "s"))
