"""A whole controller as a process of its own on loopback, for switches that a test starts or plays itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from support import asked
from support.asked import Status, is_in_force, status_of
from support.dummy import DummySwitch
from support.ovsdb_host import free_port

ZONEWALL = Path(sys.executable).with_name("zonewall")
PATIENCE_S = 60.0


class RunningController:
    """``policies`` is followed; ``openflow`` and ``ovsdb`` are the ports that it listens on."""

    def __init__(self, folder: Path) -> None:
        self.policies, self.state = folder / "policies", folder / "state"
        self.policies.mkdir(exist_ok=True)
        self.openflow, self.ovsdb = free_port(), free_port()
        self.log_file = folder / "controller.log"
        self.process: subprocess.Popen[bytes] | None = None

    def put(self, name: str, document: dict[str, Any]) -> None:
        """Write a document at one moment."""
        new = self.policies.parent / f"{name}.new"
        new.write_text(yaml.safe_dump(document))
        new.replace(self.policies / f"{name}.yaml")

    def start(self, *words: str, ovsdb: bool = True) -> None:
        """Start ``zonewall run``, listening in plain on loopback unless ``words`` say where, and wait for it.

        A switch that it had refused would wait longer each time before it tries again.
        """
        listening = words or ("--openflow", f"tcp:127.0.0.1:{self.openflow}")
        if ovsdb:
            listening += ("--ovsdb", f"tcp:127.0.0.1:{self.ovsdb}")
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [str(ZONEWALL), "run", str(self.policies), "--state", str(self.state), *listening],
                stdout=log, stderr=log,
            )  # fmt: skip
        self.until(lambda status: True)

    def stop(self, *, kill: bool = False) -> None:
        """End it, with no time to do anything if it is to be killed; safe to call twice."""
        if self.process is not None:
            (self.process.kill if kill else self.process.terminate)()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def join(self, switch: DummySwitch, bridge: str) -> None:
        """Point a switch's database and one of its bridges here."""
        switch.vsctl("set-controller", bridge, f"tcp:127.0.0.1:{self.openflow}")
        switch.vsctl("set-manager", f"tcp:127.0.0.1:{self.ovsdb}")

    def status(self) -> Status:
        """Return the status document, {} while no controller answers."""
        return status_of(self.state)

    def until(self, condition: Callable[[Status], object], patience_s: float = PATIENCE_S) -> Status:
        """Return the first status that fulfils a condition."""
        return asked.until(self._living_status, condition, patience_s, self.log_file.read_text)

    def _living_status(self) -> Status:
        assert self.process is None or self.process.poll() is None, self.log_file.read_text()[-4000:]
        return self.status()


def bridge_row(status: Status, host: str) -> dict[str, Any]:
    """Return what the status says of a host's only bridge."""
    (row,) = (one for one in status["bridges"] if one["bridge"].startswith(f"{host}/"))
    return dict(row)


def all_active(status: Status) -> bool:
    """Say whether every endpoint has a place, and all bridges what is wanted."""
    placed = [{place["state"] for place in one["places"]} for one in status["endpoints"]]
    return all(states == {"active"} for states in placed) and is_in_force(status)


@contextmanager
def running_controller(folder: Path) -> Iterator[RunningController]:
    """Give a controller that has not been started, and end it afterwards."""
    controller = RunningController(folder)
    try:
        yield controller
    finally:
        controller.stop()
