"""What became of traffic that ran: what was lost, leaked, late. Times are of ``time.monotonic()``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass
class Flow:
    """Numbered datagrams one way: how many were sent, when which arrived."""

    sent: int = 0
    arrivals: dict[int, float] = field(default_factory=dict)
    twice: int = 0

    @property
    def lost(self) -> int:
        """Return how many never arrived."""
        return self.sent - len(self.arrivals)

    @property
    def holes(self) -> int:
        """Return how many never arrived of those before the last that did."""
        return max(self.arrivals, default=-1) + 1 - len(self.arrivals)

    @property
    def times(self) -> list[float]:
        """Return the times of arrival."""
        return sorted(self.arrivals.values())


@dataclass
class Report:
    """What became of everything.

    Attributes:
        udp: by server, there and back.
        short: seconds that each finished short connection took.
        broken: short connections that were reset or never finished, with the reason.
        transfers: times at which something of a long transfer arrived, by server.
        transfers_broken: reasons, by server; empty while it lives.
        repeated: segments that a long transfer's sender had to repeat, by server; not those that it took
            for lost while an answer was slow, as the receiver says (RFC 2883).
        forbidden: packets between the same machines that no policy allows: sent.
        leaked: those that arrived.
        knocks: packets of another identity to what the rules allow others: sent.
        let_in: those that arrived.
        begun_at: when the calm at the beginning was over.
    """

    udp: dict[str, tuple[Flow, Flow]] = field(default_factory=dict)
    short: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    transfers: dict[str, list[float]] = field(default_factory=dict)
    transfers_broken: dict[str, str] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    forbidden: int = 0
    leaked: int = 0
    knocks: int = 0
    let_in: int = 0
    begun_at: float = 0.0

    @property
    def sent(self) -> int:
        """Return the datagrams sent, both ways."""
        return sum(flow.sent for pair in self.udp.values() for flow in pair)

    @property
    def lost(self) -> int:
        """Return the datagrams lost, both ways."""
        return sum(flow.lost for pair in self.udp.values() for flow in pair)

    def ways(self, *, datagrams: bool = False) -> Iterator[list[float]]:
        """Yield the arrivals of each way of datagrams, and of each transfer unless left out."""
        for server in self.udp:
            yield from self.ways_to(server)[: 2 if datagrams else 3]

    def ways_to(self, server: str) -> list[list[float]]:
        """Return one server's: of datagrams there and back, and of its transfer."""
        return [*(flow.times for flow in self.udp[server]), self.transfers[server]]

    def longest_gap_ms(self, *, calm: bool = False) -> float:
        """Return the longest time without an arrival of any way, after the calm or in it."""
        return 1000 * max(
            (b - a for times in self.ways() for a, b in pairwise(times) if (b < self.begun_at) is calm),
            default=0.0,
        )

    def __str__(self) -> str:
        """Return the numbers in one line."""
        slow = sum(took > 0.9 for took in self.short)
        return (
            f"UDP sent {self.sent} lost {self.lost}; short connections {len(self.short)}, broken"
            f" {len(self.broken)}, slow {slow}; transfers repeated {sum(self.repeated.values())} segments;"
            f" forbidden sent {self.forbidden}, leaked {self.leaked};"
            f" another's knocks {self.knocks}, let in {self.let_in};"
            f" longest gap {self.longest_gap_ms():.0f} ms, {self.longest_gap_ms(calm=True):.0f} ms before"
        )
