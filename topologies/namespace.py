"""A network namespace of a lab's own, and what is done inside it: commands, processes, sockets."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from topologies.ledger import MARK, NETNS, Ledger

CLONE_NEWNET = 0x40000000
INTERFACE_NAME_MAX = 15

Result = TypeVar("Result")
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """A command of the lab failed; the text says which one and what it printed."""


class Process:
    """A background process of a lab, ended by its own number; its output goes to a file."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self.pid = popen.pid
        self.log = log

    def running(self) -> bool:
        """Say whether it still runs."""
        return self._popen.poll() is None

    def wait(self, timeout_s: float) -> int:
        """Return its exit status.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        return self._popen.wait(timeout_s)

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 20.0) -> int:
        """End it and what it started, by force when it does not listen; return its exit status."""
        if self._popen.poll() is None:
            os.killpg(self.pid, number)
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            return self._popen.wait()

    def output(self) -> str:
        """Return what it has printed so far."""
        return self.log.read_text(errors="replace")


class Namespace:
    """A named network namespace; its loopback is up, IPv6 is off on all else unless ``ipv6``."""

    def __init__(self, ledger: Ledger, name: str, *, ipv6: bool = False) -> None:
        self.ledger = ledger
        self.short_name = name
        self.name = f"{ledger.token}-{name}"
        ledger.namespace(self.name)
        # Marked, so that one that an interruption leaves running is found and ended before the namespace is.
        command("ip", "netns", "add", self.name, env={MARK: ledger.token})
        for scope in ("default", "all"):
            self.sysctl(f"net.ipv6.conf.{scope}.disable_ipv6", int(not ipv6))
            self.sysctl(f"net.ipv6.conf.{scope}.accept_dad", 0)
        self.sysctl("net.ipv6.conf.lo.disable_ipv6", 0)
        self.ip("link set dev lo up")

    def ip(self, *lines: str) -> None:
        """Run lines of ip(8) here, all in one process.

        Raises:
            LabError: one of them was refused.
        """
        command("ip", "-n", self.name, "-batch", "-", stdin="\n".join(lines) + "\n")

    def run(self, *words: str, stdin: str = "", timeout_s: float = 60.0) -> str:
        """Run a command here and return what it prints.

        Raises:
            LabError: it failed.
        """
        return command("ip", "netns", "exec", self.name, *words, stdin=stdin, timeout_s=timeout_s)

    def succeeds(self, *words: str, stdin: str = "", timeout_s: float = 60.0) -> bool:
        """Say whether a command ends well here."""
        words = ("ip", "netns", "exec", self.name, *words)
        done = subprocess.run(
            words, input=stdin.encode(), capture_output=True, timeout=timeout_s, check=False
        )
        return done.returncode == 0

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a background process here."""
        return start_process(self.ledger, "ip", "netns", "exec", self.name, *words, env=env)

    def enter(self) -> None:
        """Move the calling thread into this namespace for good."""
        with (NETNS / self.name).open() as target:
            if _libc.setns(target.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"cannot enter the namespace {self.name}")

    def call(self, function: Callable[[], Result]) -> Result:
        """Return what a function returns when a thread inside this namespace calls it."""
        outcome: list[Any] = []

        def inside() -> None:
            try:
                self.enter()
                outcome.extend((True, function()))
            except BaseException as error:
                outcome.extend((False, error))

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        fine, value = outcome
        if not fine:
            raise value
        result: Result = value
        return result

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Return a socket of this namespace; it stays one wherever it is used."""
        return self.call(lambda: socket.socket(family, kind, protocol))

    def sysctl(self, key: str, value: int | str) -> None:
        """Set a kernel parameter of this namespace, such as ``net.ipv4.ip_forward``."""
        path = Path("/proc/sys", *key.split("."))
        self.call(lambda: path.write_text(str(value)))


def command(
    *words: str, stdin: str = "", timeout_s: float = 60.0, env: Mapping[str, str] | None = None
) -> str:
    """Run a command and return what it prints.

    Raises:
        LabError: it failed, or did not end in time.
    """
    try:
        done = subprocess.run(
            words,
            input=stdin.encode(),
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, **(env or {})},
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(words)}: not done after {timeout_s} s") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise LabError(f"{' '.join(words)}: {said}")
    return done.stdout.decode(errors="replace")


def start_process(ledger: Ledger, *words: str, env: Mapping[str, str] | None = None) -> Process:
    """Start a background process in a session of its own, so that Ctrl-C reaches the lab's owner alone."""
    log = ledger.folder / f"process-{threading.get_ident()}-{len(list(ledger.folder.iterdir()))}.log"
    with log.open("ab") as out:
        popen = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
    ledger.process(popen)
    return Process(popen, log)


def checked_name(name: str) -> str:
    """Return an interface's name.

    Raises:
        LabError: the kernel would not take it.
    """
    if not 0 < len(name) <= INTERFACE_NAME_MAX or not name.isascii() or "/" in name or " " in name:
        raise LabError(f"{name!r} cannot name an interface: 1 to {INTERFACE_NAME_MAX} plain characters")
    return name
