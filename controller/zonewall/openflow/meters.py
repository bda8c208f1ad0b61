"""Meters, which no bundle can hold: many are asked for at once, with one barrier behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from zonewall.flows.diff import Change
from zonewall.flows.wire import METER_MOD, MeterCommand, message, meter_delete_body, meter_mod_body
from zonewall.openflow import messages, parse
from zonewall.openflow.errors import MeterRefused
from zonewall.openflow.parse import Header
from zonewall.openflow.session import Session


class MeterStep(NamedTuple):
    """One message about a meter."""

    number: int
    what: str
    body: bytes

    def sent(self, xid: int) -> bytes:
        """Return the whole message."""
        return message(METER_MOD, xid, self.body)

    def refused(self, body: bytes) -> MeterRefused:
        """Return what an error says of it."""
        return MeterRefused(self.number, self.what, *parse.parse_error(body))


def meters_before(change: Change) -> tuple[MeterStep, ...]:
    """Return what is asked for before flows use it."""
    made = (MeterStep(one.number, f"meter {one.number}", meter_mod_body(one)) for one in change.put_meters)
    changed = (
        MeterStep(one.number, f"to change meter {one.number}", meter_mod_body(one, MeterCommand.MODIFY))
        for one in change.modify_meters
    )
    return (*made, *changed)


def meters_after(change: Change) -> tuple[MeterStep, ...]:
    """Return what is asked for when no flow uses it any more."""
    return tuple(_removed(number) for number in change.delete_meters)


def _removed(number: int) -> MeterStep:
    return MeterStep(number, f"to remove meter {number}", meter_delete_body(number))


async def put_meters(session: Session, steps: Sequence[MeterStep]) -> None:
    """Ask for all of them and return when that is done.

    Raises:
        MeterRefused: the first that was refused; the others may have been made.
        SessionClosed: the session ended.
    """
    if not steps:
        return
    refused: list[MeterRefused] = []

    def take(header: Header, body: bytes) -> None:
        index = header.xid - waiter.first_xid
        if header.kind == messages.ERROR and index < len(steps):
            refused.append(steps[index].refused(body))
        elif header.kind == messages.BARRIER_REPLY:
            waiter.done.set()

    async with session.waiting(len(steps) + 1, take) as waiter:
        barrier = message(messages.BARRIER_REQUEST, waiter.last_xid, b"")
        await session.send_all([*_numbered(steps, waiter.first_xid), barrier])
        await session.wait(waiter, "meters")
    if refused:
        raise refused[0]


def _numbered(steps: Iterable[MeterStep], first_xid: int) -> Iterable[bytes]:
    return (step.sent(xid) for xid, step in enumerate(steps, first_xid))
