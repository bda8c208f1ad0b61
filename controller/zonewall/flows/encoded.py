"""A flow as the bytes that make it up on a bridge: what is compared, sent and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from zonewall.pipeline.model import MeterEntry


class FlowKey(NamedTuple):
    """What makes two flows of one bridge the same one (OpenFlow 1.5.1, 6.4)."""

    table: int
    priority: int
    match: bytes


class _Flow(NamedTuple):
    """A flow's parts; a tuple, because there are millions, made seven times as fast as a frozen dataclass."""

    table: int
    priority: int
    match: bytes
    instructions: bytes
    cookie: int = 0
    hard_timeout_s: int = 0
    ends_at: int = 0


class EncodedFlow(_Flow):
    """A flow in its canonical bytes; two flows are equal exactly when a bridge treats them alike.

    Attributes:
        match: OXM and NXM fields in canonical order, without ``ofp_match``'s header and padding.
        instructions: OpenFlow instructions, each padded to 8 bytes; empty drops.
        hard_timeout_s: seconds until the flow ends by itself, 0 for never.
        ends_at: the same as a moment, in seconds since 1970; 0 where it is not known. Not compared.
    """

    __slots__ = ()

    @property
    def key(self) -> FlowKey:
        """Return table, priority and match."""
        return tuple.__new__(FlowKey, self[:3])

    def __eq__(self, other: object) -> bool:
        """Say whether a bridge treats both alike."""
        return self[:6] == other[:6] if isinstance(other, EncodedFlow) else NotImplemented

    def __ne__(self, other: object) -> bool:
        """Say whether a bridge treats them otherwise."""
        return self[:6] != other[:6] if isinstance(other, EncodedFlow) else NotImplemented

    def __hash__(self) -> int:
        """Return the same number for flows that are equal."""
        return hash(self[:6])


@dataclass(frozen=True, slots=True)
class EncodedGroup:
    """A group in the bytes of its buckets; ``kind`` is OpenFlow's number: 0 all, 1 select."""

    number: int
    kind: int
    buckets: bytes


@dataclass(frozen=True, slots=True)
class BridgeState:
    """All that a bridge holds, or should hold, of ours."""

    flows: Mapping[FlowKey, EncodedFlow]
    groups: Mapping[int, EncodedGroup]
    meters: Mapping[int, MeterEntry]
