"""Flows as canonical text in ``ovs-ofctl``'s syntax, numbers only; beside it groups and meters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from zonewall.flows.oxm import Form, form_of
from zonewall.flows.wire_match import resolve_match
from zonewall.pipeline.model import (
    Action,
    BridgeProgram,
    Clone,
    Conjunction,
    Ct,
    Field,
    Flow,
    Goto,
    Group,
    GroupEntry,
    Learn,
    Meter,
    MeterEntry,
    Move,
    Output,
    OutputCut,
    OutputField,
    PopField,
    PopVlan,
    PushField,
    PushVlan,
    Resubmit,
    SamplePacket,
    SetField,
    Spread,
    ToController,
    ToInPort,
)

_MAC_BASES: Final = frozenset({"eth_src", "eth_dst", "arp_sha", "arp_tha", "nd_sll", "nd_tll"})
_IPV4_BASES: Final = frozenset({"ipv4_src", "ipv4_dst", "arp_spa", "arp_tpa", "tun_src", "tun_dst"})
_IPV6_BASES: Final = frozenset({"ipv6_src", "ipv6_dst", "nd_target"})
_DECIMAL_BASES: Final = frozenset({
    "in_port", "ip_proto", "tcp_src", "tcp_dst", "udp_src", "udp_dst", "sctp_src", "sctp_dst", "icmpv4_type",
    "icmpv4_code", "icmpv6_type", "icmpv6_code", "arp_op", "ct_zone", "conj_id",
})  # fmt: skip
_FRAGMENTS: Final = {(0, 3): "no", (1, 3): "first", (3, 3): "later", (1, 1): "yes", (0, 2): "not_later"}
PORT_NAMES: Final = {
    0xFFFFFFF8: "IN_PORT",
    0xFFFFFFFA: "NORMAL",
    0xFFFFFFFB: "FLOOD",
    0xFFFFFFFC: "ALL",
    0xFFFFFFFD: "CONTROLLER",
    0xFFFFFFFE: "LOCAL",
}
PORT_NAMES.update({number & 0xFFFF: name for number, name in tuple(PORT_NAMES.items())})


def render_numeric(flow: Flow) -> str:
    """Return a flow as one line that ``ovs-ofctl -O OpenFlow15 add-flows`` reads.

    Raises:
        EncodingError: as ``flows.wire.encode_flow``.
    """
    head = [f"table={flow.table.number}", f"priority={flow.priority}"]
    if flow.cookie:
        head.insert(0, f"cookie={flow.cookie:#x}")
    if flow.hard_timeout_s:
        head.extend((f"hard_timeout={flow.hard_timeout_s}", "send_flow_rem"))
    for form, value, mask in resolve_match(flow.match):
        head.append(f"{form.text}={base_value(form, value, mask)}")
    return f"{','.join(head)} actions={_join(_numeric(action) for action in flow.actions)}"


def _join(actions: Iterable[str]) -> str:
    return ",".join(actions) or "drop"


def base_value(form: Form, value: int, mask: int) -> str:
    """Return value and mask, both by the whole base field's bits, as ``ovs-ofctl`` reads them."""
    if form.base == "ip_frag":
        return _FRAGMENTS[value, mask]
    if form.base == "in_port":
        return PORT_NAMES.get(value, str(value))
    if mask == form.ones:
        return _one(form.base, value)
    if form.base in _DECIMAL_BASES:
        return f"{value:#x}/{mask:#x}"
    return f"{_one(form.base, value)}/{_one(form.base, mask)}"


def _one(base: str, value: int) -> str:
    if base in _MAC_BASES:
        return ":".join(f"{byte:02x}" for byte in value.to_bytes(6, "big"))
    if base in _IPV4_BASES:
        return str(IPv4Address(value))
    if base in _IPV6_BASES:
        return str(IPv6Address(value))
    return str(value) if base in _DECIMAL_BASES else f"{value:#x}"


def _bits(field: Field) -> str:
    return _bits_of(field, field.width)


def _bits_of(field: Field, width: int) -> str:
    return f"{form_of(field).text}[{field.low}..{field.low + width - 1}]"


def _set_text(action: SetField) -> str:
    form = form_of(action.field)
    mask = action.field.ones if action.mask is None else action.mask
    value = base_value(form, action.value << action.field.low, mask << action.field.low)
    return f"set_field:{value}->{form.text}"


def ct_text(action: Ct, table: str | None, zone: str, inner: Callable[[Action], str]) -> str:
    """Return a ct action; the caller says how table, zone and what is written are called."""
    parts = ["commit"] if action.commit else []
    if table is not None:
        parts.append(f"table={table}")
    parts.append(f"zone={zone}")
    if action.fields:
        parts.append(f"exec({','.join(inner(field) for field in action.fields)})")
    return f"ct({','.join(parts)})"


