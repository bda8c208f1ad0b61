"""Flows as text in names: tables, fields, what their numbers stand for; what golden tests and people read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from zonewall.flows.oxm import FORMS, form_of
from zonewall.flows.render import PORT_NAMES, base_value, controller_text, ct_text, learn_text, sample_text
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
    Learn,
    Meter,
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

Names = Mapping[Field, Callable[[int], str]]
"""For a field, how its numbers are called; a field that is not in it shows its number."""


def render_logical(flow: Flow, names: Names) -> str:
    """Return a flow as one line: table, priority, what it matches, what it does.

    A conjunction is called as ``names`` calls the numbers of the field ``conj_id``.
    """
    conditions = sorted(flow.match, key=_place)
    match = ",".join(_condition(condition, names) for condition in conditions) or "any"
    actions = ",".join(_action(action, names) for action in flow.actions) or "drop"
    return f"{flow.table.name:<16} {flow.priority:>5}  {match}  {actions}"


def _place(condition: Condition) -> tuple[int, int]:
    form = form_of(condition[0])
    return form.rank, condition[0].low


def _condition(condition: Condition, names: Names) -> str:
    field, value, mask = condition
    return f"{field.name}={_value(field, value, mask, names)}"


def _value(field: Field, value: int, mask: int | None, names: Names) -> str:
    bits = field.ones if mask is None else mask
    if bits == field.ones and field in names:
        return names[field](value)
    if field.is_whole and not field.base.startswith("reg"):
        form = FORMS[field.base]
        if form.base != "ip_frag" and value <= form.ones:
            return base_value(form, value, bits & form.ones)
    return str(value) if bits == field.ones else f"{value:#x}/{bits:#x}"


def _action(action: Action, names: Names) -> str:
    return _TEXTS[type(action)](action, names)


def _set(action: SetField, names: Names) -> str:
    return f"{action.field.name}:={_value(action.field, action.value, action.mask, names)}"


def _ct(action: Ct, names: Names) -> str:
    table = None if action.table is None else action.table.name
    zone = action.zone.name if isinstance(action.zone, Field) else str(action.zone)
    return ct_text(action, table, zone, lambda inner: _action(inner, names))


def _conjunction(action: Conjunction, names: Names) -> str:
    called = next((name for field, name in names.items() if field.base == "conj_id"), str)
    return f"conjunction({called(action.number)},{action.clause}/{action.count})"


def _clone(action: Clone, names: Names) -> str:
    return f"clone({','.join(_action(inner, names) for inner in action.actions)})"


_TEXTS: Final[dict[type, Callable[[Any, Names], str]]] = {
    Output: lambda action, _: f"output:{PORT_NAMES.get(action.port, action.port)}",
    OutputCut: lambda action, _: f"output(port={action.port},max_len={action.max_len})",
    Spread: lambda action, _: (
        f"multipath(symmetric_l3l4+udp,0,modulo_n,{action.count},0,{action.field.name})"
    ),
    OutputField: lambda action, _: f"output:{action.field.name}",
    ToInPort: lambda *_: "in_port",
    SetField: _set,
    Move: lambda action, _: f"{action.destination.name}:={action.source.name}",
    PushField: lambda action, _: f"push:{action.field.name}",
    PopField: lambda action, _: f"pop:{action.field.name}",
    Resubmit: lambda action, _: f"resubmit:{action.table.name}{'(ct)' if action.ct else ''}",
    Goto: lambda action, _: f"goto:{action.table.name}",
    Ct: _ct,
    Conjunction: _conjunction,
    PushVlan: lambda *_: "push_vlan",
    PopVlan: lambda *_: "pop_vlan",
    Meter: lambda action, _: f"meter:{action.number}",
    Group: lambda action, _: f"group:{action.number}",
    ToController: lambda action, _: controller_text(action),
    Learn: lambda action, _: learn_text(action, action.table.name, lambda field: field.name),
    SamplePacket: lambda action, _: sample_text(action),
    Clone: _clone,
}
