"""Waiting for a bridge's answers: who waits, how long, for how much."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from zonewall.openflow.parse import Header


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one session: seconds, bytes."""

    handshake_s: float = 10.0
    answer_s: float = 30.0
    echo_after_s: float = 5.0
    dead_after_s: float = 15.0
    max_reply_bytes: int = 128 * 1024 * 1024
    max_ports: int = 65_536


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
