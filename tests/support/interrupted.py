"""A program with a lab that a test interrupts, and what is left of the lab afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from topologies.ledger import NETNS, start_time

from support.documents import ROOT

SOON_S = 20.0
# A shell's background jobs ignore signals and hand that down; what is to be interrupted must not (env(1)).
LISTENING = ("env", "--default-signal=INT,HUP,TERM")


class Interrupted:
    """The program, in a process group of its own, with a folder of labs that no other lab sweeps."""

    def __init__(self, base: Path, words: Sequence[str], output: Path) -> None:
        self.base = base
        self._output = output
        with output.open("wb") as out:
            self.process = subprocess.Popen(
                [*LISTENING, sys.executable, *words],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={**os.environ, "ZONEWALL_LAB_DIR": str(base), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )  # fmt: skip
        self._made: set[tuple[int, int]] = set()
        self._tokens: set[str] = set()

    @property
    def output(self) -> str:
        """Return what it has printed."""
        return self._output.read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        """Wait until it has printed a text, and note what its lab has made."""
        late = time.monotonic() + 60
        while text not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < late, self.output
            time.sleep(0.02)
        self.note()

    def wait_for_lab(self) -> None:
        """Wait until its lab has begun."""
        late = time.monotonic() + 30
        while not list(self.base.glob("*.ledger")):
            assert time.monotonic() < late, self.output
            time.sleep(0.005)

    def note(self) -> None:
        """Note the processes and the names that the labs have on record."""
        for path in self.base.glob("*.ledger"):
            self._tokens.add(path.stem)
            for line in path.read_text().splitlines():
                entry = json.loads(line)
                if entry.get("started") is not None:
                    self._made.add((entry["process"], entry["started"]))

    def interrupt(self, number: int, *, alone: bool = False) -> int:
        """Signal the group, as Ctrl-C does, or the program alone; return its exit status."""
        self.note()
        if alone:
            self.process.send_signal(number)
        else:
            os.killpg(self.process.pid, number)
        return self.process.wait(SOON_S)

    def made(self) -> int:
        """Return how many processes the lab had on record."""
        return len(self._made)

    def left(self) -> list[str]:
        """Return what is there of the labs: files, namespaces, processes."""
        found = [str(path) for path in self.base.iterdir() if path.name != "lock"]
        found += [str(path) for token in self._tokens for path in NETNS.glob(f"{token}-*")]
        return found + [str(pid) for pid, started in self._made if runs(pid, started)]


def runs(pid: int, started: int) -> bool:
    """Say whether a process still runs; one that has ended and waits for its parent to notice does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z" and start_time(pid) == started


@contextmanager
def interrupted(tmp_path: Path, *words: str) -> Iterator[Interrupted]:
    """Start a program that is to be interrupted; ends it by force if the test does not."""
    # Short, since paths of sockets have at most 107 bytes.
    with TemporaryDirectory(dir="/run", prefix="zw") as base:
        program = Interrupted(Path(base), words, tmp_path / f"output-{time.monotonic_ns()}")
        try:
            yield program
        finally:
            if program.process.poll() is None:
                os.killpg(program.process.pid, signal.SIGKILL)
                program.process.wait()
            sweep_from_outside(Path(base))


def sweep_from_outside(base: Path) -> None:
    """Start and end another lab's record, as any next lab would."""
    environment = {**os.environ, "ZONEWALL_LAB_DIR": str(base)}
    script = "from topologies.ledger import Ledger; Ledger().undo()"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=True, timeout=60)
