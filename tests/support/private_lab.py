"""Commands run by ``topologies/in_private_ovs.py`` in a test's own lab, and Mininet's prompt there."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from topologies.ledger import BASE, MARK, NETNS
from topologies.namespace import CLONE_NEWNET

from support.documents import ROOT
from zonewall.api.control import ask
from zonewall.errors import ControllerUnreachableError

PREFIX = ROOT / "topologies" / "in_private_ovs.py"
PROMPT = b"mininet> "
Condition = Callable[[dict[str, Any]], bool]


class PrivateLab:
    """One named lab; who runs commands in it shares its switch."""

    def __init__(self, folder: Path, base: Path = BASE) -> None:
        """Begin nothing yet; ``folder`` is where commands are run, ``base`` where labs are written down.

        ``folder`` stands for a clone: what of it is missing is linked to the real one.
        """
        for name in (".venv", "topologies", "policies"):
            if not (folder / name).exists():
                (folder / name).symlink_to(ROOT / name)
        self.base = base
        self.name = f"t{secrets.token_hex(4)}"
        self.folder = folder
        self.token = f"zw-{self.name}"
        self.environment = {**os.environ, "ZONEWALL_LAB": self.name, "ZONEWALL_LAB_DIR": str(base)}
        self._started = 0

    @property
    def namespace(self) -> str:
        """Return the name of the lab's network namespace."""
        return f"{self.token}-ovs"

    def run(self, *words: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command in the lab and return how it ended."""
        return subprocess.run(
            [str(PREFIX), *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def shell(self, script: str, timeout_s: float = 60.0) -> str:
        """Run what a user would type, in the lab; return what it prints."""
        done = self.run("bash", "-ec", script, timeout_s=timeout_s)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *words: str) -> Started:
        """Start a command in the lab, in a process group of its own."""
        return self.start_plain(str(PREFIX), *words)

    def start_plain(self, *words: str) -> Started:
        """Start a command that is run by no prefix but its own."""
        self._started += 1
        return Started(words, self.folder, self.environment, self.folder / f"output{self._started}")

    def status(self) -> dict[str, Any]:
        """Return what the controller in the lab says, {} while there is none."""
        try:
            return ask(self.base / self.token / "zonewall" / "control.sock", "/status")
        except ControllerUnreachableError:
            return {}

    def wait_for(self, condition: Condition, timeout_s: float = 30.0) -> dict[str, Any]:
        """Return the controller's first status that fulfils a condition."""
        late = time.monotonic() + timeout_s
        while True:
            status = self.status()
            if status and condition(status):
                return status
            assert time.monotonic() < late, json.dumps(status)[:3000]
            time.sleep(0.05)

    def leftovers(self) -> list[str]:
        """Return what there is of the lab: processes, namespaces, files."""
        mark = f"{MARK}={self.token}".encode()
        found = [
            str(path) for path in (NETNS / self.namespace, *self.base.glob(f"{self.token}*")) if path.exists()
        ]
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes().split(b"\0"):
                    found.append(f"{path.parts[2]}: {(path.parent / 'cmdline').read_bytes()!r}")
            except OSError:
                continue
        return found


class Started:
    """A process that was started, in a group of its own; its output goes to a file."""

    def __init__(self, words: Sequence[str], folder: Path, environment: dict[str, str], output: Path) -> None:
        self.output = output
        with output.open("wb") as out:
            self.process = subprocess.Popen(
                words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip

    def signal_group(self, number: int) -> None:
        """Signal the process and all of its group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def end(self, number: int = signal.SIGTERM, timeout_s: float = 20.0) -> int:
        """Signal the process alone, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.signal_group(signal.SIGKILL)
            raise

    def wait_for_output(self, text: str, timeout_s: float = 30.0) -> str:
        """Return the output once it contains a text."""
        late = time.monotonic() + timeout_s
        while text not in (said := self.output.read_text(errors="replace")):
            assert time.monotonic() < late, said
            assert self.process.poll() is None, said
            time.sleep(0.02)
        return said


class Mininet:
    """``mn`` at its prompt."""

    def __init__(self, lab: PrivateLab, words: Sequence[str], timeout_s: float = 40.0) -> None:
        """Start it and wait for its first prompt."""
        self._process = subprocess.Popen(
            words, cwd=lab.folder, env=lab.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, bufsize=0, start_new_session=True,
        )  # fmt: skip
        self.heading = self._until_prompt(timeout_s)

    def do(self, line: str, timeout_s: float = 60.0) -> str:
        """Give a line to Mininet's command line and return what it prints."""
        self.begin(line)
        return self.finish(timeout_s)

    def begin(self, line: str) -> None:
        """Give a line; ``finish`` waits for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    def finish(self, timeout_s: float = 60.0) -> str:
        """Return what the line that was begun printed."""
        return self._until_prompt(timeout_s)

    def host(self, name: str) -> MininetHost:
        """Return a machine of the network."""
        return MininetHost(int(self.do(f"py {name}.pid").split()[-1]))

    def leave(self) -> int:
        """Leave by the front door and return the exit status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"exit\n")
        self._process.stdin.close()
        late = time.monotonic() + 30
        # Not until the end of the output: what was started beside it may go on and keep that open.
        with self._process.stdout, selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while self._process.poll() is None:
                assert time.monotonic() < late, "mn does not end"
                if selector.select(0.1):
                    os.read(self._process.stdout.fileno(), 65536)
        return self._process.returncode

    def kill(self) -> None:
        """End it and all of its group."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _until_prompt(self, timeout_s: float) -> str:
        late = time.monotonic() + timeout_s
        said = b""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not said.endswith(PROMPT):
                assert selector.select(max(0.0, late - time.monotonic())), said.decode(errors="replace")
                part = os.read(self._process.stdout.fileno(), 65536)
                assert part, said.decode(errors="replace")
                said += part
        return said.removesuffix(PROMPT).decode(errors="replace")


class MininetHost:
    """A machine of Mininet's: sockets in its namespace, as a capture or a sender needs them."""

    def __init__(self, pid: int) -> None:
        """Take the machine whose shell has this number."""
        self._namespace = Path(f"/proc/{pid}/ns/net")

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Return a socket of its namespace."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as home, self._namespace.open() as there:
            assert libc.setns(there.fileno(), CLONE_NEWNET) == 0
            try:
                return socket.socket(family, kind, protocol)
            finally:
                assert libc.setns(home.fileno(), CLONE_NEWNET) == 0


@contextmanager
def private_lab(folder: Path) -> Iterator[tuple[PrivateLab, ExitStack]]:
    """Give a lab that is kept by one idle command, and a stack of what to end; in the end nothing is left."""
    lab = PrivateLab(folder)
    with ExitStack() as stack:
        keeper = lab.start("sleep", "600")
        stack.callback(keeper.end)
        late = time.monotonic() + 20
        while not (lab.base / lab.token / "ovs" / "vswitchd.ctl").exists():
            assert time.monotonic() < late, keeper.output.read_text()
            time.sleep(0.02)
        yield lab, stack
    assert lab.leftovers() == []
