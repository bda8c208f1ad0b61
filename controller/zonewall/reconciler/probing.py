"""Probes of appliances: what is sent into them, what counts as an answer, and when they count as silent."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from zonewall.placement.appliance_probe import (
    ARP_NONCE_BYTES,
    NONCE_BYTES,
    build_question,
    build_through,
    card_of,
    parse_answer,
)
from zonewall.placement.model import BridgeKey
from zonewall.policy.appliances import Instance, Side
from zonewall.policy.inventory import ServiceFunction
from zonewall.values.names import OfPort

EVERY_S = 0.5
WAIT_S = 1.0
"""How long an answer is waited for."""

SILENT_AFTER = 3
"""So many probes in a row without an answer, in one direction, and an appliance is silent."""

BACK_AFTER = 3
"""So many answers in a row, in every direction, and it is not any more."""

Port = tuple[BridgeKey, OfPort]


@dataclass(frozen=True, slots=True)
class Sent:
    """A frame to send out of a bridge's port."""

    bridge: BridgeKey
    ofport: OfPort
    frame: bytes


@dataclass(slots=True)
class _Line:
    """One direction through one appliance: what went in and has not come out yet, and how it fares."""

    waiting: dict[bytes, tuple[float, BridgeKey, BridgeKey]] = field(default_factory=dict)
    missed: int = 0
    answered: int = 0


@dataclass(frozen=True, slots=True)
class _Course:
    """Where a line begins and where it ends."""

    name: str
    enter: Side
    leave: Side


class Prober:
    """Sends probes and judges answers; confined to the reconciler."""

    def __init__(self, silent: frozenset[str] = frozenset()) -> None:
        """Take these for silent until they answer, all others for working until they do not."""
        self._lines: dict[tuple[str, str], _Line] = {}
        self.silent = silent
        """Appliances that do not answer, by name."""
        self._answers: dict[BridgeKey, deque[tuple[float, float]]] = {}

    def answered(self, bridge: BridgeKey, put: float, at: float) -> None:
        """Take that a bridge has answered a question; what was sent to it before has left."""
        self._answers.setdefault(bridge, deque(maxlen=2 * SILENT_AFTER)).append((put, at))

    def forget(self, bridge: BridgeKey) -> None:
        """Forget a bridge's answers."""
        self._answers.pop(bridge, None)

    def due(
        self,
        instances: Iterable[Instance],
        functions: Mapping[str, ServiceFunction],
        port_of: Callable[[Side], Port | None],
        at: float,
    ) -> list[Sent]:
        """Return what to send now; what was not answered in time counts against its appliance.

        Args:
            instances: those in use.
            functions: theirs, by name.
            port_of: a side's port where the bridge can be told to send, None where it cannot.
            at: the clock.
        """
        sent = []
        kept: set[tuple[str, str]] = set()
        for instance in instances:
            probe = functions[instance.function].probe
            for course in _courses(instance, probe):
                kept.add((instance.name, course.name))
                line = self._lines.setdefault((instance.name, course.name), _Line())
                self._expire(line, at)
                begin, end = port_of(course.enter), port_of(course.leave)
                if begin is None or end is None:
                    line.waiting.clear()
                    continue
                nonce, frame = _frame(instance, course, probe)
                line.waiting[nonce] = (at, begin[0], end[0])
                sent.append(Sent(*begin, frame))
        self._lines = {key: line for key, line in self._lines.items() if key in kept}
        self._judge()
        return sent

    def heard(
        self,
        instances: Iterable[Instance],
        functions: Mapping[str, ServiceFunction],
        port_of: Callable[[Side], Port | None],
        port: Port,
        frame: bytes,
    ) -> None:
        """Take what came out of a leg: it counts once, and where it was sent through to, and nowhere else."""
        answer = parse_answer(frame)
        if answer is None:
            return
        for instance in instances:
            for course in _courses(instance, functions[instance.function].probe):
                line = self._lines.get((instance.name, course.name))
                if (
                    line is not None
                    and answer.nonce in line.waiting
                    and port_of(course.leave) == port
                    and course.leave.vlan == answer.vlan
                ):
                    del line.waiting[answer.nonce]
                    line.missed = 0
                    line.answered += 1
                    self._judge()
                    return

    def _expire(self, line: _Line, at: float) -> None:
        late = [nonce for nonce, (sent_at, _, _) in line.waiting.items() if at - sent_at >= WAIT_S]
        lost = [nonce for nonce in late if self._is_proven(*line.waiting[nonce])]
        for nonce in late:
            del line.waiting[nonce]
        if lost:
            line.missed += len(lost)
            line.answered = 0

    def _is_proven(self, sent_at: float, begin: BridgeKey, end: BridgeKey) -> bool:
        """Say whether a probe certainly left, and would have been told of: a mute bridge proves nothing."""
        left = [answered for put, answered in self._answers.get(begin, ()) if put >= sent_at]
        return bool(left) and any(put > left[0] for put, _ in self._answers.get(end, ()))

    def _judge(self) -> None:
        by_name: dict[str, list[_Line]] = {}
        for (name, _), line in self._lines.items():
            by_name.setdefault(name, []).append(line)
        silent = set()
        for name, lines in by_name.items():
            stays = name in self.silent and any(line.answered < BACK_AFTER for line in lines)
            if stays or any(line.missed >= SILENT_AFTER for line in lines):
                silent.add(name)
        self.silent = frozenset(silent)


def _courses(instance: Instance, probe: str | IPv4Address) -> Iterator[_Course]:
    if probe == "none":
        return
    yield _Course("forth", instance.enter, instance.leave)
    if not instance.has_one_leg:
        yield _Course("back", instance.leave, instance.enter)


def _frame(instance: Instance, course: _Course, probe: str | IPv4Address) -> tuple[bytes, bytes]:
    if isinstance(probe, IPv4Address):
        nonce = secrets.token_bytes(ARP_NONCE_BYTES)
        return nonce, build_question(probe, nonce, course.enter.vlan)
    nonce = secrets.token_bytes(NONCE_BYTES)
    cards = (card_of(instance.name, "enter"), card_of(instance.name, "leave"))
    source, destination = cards if course.name == "forth" else cards[::-1]
    return nonce, build_through(source, destination, nonce, course.enter.vlan)
