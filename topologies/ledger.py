"""What a lab has made, written down first, so that all of it can be undone: now, or at the next start.

A ledger is a file of JSON lines under ``/run/zonewall-lab``, locked as long as its owner lives, or one of
several owners. An unlocked ledger is of a run that was killed; ``sweep`` undoes it. Nothing is ever ended or
removed by a broad name.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

BASE = Path(os.environ.get("ZONEWALL_LAB_DIR", "/run/zonewall-lab"))
NETNS = Path("/run/netns")
GRACE_S = 3.0
MARK = "ZONEWALL_LAB_TOKEN"
"""An environment variable with a lab's token: who inherits it belongs to that lab, in whatever namespace."""


class Ledger:
    """One lab's record; ``token`` begins the names of its namespaces, ``folder`` holds its files."""

    def __init__(
        self, base: Path = BASE, shared: str = "", build: Callable[[Ledger], None] | None = None
    ) -> None:
        """Begin a record, or join the one that is ``shared`` by that name.

        Args:
            base: where records are.
            shared: a name; all who give the same one have one lab, which lasts until the last of them leaves.
            build: makes what the lab is to have; called by the first, while the others wait.
        """
        self.base = base
        self._children: list[subprocess.Popen[bytes]] = []
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(base):
            sweep_locked(base)
            self.token = f"zw-{shared}" if shared else f"zw{secrets.token_hex(3)}"
            self.folder = base / self.token
            path = base / f"{self.token}.ledger"
            is_first = not path.exists()
            try:
                self._file = path.open("a")
                fcntl.flock(self._file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
                if is_first:
                    self.folder.mkdir(mode=0o700)
                    if build is not None:
                        build(self)
            except BaseException:
                if is_first and path.exists():
                    _undo(path, self.folder)
                raise

    def namespace(self, name: str) -> None:
        """Record a network namespace that is about to be made."""
        self._write({"namespace": name})

    def process(self, child: subprocess.Popen[bytes]) -> None:
        """Record a process; a later one with the same number is told apart by its start time."""
        self._children.append(child)
        self._write({"process": child.pid, "started": start_time(child.pid)})

    def undo(self) -> None:
        """End and remove everything on record, then the record; of a shared lab, when no other has it."""
        with _locked(self.base):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _undo(self.base / f"{self.token}.ledger", self.folder)
            self._file.close()
        for child in self._children:
            child.poll()

    def _write(self, entry: dict[str, object]) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()


def sweep(base: Path = BASE) -> None:
    """Undo what killed runs left behind."""
    if base.is_dir():
        with _locked(base):
            sweep_locked(base)


def sweep_locked(base: Path) -> None:
    """As ``sweep``, for one who holds the folder's lock."""
    for path in base.glob("*.ledger"):
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            _undo(path, path.with_suffix(""))


def start_time(pid: int) -> int | None:
    """Return a process's start in clock ticks since boot, proc(5) field 22; None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(text.rpartition(")")[2].split()[19])


def members(namespace: str) -> set[int]:
    """Return the processes inside a named network namespace, this one never."""
    try:
        wanted = (NETNS / namespace).stat()
    except FileNotFoundError:
        return set()
    found = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            there = path.stat()
            if (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino):
                found.add(int(path.parts[2]))
    return found - {os.getpid()}


def marked(token: str) -> set[int]:
    """Return the processes that inherited a lab's mark, this one never."""
    wanted = f"{MARK}={token}".encode()
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in _environment(path).split(b"\0"):
                found.add(int(path.parts[2]))
    return found - {os.getpid()}


def _environment(path: Path) -> bytes:
    # A child whose execve(2) is not through has none yet: this process waits until it shows whose it is.
    late = time.monotonic() + GRACE_S
    while not (found := path.read_bytes()) and _begins(path.with_name("stat")) and time.monotonic() < late:
        time.sleep(0.001)
    return found


def _begins(path: Path) -> bool:
    state, parent = path.read_text().rpartition(")")[2].split()[:2]
    return int(parent) == os.getpid() and state not in "ZX"


def _undo(ledger: Path, folder: Path) -> None:
    entries = [json.loads(line) for line in ledger.read_text().splitlines() if line.endswith("}")]
    namespaces = [entry["namespace"] for entry in entries if "namespace" in entry]
    processes = {entry["process"]: entry["started"] for entry in entries if "process" in entry}
    alive = {pid: started for pid, started in processes.items() if started == start_time(pid)}
    for name in namespaces:
        # Only this lab has made these namespaces: whoever lives in them, it has started.
        alive |= {pid: start_time(pid) for pid in members(name)}
    alive |= {pid: start_time(pid) for pid in marked(folder.name)}
    end(alive.items())
    for name in namespaces:
        if (NETNS / name).exists():
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)
    ledger.unlink(missing_ok=True)


def end(processes: Iterable[tuple[int, int | None]]) -> None:
    """Ask each process to end, then make it; a process whose start time differs is another's and is left."""
    descriptors = [fd for pid, started in processes if (fd := _open(pid, started)) is not None]
    try:
        for number, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
            for fd in descriptors:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, number)
            until = time.monotonic() + patience_s
            while any(not _ended(fd) for fd in descriptors) and time.monotonic() < until:
                time.sleep(0.01)
    finally:
        for fd in descriptors:
            os.close(fd)


def _open(pid: int, started: int | None) -> int | None:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if started is not None and start_time(pid) == started:
        return fd
    os.close(fd)
    return None


def _ended(fd: int) -> bool:
    # A descriptor of a process becomes readable when the process ends, zombie or not: pidfd_open(2).
    return bool(select.select([fd], [], [], 0)[0])


@contextlib.contextmanager
def _locked(base: Path) -> Iterator[None]:
    with (base / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
