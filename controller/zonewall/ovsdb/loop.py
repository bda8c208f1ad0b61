"""One thread for all hosts' connections: each is run when its socket or its timer says so, never else.

python-ovs' own poller uses select(2), which fails beyond descriptor 1023, and asks every connection to
register again at each turn. Here a registration stays until it changes (epoll), so that idle hosts cost
nothing.
"""

from __future__ import annotations

import contextlib
import queue
import selectors
import socket
from collections.abc import Callable
from typing import Protocol

import structlog

from ovs import poller, timeval

_LOG = structlog.get_logger("zonewall.ovsdb")


class Wants:
    """What one task waits for; speaks the interface of ``ovs.poller.Poller``."""

    def __init__(self) -> None:
        """Wait for nothing."""
        self.descriptor = -1
        self.events = 0
        self.deadline_ms: float | None = None

    def fd_wait(self, descriptor: int | socket.socket, events: int) -> None:
        """Wait for a socket; all calls of one task must name the same one."""
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        if number < 0:
            self.immediate_wake()
            return
        self.descriptor = number
        if events & poller.POLLIN:
            self.events |= selectors.EVENT_READ
        if events & poller.POLLOUT:
            self.events |= selectors.EVENT_WRITE

    def timer_wait(self, duration_ms: float) -> None:
        """Wait no longer than that."""
        self.timer_wait_until(timeval.msec() + duration_ms)

    def timer_wait_until(self, moment_ms: float) -> None:
        """Wait no longer than until then, in ``ovs.timeval.msec`` time."""
        if self.deadline_ms is None or moment_ms < self.deadline_ms:
            self.deadline_ms = moment_ms

    def immediate_wake(self) -> None:
        """Do not wait."""
        self.deadline_ms = 0.0


class Task(Protocol):
    """Something with at most one socket that is run when it is due."""

    def run(self) -> None:
        """Do what can be done without waiting."""

    def wait(self, wants: Wants) -> None:
        """Say what to wait for."""

    def fail(self, reason: str) -> None:
        """End, since ``run`` raised something that it did not foresee."""


class Loop:
    """Runs tasks and posted calls until it is stopped; everything but ``post`` belongs to its thread."""

    def __init__(self) -> None:
        """Make an empty loop."""
        self._selector = selectors.DefaultSelector()
        self._registered: dict[Task, tuple[int, int]] = {}
        self._deadlines: dict[Task, float] = {}
        self._ready: dict[Task, None] = {}
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._stopped = False

    def post(self, call: Callable[[], None]) -> None:
        """Have the loop's thread make this call soon; from any thread."""
        self._posted.put(call)
        with contextlib.suppress(BlockingIOError, OSError):
            self._ringer.send(b"!")

    def add(self, task: Task) -> None:
        """Run the task from the next turn on."""
        self._deadlines[task] = 0.0
        self._ready[task] = None

    def rouse(self, task: Task) -> None:
        """Run the task at the next turn; one that is not here stays away."""
        if task in self._deadlines:
            self._ready[task] = None

    def drop(self, task: Task) -> None:
        """Run the task no more."""
        self._ready.pop(task, None)
        self._deadlines.pop(task, None)
        self._unregister(task)

    def stop(self) -> None:
        """Leave ``run`` after this turn; for posted calls."""
        self._stopped = True

    def run(self) -> None:
        """Turn until stopped, then release what the loop itself holds."""
        while not self._stopped:
            self._turn()
        self._selector.close()
        self._bell.close()
        self._ringer.close()

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._patience_s()):
            if key.data is None:
                self._take_posted()
            elif key.data in self._deadlines:
                self._ready[key.data] = None
        now = timeval.msec()
        due = [task for task, deadline in self._deadlines.items() if deadline <= now]
        ready, self._ready = self._ready, {}
        for task in [*ready, *(task for task in due if task not in ready)]:
            self._run_one(task)

    def _run_one(self, task: Task) -> None:
        if task not in self._deadlines:
            return
        try:
            task.run()
        except Exception as problem:
            # One host's nonsense, or a mistake of ours in reading it, ends that host's connection only.
            _LOG.warning("host_task_failed", problem=repr(problem))
            task.fail(f"{type(problem).__name__}: {problem}")
        if task in self._deadlines:
            self._arm(task)

    def _arm(self, task: Task) -> None:
        wants = Wants()
        task.wait(wants)
        self._deadlines[task] = float("inf") if wants.deadline_ms is None else wants.deadline_ms
        wanted = (wants.descriptor, wants.events)
        if self._registered.get(task) == wanted:
            return
        self._unregister(task)
        if wants.descriptor >= 0:
            self._selector.register(wants.descriptor, wants.events, task)
            self._registered[task] = wanted

    def _unregister(self, task: Task) -> None:
        descriptor, _ = self._registered.pop(task, (-1, 0))
        if descriptor >= 0:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(descriptor)

    def _patience_s(self) -> float | None:
        if self._ready:
            return 0.0
        soonest = min(self._deadlines.values(), default=float("inf"))
        if soonest == float("inf"):
            return None
        remaining_ms: float = soonest - timeval.msec()
        return max(0.0, remaining_ms) / 1000

    def _take_posted(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._bell.recv(4096):
                pass
        while not self._posted.empty():
            self._posted.get()()
