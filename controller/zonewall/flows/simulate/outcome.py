"""What became of a packet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zonewall.flows.simulate.connections import Connection, ConnTrack
from zonewall.flows.simulate.packet import Packet
from zonewall.pipeline.model import Flow


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet that left: by which port, and how it looked (its ``in_port`` is 0)."""

    port: int
    packet: Packet


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy for the controller: what the flow says to it, the packet, and the registers as they stood."""

    userdata: bytes
    packet: Packet
    registers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Commit:
    """A connection that was remembered; ``is_new`` False: one that was known got its mark or label set."""

    connection: Connection
    is_new: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that happened to one packet.

    Attributes:
        sent: in the order in which they left.
        copies: to the controller, in order.
        commits: in order.
        trail: every flow that matched, in order, each pass through connection tracking included.
        connections: the connection table afterwards.
        ambiguous: pairs of flows of one priority that both matched where the switch may take either.
        errors: one line for each pass that Open vSwitch would give up (recursion, resubmits, tags); what that
            pass would have done is not done.
    """

    sent: tuple[Sent, ...]
    copies: tuple[Copied, ...]
    commits: tuple[Commit, ...]
    trail: tuple[Flow, ...]
    connections: ConnTrack
    ambiguous: tuple[tuple[Flow, Flow], ...]
    errors: tuple[str, ...]

    @property
    def ports(self) -> tuple[int, ...]:
        """Return the ports it left by, in order, one for each packet."""
        return tuple(sent.port for sent in self.sent)
