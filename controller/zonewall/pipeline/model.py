"""The words that flows are written in: fields, tables, actions and flows, by name.

Numbers (which table, which register, which bit) stand in ``pipeline.tables`` and ``pipeline.registers``
alone; all else uses names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """Named bits that a flow can match or set; compared by being the same object.

    Attributes:
        name: how logical text calls it.
        base: ovs-fields(7) name of the whole field that holds the bits, such as ``reg3`` or ``nw_dst``.
        low: lowest bit within the base.
        width: number of bits.
        base_width: number of bits of the whole base field.
    """

    name: str
    base: str
    low: int
    width: int
    base_width: int

    @property
    def is_whole(self) -> bool:
        """Say whether the field is its whole base."""
        return self.width == self.base_width

    @property
    def ones(self) -> int:
        """Return the mask of all bits of the field, counted from its own lowest."""
        return (1 << self.width) - 1

    def __repr__(self) -> str:
        """Return the name and where the bits are."""
        return f"Field({self.name}={self.base}[{self.low}..{self.low + self.width - 1}])"


def register(name: str, number: int, low: int = 0, width: int = 32) -> Field:
    """Declare named bits of a 32-bit register (ovs-fields(7), "Register Fields")."""
    if not (0 <= number <= 15 and low >= 0 and width > 0 and low + width <= 32):
        raise ValueError(f"{name}: bits {low}..{low + width - 1} are not in reg{number}")
    return Field(name, f"reg{number}", low, width, 32)


class Miss(Enum):
    """What happens to a packet that no flow of a table matches: there is no other choice than these."""

    DROP = "drop"
    NEXT = "next"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One stage: a question, and where the answer leads.

    Attributes:
        goto: names of the tables it may lead to, all of higher numbers (resubmits may go anywhere).
        miss: NEXT leads to the first of ``goto``.
    """

    name: str
    number: int
    purpose: str
    matches: tuple[str, ...]
    goto: tuple[str, ...] = ()
    miss: Miss = Miss.DROP

    def __repr__(self) -> str:
        """Return name and number."""
        return f"Table({self.name}={self.number})"


Condition = tuple[Field, int, int | None]
"""A field, value and mask, both counted from the field's lowest bit; mask None is all bits."""


@dataclass(frozen=True, slots=True)
class Output:
    """Send out of a port."""

    port: int


@dataclass(frozen=True, slots=True)
class OutputCut:
    """Send no more than the first ``max_len`` bytes out of a port (ovs-actions(7), "output")."""

    port: int
    max_len: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Write a number below ``count`` that follows from addresses, protocol and ports, the same both ways.

    ``multipath`` by ``symmetric_l3l4+udp`` and ``modulo_n`` (ovs-actions(7), "multipath").
    """

    field: Field
    count: int


@dataclass(frozen=True, slots=True)
class OutputField:
    """Send out of the port whose number is in a register's low 16 bits or the whole register."""

    field: Field


@dataclass(frozen=True, slots=True)
class ToInPort:
    """Send back out of the port it came in by (OFPP_IN_PORT)."""


@dataclass(frozen=True, slots=True)
class SetField:
    """Write a value into a field (or into the bits of ``mask``, counted from the field's lowest bit)."""

    field: Field
    value: int
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Copy the source's bits into the destination's low bits; the source must not be wider."""

    source: Field
    destination: Field


@dataclass(frozen=True, slots=True)
class PushField:
    """Push a field onto the stack (ovs-actions(7), "The push action")."""

    field: Field


@dataclass(frozen=True, slots=True)
class PopField:
    """Pop the stack into a field."""

    field: Field


@dataclass(frozen=True, slots=True)
class Resubmit:
    """Search a table and come back; ``ct`` presents the connection's original tuple (ovs-actions(7))."""

    table: Table
    ct: bool = False


@dataclass(frozen=True, slots=True)
class Goto:
    """Go on in a table of a higher number; always the last action."""

    table: Table


@dataclass(frozen=True, slots=True)
class Ct:
    """Pass through connection tracking (ovs-actions(7), "The ct action").

    Attributes:
        zone: a number, or the 16-bit register field that holds it.
        table: where the tracked packet goes on; None does not recirculate.
        commit: remember the connection.
        fields: what is written into the connection's mark and label, only with ``commit``.
    """

    zone: int | Field
    table: Table | None = None
    commit: bool = False
    fields: tuple[SetField | Move, ...] = ()


@dataclass(frozen=True, slots=True)
class Conjunction:
    """One alternative of clause ``clause`` (from 1) of ``count`` (ovs-fields(7), "Conjunctive Match")."""

    number: int
    clause: int
    count: int


@dataclass(frozen=True, slots=True)
class PushVlan:
    """Push an 802.1Q tag with VLAN 0; a SetField on ``vlan_vid`` (value | 0x1000) after it numbers it."""


