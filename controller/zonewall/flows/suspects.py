"""Flows on a bridge that are not as they should be and that a packet's way depends on, or could."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from zonewall.flows.encoded import FlowKey
from zonewall.flows.oxm import FORMS, Form
from zonewall.flows.simulate.packet import Packet
from zonewall.flows.wire import encode_flow
from zonewall.pipeline.model import Ct, Flow, Goto, Resubmit

_CARRIED = frozenset(
    {"in_port", "eth_src", "eth_dst", "eth_type", "ip_proto", "ipv4_src", "ipv4_dst", "ipv6_src", "ipv6_dst"}
)
"""Fields that a packet keeps on its way through a bridge: a flow that asks for others is not about it."""

_PORTS = frozenset({"tcp_src", "tcp_dst", "udp_src", "udp_dst", "sctp_src", "sctp_dst"})
_BY_HEADER: Mapping[int, Form] = {
    header: form for form in FORMS.values() for header in (form.header, form.nxm_header)
}
_MASK_BIT, _LENGTH = 0x100, 0xFF


@dataclass(frozen=True, slots=True)
class Suspect:
    """One flow that the bridge lacks, holds otherwise, or holds though nobody of ours asked for it.

    Attributes:
        what: ``missing``, ``changed``, ``unknown`` or ``foreign``.
        flow: the compiled flow, for those that are missing or changed.
    """

    what: str
    table: int
    priority: int
    cookie: int
    flow: Flow | None = None


def suspects(
    trail: Iterable[Flow], packet: Packet, held: Mapping[str, Iterable[tuple[FlowKey, int]]]
) -> tuple[Suspect, ...]:
    """Return what stands in a packet's way that the model does not know of.

    Args:
        trail: the flows that the model takes the packet through.
        packet: as it arrives at the bridge.
        held: keys and cookies of the flows that are ``missing``, ``changed``, ``unknown`` and ``foreign``.
    """
    trail = tuple(trail)
    own = {encode_flow(flow).key: flow for flow in trail}
    found = [
        Suspect(what, key.table, key.priority, cookie, own[key])
        for what in ("missing", "changed")
        for key, cookie in held.get(what, ())
        if key in own
    ]
    asked = _asked(trail)
    for what in ("unknown", "foreign"):
        for key, cookie in held.get(what, ()):
            if key.table in asked and key.priority >= asked[key.table] and may_match(key.match, packet):
                found.append(Suspect(what, key.table, key.priority, cookie))
    return tuple(found)


def _asked(trail: tuple[Flow, ...]) -> dict[int, int]:
    """Return the tables that are searched, each with the least priority that would change the result."""
    asked: dict[int, int] = {0: 0}
    for flow in trail:
        for action in flow.actions:
            table = getattr(action, "table", None) if isinstance(action, Goto | Resubmit | Ct) else None
            if table is not None:
                asked.setdefault(table.number, 0)
    for number in list(asked):
        matched = [flow.priority for flow in trail if flow.table.number == number]
        asked[number] = min(matched, default=0)
    return asked


def may_match(match: bytes, packet: Packet) -> bool:
    """Say whether a packet could match encoded fields; what is not of the packet itself is taken to match."""
    at = 0
    while at + 4 <= len(match):
        header = int.from_bytes(match[at : at + 4], "big")
        length = header & _LENGTH
        value = match[at + 4 : at + 4 + length]
        at += 4 + length
        is_masked = bool(header & _MASK_BIT)
        size = length // 2 if is_masked else length
        form = _BY_HEADER.get(header & ~(_MASK_BIT | _LENGTH) | size)
        if form is None or form.base not in _CARRIED | _PORTS:
            continue
        wanted = int.from_bytes(value[:size], "big")
        mask = int.from_bytes(value[size:], "big") if is_masked else form.ones
        if (packet[form.base] ^ wanted) & mask:
            return False
    return True
