"""Flows as ovs-ofctl(8) writes them: numbers out, and the few forms in that borrowed cases use."""

from __future__ import annotations

import ipaddress
import re

from zonewall.pipeline import packet_fields as f
from zonewall.pipeline.model import (
    Action,
    Clone,
    Condition,
    Conjunction,
    Ct,
    Field,
    Flow,
    Goto,
    Group,
    GroupEntry,
    Move,
    Output,
    OutputField,
    PopField,
    PopVlan,
    PushField,
    PushVlan,
    Resubmit,
    SetField,
    Table,
    ToController,
    ToInPort,
)

_OFCTL_NAMES = {
    "ipv4_src": "nw_src",
    "ipv4_dst": "nw_dst",
    "icmpv4_type": "icmp_type",
    "icmpv4_code": "icmp_code",
    "ip_proto": "nw_proto",
}


def _name(field: Field) -> str:
    return _OFCTL_NAMES.get(field.base, field.base)


def _part(field: Field) -> str:
    return f"{_name(field)}[{field.low}..{field.low + field.width - 1}]"


def _value(field: Field, value: int) -> str:
    if field.base == "in_port":
        return str(value)
    match field.base_width:
        case 48:
            return ":".join(f"{octet:02x}" for octet in value.to_bytes(6, "big"))
        case 128 if field.base.startswith(("ipv6", "nd_")):
            return str(ipaddress.IPv6Address(value))
        case 32 if field.base.startswith(("ipv4", "arp_")):
            return str(ipaddress.IPv4Address(value))
        case _:
            return hex(value)


def _masked(field: Field, value: int, mask: int | None) -> str:
    bits = field.ones if mask is None else mask
    if field.is_whole and mask is None:
        return _value(field, value)
    return f"{_value(field, value << field.low)}/{_value(field, bits << field.low)}"


def render_match(match: tuple[Condition, ...]) -> str:
    """Return the conditions, all bits of one field gathered in one term."""
    gathered: dict[str, tuple[Field, int, int]] = {}
    for field, value, mask in match:
        bits = (field.ones if mask is None else mask) << field.low
        _, old_value, old_bits = gathered.get(field.base, (field, 0, 0))
        whole = Field(field.base, field.base, 0, field.base_width, field.base_width)
        gathered[field.base] = (whole, old_value | value << field.low, old_bits | bits)
    terms = []
    for field, value, bits in gathered.values():
        terms.append(f"{_name(field)}={_masked(field, value, None if bits == field.ones else bits)}")
    return ",".join(terms)


def render_action(action: Action) -> str:
    """Return one action."""
    match action:
        case Output():
            return f"output:{action.port}"
        case OutputField():
            return f"output:{_part(action.field)}"
        case ToInPort():
            return "in_port"
        case SetField():
            return f"set_field:{_masked(action.field, action.value, action.mask)}->{_name(action.field)}"
        case Move():
            low = action.destination.low
            target = f"{_name(action.destination)}[{low}..{low + action.source.width - 1}]"
            return f"move:{_part(action.source)}->{target}"
        case PushField():
            return f"push:{_part(action.field)}"
        case PopField():
            return f"pop:{_part(action.field)}"
        case Resubmit():
            return f"resubmit(,{action.table.number}{',ct' if action.ct else ''})"
        case Goto():
            return f"goto_table:{action.table.number}"
        case Ct():
            return _render_ct(action)
        case Conjunction():
            return f"conjunction({action.number},{action.clause}/{action.count})"
        case PushVlan():
            return "push_vlan:0x8100"
        case PopVlan():
            return "pop_vlan"
        case Group():
            return f"group:{action.number}"
        case ToController():
            return f"controller(userdata={action.userdata.hex('.')})"
        case Clone():
            return f"clone({render_actions(action.actions)})"
        case _:
            raise ValueError(f"no text for {action!r}")


def _render_ct(action: Ct) -> str:
    zone = _part(action.zone) if isinstance(action.zone, Field) else str(action.zone)
    parts = ["commit"] * action.commit + [f"zone={zone}"]
    if action.table is not None:
        parts.append(f"table={action.table.number}")
    if action.fields:
        parts.append(f"exec({render_actions(action.fields)})")
    return f"ct({','.join(parts)})"


def render_actions(actions: tuple[Action, ...]) -> str:
    """Return a list of actions; none is drop."""
    return ",".join(render_action(action) for action in actions) or "drop"


def render_flow(flow: Flow) -> str:
    """Return a line for ``ovs-ofctl add-flows``."""
    match = render_match(flow.match)
    head = f"table={flow.table.number},priority={flow.priority}" + (f",{match}" if match else "")
    return f"{head} actions={render_actions(flow.actions)}"


def render_group(group: GroupEntry) -> str:
    """Return a line for ``ovs-ofctl add-groups``."""
    buckets = "".join(
        f",bucket={'weight:' + str(bucket.weight) + ',' if group.kind == 'select' else ''}"
        f"actions={render_actions(bucket.actions)}"
        for bucket in group.buckets
    )
    return f"group_id={group.number},type={group.kind}{buckets}"


TABLE = Table("only", 0, "The one table of a borrowed case.", ())
_ADDRESSES = {"ip_src": f.IPV4_SRC, "ip_dst": f.IPV4_DST, "nw_src": f.IPV4_SRC, "nw_dst": f.IPV4_DST}
_NUMBERS = {
    "in_port": f.IN_PORT,
    "dl_type": f.ETH_TYPE,
    "nw_proto": f.IP_PROTO,
    "conj_id": f.CONJ_ID,
    "tcp_src": f.TCP_SRC,
    "tcp_dst": f.TCP_DST,
}
_KINDS: dict[str, tuple[Condition, ...]] = {
    "ip": ((f.ETH_TYPE, f.ETH_IPV4, None),),
    "tcp": ((f.ETH_TYPE, f.ETH_IPV4, None), (f.IP_PROTO, 6, None)),
}


def parse_match(text: str) -> tuple[Condition, ...]:
    """Return the conditions of comma-separated terms.

    Raises:
        KeyError: a field that no borrowed case uses.
    """
    match: list[Condition] = []
    for term in filter(None, re.split(r"[,\s]+", text)):
        name, _, value = term.partition("=")
        if not value:
            match += _KINDS[name]
        elif name in _ADDRESSES:
            prefix = ipaddress.ip_network(value)
            match.append((_ADDRESSES[name], int(prefix.network_address), int(prefix.netmask)))
        else:
            match.append((_NUMBERS[name], int(value, 0), None))
    return tuple(match)


def parse_flow(text: str) -> Flow:
    """Return the flow of a line whose actions are ports and conjunctions.

    Raises:
        KeyError, ValueError: another form.
    """
    head, actions_text = re.split(r"[,\s]*actions=", text, maxsplit=1)
    priority = re.search(r"priority=(\d+)", head)
    match = parse_match(re.sub(r"priority=\d+", "", head))
    actions: list[Action] = []
    for clause in re.finditer(r"conjunction\((\d+),(\d+)/(\d+)\)|(\d+)", actions_text):
        if clause[4]:
            actions.append(Output(int(clause[4])))
        else:
            actions.append(Conjunction(int(clause[1]), int(clause[2]), int(clause[3])))
    return Flow(TABLE, int(priority[1]) if priority else 32768, match, tuple(actions))
