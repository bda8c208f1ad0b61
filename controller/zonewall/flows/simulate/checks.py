"""What Open vSwitch refuses in a flow (ovs-fields(7), ovs-actions(7), and what 3.1 was seen to refuse)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zonewall.errors import EncodingError
from zonewall.flows.simulate.classifier import resolve_match
from zonewall.flows.simulate.slots import (
    CT_STATE,
    ETH_TYPE,
    IPV4,
    IPV6,
    VLAN,
    VLAN_PRESENT,
    always_there,
    canonical,
    has_prerequisites,
    is_maskable,
    is_writable,
    place,
)
from zonewall.pipeline.model import (
    Action,
    Clone,
    Conjunction,
    Ct,
    Field,
    Flow,
    Goto,
    Group,
    Meter,
    Move,
    OutputField,
    PopField,
    PopVlan,
    PushField,
    PushVlan,
    Resubmit,
    SetField,
    Spread,
    ToController,
)

Match = Mapping[int, tuple[int, int]]
_SAYS_VALID = 0x01 | 0x02 | 0x04 | 0x08
_TRACKED = 0x20
_INVALID = 0x10
_ONLY_IN_CT = ("ct_mark", "ct_label")


def check_flow(flow: Flow, groups: frozenset[int], meters: frozenset[int]) -> None:
    """Return only if Open vSwitch would take the flow on a bridge that has these groups and meters.

    Raises:
    EncodingError: it would not.
    """
    if not 0 <= flow.priority <= 0xFFFF:
        raise EncodingError(f"{flow.table!r}: priority {flow.priority} is not within 0 to 65535")
    match = resolve_match(flow.match)
    exact = _exact_of(match)
    for field, _, mask in flow.match:
        if mask != 0 and not has_prerequisites(field.base, exact):
            raise EncodingError(f"{flow.table!r}: a match on {field!r} lacks its prerequisites")
        if not is_maskable(field) and mask != 0 and (mask not in (None, field.ones) or not field.is_whole):
            raise EncodingError(f"{flow.table!r}: {field!r} is matched whole or not at all")
        if canonical(field.base).startswith(("ct_nw_", "ct_ipv6_", "ct_tp_")) and not _is_valid(match):
            raise EncodingError(f"{flow.table!r}: a match on {field!r} needs a ct_state that is not invalid")
    conjunctions = sum(isinstance(action, Conjunction) for action in flow.actions)
    if conjunctions and conjunctions != len(flow.actions):
        raise EncodingError(f"{flow.table!r}: conjunction goes with no other action")
    _check_tags(flow, flow.actions, int(match.get(VLAN, (0, 0))[0] & VLAN_PRESENT != 0))
    for position, action in enumerate(flow.actions):
        if isinstance(action, Goto):
            _check_goto(flow, action, position)
        _check_action(flow, match, action)
    _check_numbers(flow, flow.actions, groups, meters)


def _check_action(flow: Flow, match: Match, action: Action) -> None:
    exact = _exact_of(match)
    for field in _fields_of(action):
        if not has_prerequisites(field.base, exact) and not always_there(field.base):
            raise EncodingError(
                f"{flow.table!r}: an action on {field!r} needs its prerequisites in the match"
            )
    written = _written_by(action)
    if written is not None and not is_writable(written):
        raise EncodingError(f"{flow.table!r}: {written!r} cannot be written")
    if written is not None and canonical(written.base) in _ONLY_IN_CT:
        raise EncodingError(f"{flow.table!r}: {written!r} is written in a ct that commits, nowhere else")
    is_ip = exact(ETH_TYPE) in (IPV4, IPV6)
    match action:
        case Ct():
            _check_ct(flow, action, is_ip, bool(match.get(CT_STATE, (0, 0))[0] & _INVALID))
        case Resubmit(ct=True) if not (is_ip and _is_valid(match)):
            raise EncodingError(
                f"{flow.table!r}: resubmit with ct needs IP and a valid ct_state in the match"
            )
        case Conjunction() if not 1 <= action.clause <= action.count <= 64 or action.count < 2:
            raise EncodingError(f"{flow.table!r}: {action!r} is not within 1/2 to 64/64")
        case Clone():
            for inner in action.actions:
                _check_action(flow, match, inner)
        case _:
            pass


def _check_numbers(
    flow: Flow, actions: tuple[Action, ...], groups: frozenset[int], meters: frozenset[int]
) -> None:
    """Refuse a group or a meter that is not there yet."""
    for action in actions:
        if isinstance(action, Clone):
            _check_numbers(flow, action.actions, groups, meters)
        if isinstance(action, Group) and action.number not in groups:
            raise EncodingError(f"{flow.table!r}: there is no group {action.number}")
        meter = action.number if isinstance(action, Meter) else None
        if isinstance(action, ToController):
            meter = action.meter
        if meter is not None and meter not in meters:
            raise EncodingError(f"{flow.table!r}: there is no meter {meter}")


def _check_ct(flow: Flow, action: Ct, is_ip: bool, is_invalid: bool) -> None:
    if not is_ip:
        raise EncodingError(f"{flow.table!r}: ct needs eth_type of IPv4 or IPv6 in the match")
    if action.commit and is_invalid:
        raise EncodingError(f"{flow.table!r}: what a match calls invalid cannot be committed")
    for inner in action.fields:
        written = _written_by(inner)
        if not action.commit or written is None or canonical(written.base) not in _ONLY_IN_CT:
            raise EncodingError(f"{flow.table!r}: ct writes mark and label, and only with commit")


def _exact_of(match: Match) -> Callable[[int], int | None]:
    """Return what a match says for certain about a slot."""

    def exact(slot: int) -> int | None:
        known = match.get(slot)
        return None if known is None else known[0]

    return exact


def _is_valid(match: Match) -> bool:
    """Say whether a match asks for a ct_state that has an original tuple (ovs-actions(7), "resubmit")."""
    value, mask = match.get(CT_STATE, (0, 0))
    return bool(value & _SAYS_VALID or (value & _TRACKED and mask & _INVALID and not value & _INVALID))


def _check_tags(flow: Flow, actions: tuple[Action, ...], tags: int) -> None:
    """Refuse what OpenFlow 1.5 does not let a flow do to a tag that its match does not promise."""
    for action in actions:
        if isinstance(action, PushVlan):
            tags += 1
        elif isinstance(action, Clone):
            _check_tags(flow, action.actions, tags)
        elif isinstance(action, PopVlan):
            if not tags:
                raise EncodingError(f"{flow.table!r}: pop_vlan needs a vlan_vid with bit 0x1000 in the match")
            tags -= 1
        elif isinstance(action, SetField) and canonical(action.field.base) == "vlan_vid":
            if not tags:
                raise EncodingError(f"{flow.table!r}: vlan_vid needs a tag in the match, or pushed")
            if not action.value << action.field.low & VLAN_PRESENT:
                raise EncodingError(f"{flow.table!r}: what is set into vlan_vid has bit 0x1000")
        if tags > 2:
            raise EncodingError(f"{flow.table!r}: Open vSwitch handles two VLAN tags, no more")


def _check_goto(flow: Flow, action: Goto, position: int) -> None:
    if position != len(flow.actions) - 1:
        raise EncodingError(f"{flow.table!r}: goto is the last action or none")
    if action.table.number <= flow.table.number:
        raise EncodingError(f"{flow.table!r}: goto leads back to {action.table!r}")


def _fields_of(action: Action) -> tuple[Field, ...]:
    match action:
        case SetField() | PushField() | PopField() | OutputField() | Spread():
            return (action.field,)
        case Move():
            return action.source, action.destination
        case Ct():
            zone = (action.zone,) if isinstance(action.zone, Field) else ()
            return zone + tuple(field for inner in action.fields for field in _fields_of(inner))
        case _:
            return ()


def _written_by(action: Action) -> Field | None:
    """Return the field an action writes, after checking that what it writes fits."""
    if isinstance(action, SetField):
        _, low, ones = place(action.field)
        mask = ones >> low if action.mask is None else action.mask
        if mask & ~(ones >> low) or action.value & ~mask:
            raise EncodingError(f"{action.field!r}: {action.value:#x} or its mask does not fit")
        return action.field
    if isinstance(action, Move):
        if action.source.width > action.destination.width:
            raise EncodingError(f"{action.source!r} is wider than {action.destination!r}")
        return action.destination
    return action.field if isinstance(action, PopField | Spread) else None