@dataclass(frozen=True, slots=True)
class PopVlan:
    """Take the outermost 802.1Q tag off."""


@dataclass(frozen=True, slots=True)
class Meter:
    """Pass through a meter; what is above the rate goes no further."""

    number: int


@dataclass(frozen=True, slots=True)
class Group:
    """Hand over to a group."""

    number: int


@dataclass(frozen=True, slots=True)
class ToController:
    """Send a copy to the controller (ovs-actions(7), "controller").

    Attributes:
        userdata: what the controller reads back; its first byte is a ``Reason``.
        meter: a meter that bounds the copies; None is none.
        max_len: bytes of the packet that are sent.
    """

    userdata: bytes
    meter: int | None = None
    max_len: int = 0xFFFF


@dataclass(frozen=True, slots=True)
class Learn:
    """Make a row that matches packets like this one (ovs-actions(7), "learn"); it tells when it ends.

    Attributes:
        table: where the row goes.
        same: fields in which the packet's own value is matched.
        fixed: what is matched beside them.
        actions: what the row does.
        idle_s: seconds without a packet after which it ends; ``fin_idle_s``: once a FIN or RST was seen.
        limit: the most rows of this cookie in the table; beyond it nothing is made.
    """

    table: Table
    same: tuple[Field, ...]
    fixed: tuple[Condition, ...]
    actions: tuple[SetField, ...]
    cookie: int
    idle_s: int
    fin_idle_s: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True)
class SamplePacket:
    """Have the packet counted for IPFIX (ovs-actions(7), "sample").

    Attributes:
        probability: of 65,535, that a packet is.
        collectors: number of the set of collectors in the bridge's database.
        domain: observation domain that the collectors are told.
        point: observation point that they are told.
    """

    probability: int
    collectors: int
    domain: int
    point: int


@dataclass(frozen=True, slots=True)
class Clone:
    """Do the actions on a copy, so that what they change does not stay (ovs-actions(7), "clone")."""

    actions: tuple[Action, ...]


Action = (
    Output
    | OutputCut
    | Spread
    | OutputField
    | ToInPort
    | SetField
    | Move
    | PushField
    | PopField
    | Resubmit
    | Goto
    | Ct
    | Conjunction
    | PushVlan
    | PopVlan
    | Meter
    | Group
    | ToController
    | Learn
    | SamplePacket
    | Clone
)


@dataclass(frozen=True, slots=True)
class Flow:
    """One OpenFlow entry by name. No actions: drop.

    A flow's key is (table, priority, match); two flows of one bridge never share it. The cookie says whose it
    is and which rule it stands for, and is no part of the key. ``ends_at``: when it ends by itself, in
    seconds since 1970 (0: never); ``flows.ending`` makes the timeout of the moment of it.
    """

    table: Table
    priority: int
    match: tuple[Condition, ...]
    actions: tuple[Action, ...]
    cookie: int = 0
    hard_timeout_s: int = 0
    ends_at: int = 0


class MeterUnit(Enum):
    """What a meter counts."""

    PPS = "pktps"
    KBPS = "kbps"


@dataclass(frozen=True, slots=True)
class MeterEntry:
    """A meter with one drop band; ``burst`` in the meter's unit."""

    number: int
    unit: MeterUnit
    rate: int
    burst: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """One alternative of a group; ``watch_port`` None watches nothing."""

    actions: tuple[Action, ...]
    weight: int = 100
    watch_port: int | None = None


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """A group: ``select`` picks a bucket by a hash of the connection, ``all`` does every bucket."""

    number: int
    kind: str
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class BridgeProgram:
    """All that one bridge should hold: flows by table and falling priority, groups, meters."""

    flows: tuple[Flow, ...]
    groups: tuple[GroupEntry, ...] = ()
    meters: tuple[MeterEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """All tables and fields; checks itself when it is made, so that a wrong declaration never loads.

    Raises:
        ValueError: two tables of one number or name, a goto that leads back or nowhere, a field outside its
            register, two fields in the same bits that are not declared to share them.
    """

    tables: tuple[Table, ...]
    fields: tuple[Field, ...]
    shared_bits: frozenset[frozenset[str]] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        """Run the checks."""
        by_name = {table.name: table for table in self.tables}
        if len(by_name) != len(self.tables) or len({t.number for t in self.tables}) != len(self.tables):
            raise ValueError("two tables share a name or a number")
        for table in self.tables:
            for name in table.goto:
                if name not in by_name or by_name[name].number <= table.number:
                    raise ValueError(f"{table.name} may not go to {name}: no such table further on")
        for position, one in enumerate(self.fields):
            for other in self.fields[position + 1 :]:
                overlap = (
                    one.base == other.base
                    and one.low < other.low + other.width
                    and other.low < one.low + one.width
                )
                if overlap and frozenset({one.name, other.name}) not in self.shared_bits:
                    raise ValueError(f"{one.name} and {other.name} share bits of {one.base}")
