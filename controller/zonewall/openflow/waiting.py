"""Waiting for a bridge's answers: who waits, how long, for how much."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from zonewall.openflow.errors import Malformed
from zonewall.openflow.parse import Header

FLOW_BYTES: Final = 512
"""A flow in an answer has so many bytes at most, on an average of all: counters, match and actions."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one session: seconds, bytes.

    Attributes:
        max_flows: in one answer, unless the session is told another number (``Session.most_flows``).
        max_reply_bytes: of an answer that is not about flows.
    """

    handshake_s: float = 10.0
    answer_s: float = 30.0
    echo_after_s: float = 5.0
    dead_after_s: float = 15.0
    max_flows: int = 210_000
    max_reply_bytes: int = 16 * 1024 * 1024
    max_ports: int = 65_536


class Allowance:
    """How many flows a bridge may still show, in however many answers one reading takes."""

    def __init__(self, flows: int) -> None:
        """Allow so many."""
        self._flows = self._left = flows
        self._bytes_left = flows * FLOW_BYTES

    def spend(self, flows: int, size: int) -> None:
        """Take that a part of an answer had so many flows and bytes.

        Raises:
            Malformed: that is more than was allowed.
        """
        self._left -= flows
        self._bytes_left -= size
        if self._left < 0:
            raise Malformed(f"the bridge shows more than {self._flows} flows: its flow-budget is for fewer")
        if self._bytes_left < 0:
            raise Malformed(f"the bridge shows flows of more than {self._flows * FLOW_BYTES} bytes")


@dataclass(slots=True)
class Waiter:
    """Who waits for the answers to a block of xids."""

    first_xid: int
    last_xid: int
    on_message: Callable[[Header, bytes], None]
    failure: BaseException | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def fail(self, failure: BaseException) -> None:
        """End the wait with a failure; the first one counts."""
        if self.failure is None:
            self.failure = failure
        self.done.set()

    def take_failure(self) -> BaseException:
        """Return the failure to be raised, once: who keeps what is raised keeps all that it comes through."""
        assert self.failure is not None
        failure, self.failure = self.failure, None
        return failure

    def let_go(self) -> None:
        """Let go of whoever took the answers, which mostly holds this waiter, too."""
        self.on_message = _nobody


def _nobody(_: Header, __: bytes) -> None:
    """Take an answer that nobody waits for any more."""