def _ct_numeric(action: Ct) -> str:
    table = None if action.table is None else str(action.table.number)
    zone = _bits(action.zone) if isinstance(action.zone, Field) else str(action.zone)
    return ct_text(action, table, zone, _numeric)


def controller_text(action: ToController) -> str:
    """Return a controller action as ``ovs-ofctl`` reads it."""
    parts = [f"max_len={action.max_len}"] if action.max_len != 0xFFFF else []
    parts.append(f"userdata={action.userdata.hex('.')}")
    if action.meter is not None:
        parts.append(f"meter_id={action.meter}")
    return f"controller({','.join(parts)})"


def learn_text(action: Learn, table: str, called: Callable[[Field], str]) -> str:
    """Return a learn action; the caller says how table and fields are called."""
    parts = [f"table={table}", f"idle_timeout={action.idle_s}"]
    if action.fin_idle_s:
        parts.append(f"fin_idle_timeout={action.fin_idle_s}")
    parts += ["priority=1", "send_flow_rem", f"cookie={action.cookie:#x}", f"limit={action.limit}"]
    parts += [
        f"{called(field)}={base_value(form_of(field), value, field.ones)}" for field, value, _ in action.fixed
    ]
    parts += [called(field) for field in action.same]
    parts += [f"load:{one.value:#x}->{called(one.field)}" for one in action.actions]
    return f"learn({','.join(parts)})"


def sample_text(action: SamplePacket) -> str:
    """Return a sample action as ``ovs-ofctl`` reads it."""
    return (
        f"sample(probability={action.probability},collector_set_id={action.collectors},"
        f"obs_domain_id={action.domain},obs_point_id={action.point})"
    )


def _learnt_field(field: Field) -> str:
    form = form_of(field)
    return form.text if form.base in ("eth_type", "ip_proto") else _bits(field)


_NUMERIC_TEXTS: Final[dict[type, Callable[[Any], str]]] = {
    Output: lambda action: f"output:{PORT_NAMES.get(action.port, action.port)}",
    OutputCut: lambda action: f"output(port={action.port},max_len={action.max_len})",
    Spread: lambda action: f"multipath(symmetric_l3l4+udp,0,modulo_n,{action.count},0,{_bits(action.field)})",
    OutputField: lambda action: f"output:{_bits(action.field)}",
    ToInPort: lambda _: "in_port",
    SetField: _set_text,
    Move: lambda action: f"move:{_bits(action.source)}->{_bits_of(action.destination, action.source.width)}",
    PushField: lambda action: f"push:{_bits(action.field)}",
    PopField: lambda action: f"pop:{_bits(action.field)}",
    Resubmit: lambda action: f"resubmit(,{action.table.number}{',ct' if action.ct else ''})",
    Goto: lambda action: f"goto_table:{action.table.number}",
    Ct: _ct_numeric,
    Conjunction: lambda action: f"conjunction({action.number},{action.clause}/{action.count})",
    PushVlan: lambda _: "push_vlan:0x8100",
    PopVlan: lambda _: "pop_vlan",
    Meter: lambda action: f"meter:{action.number}",
    Group: lambda action: f"group:{action.number}",
    ToController: controller_text,
    Learn: lambda action: learn_text(action, str(action.table.number), _learnt_field),
    SamplePacket: sample_text,
    Clone: lambda action: f"clone({','.join(_numeric(inner) for inner in action.actions)})",
}


def _numeric(action: Action) -> str:
    return _NUMERIC_TEXTS[type(action)](action)


def render_group(entry: GroupEntry) -> str:
    """Return a group as ``ovs-ofctl -O OpenFlow15 add-group`` reads it."""
    buckets: list[str] = []
    for number, bucket in enumerate(entry.buckets):
        parts = [f"bucket=bucket_id:{number}"]
        if entry.kind == "select":
            parts.append(f"weight:{bucket.weight}")
        if bucket.watch_port is not None:
            parts.append(f"watch_port:{bucket.watch_port}")
        buckets.append(f",{','.join(parts)},actions={_join(_numeric(action) for action in bucket.actions)}")
    return f"group_id={entry.number},type={entry.kind}{''.join(buckets)}"


def render_meter(entry: MeterEntry) -> str:
    """Return a meter as ``ovs-ofctl -O OpenFlow15 add-meter`` reads it."""
    return (
        f"meter={entry.number},{entry.unit.value},burst,"
        f"band=type=drop,rate={entry.rate},burst_size={entry.burst}"
    )


def render_program(program: BridgeProgram) -> Iterator[str]:
    """Yield the lines of ``zonewall compile``: meters and groups as comments, in order, then flows."""
    for meter in program.meters:
        yield f"#meter {render_meter(meter)}"
    for group in program.groups:
        yield f"#group {render_group(group)}"
    for flow in program.flows:
        yield render_numeric(flow)
