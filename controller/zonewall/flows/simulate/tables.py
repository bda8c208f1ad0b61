"""The flow tables of one bridge, checked as the bridge itself would check them, ready to be searched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from zonewall.errors import EncodingError
from zonewall.flows.simulate.classifier import Classifier, Found, resolve_match
from zonewall.flows.simulate.slots import (
    CT_STATE,
    ETH_TYPE,
    IPV4,
    IPV6,
    always_there,
    canonical,
    has_prerequisites,
    is_maskable,
    is_writable,
    place,
)
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
    Meter,
    Move,
    OutputField,
    PopField,
    PushField,
    Resubmit,
    SetField,
    ToController,
)

Match = Mapping[int, tuple[int, int]]
_SAYS_VALID = 0x01 | 0x02 | 0x04 | 0x08
_TRACKED = 0x20
_INVALID = 0x10


class FlowTables:
    """All that one bridge holds; each table is sorted for the search when it is first asked.

    Raises:
        EncodingError: when made: Open vSwitch would refuse a flow (prerequisites, a group or meter that is
            not there, a field that cannot be written, a goto that leads back, a mixed conjunction). When a
            table is first searched: two flows of one key.
    """

    def __init__(self, program: BridgeProgram, ports: Iterable[int] | None = None) -> None:
        """Check every flow.

        Args:
            program: flows, groups and meters.
            ports: OpenFlow ports that exist and are up; None lets every port exist.
        """
        self.ports = None if ports is None else frozenset(ports)
        self.groups: dict[int, GroupEntry] = {group.number: group for group in program.groups}
        self._meters = frozenset(meter.number for meter in program.meters)
        self._flows: dict[int, list[Flow]] = {}
        self._classifiers: dict[int, Classifier] = {}
        for flow in program.flows:
            self._check(flow)
            self._flows.setdefault(flow.table.number, []).append(flow)

    def find(self, table: int, values: list[int]) -> Found | None:
        """Return the flow of a table that these slot values match; None is a miss, which drops."""
        classifier = self._classifiers.get(table)
        if classifier is None:
            flows = self._flows.get(table)
            if flows is None:
                return None
            classifier = self._classifiers[table] = Classifier(flows)
        return classifier.find(values)

    def _check(self, flow: Flow) -> None:
        if not 0 <= flow.priority <= 0xFFFF:
            raise EncodingError(f"{flow.table!r}: priority {flow.priority} is not within 0 to 65535")
        match = resolve_match(flow.match)
        exact = _exact_of(match)
        for field, _, mask in flow.match:
            if mask != 0 and not has_prerequisites(field.base, exact):
                raise EncodingError(f"{flow.table!r}: a match on {field!r} lacks its prerequisites")
            if (
                not is_maskable(field)
                and mask != 0
                and (mask not in (None, field.ones) or not field.is_whole)
            ):
                raise EncodingError(f"{flow.table!r}: {field!r} is matched whole or not at all")
            if canonical(field.base).startswith(("ct_nw_", "ct_ipv6_", "ct_tp_")) and not _is_valid(match):
                raise EncodingError(
                    f"{flow.table!r}: a match on {field!r} needs a ct_state that is not invalid"
                )
        conjunctions = sum(isinstance(action, Conjunction) for action in flow.actions)
        if conjunctions and conjunctions != len(flow.actions):
            raise EncodingError(f"{flow.table!r}: conjunction goes with no other action")
        for position, action in enumerate(flow.actions):
            if isinstance(action, Goto):
                _check_goto(flow, action, position)
            self._check_action(flow, match, action)

    def _check_action(self, flow: Flow, match: Match, action: Action) -> None:
        exact = _exact_of(match)
        for field in _fields_of(action):
            if not has_prerequisites(field.base, exact) and not always_there(field.base):
                raise EncodingError(
                    f"{flow.table!r}: an action on {field!r} needs its prerequisites in the match"
                )
        written = _written_by(action)
        if written is not None and not is_writable(written):
            raise EncodingError(f"{flow.table!r}: {written!r} cannot be written")
        is_ip = exact(ETH_TYPE) in (IPV4, IPV6)
        if isinstance(action, Ct) and not is_ip:
            raise EncodingError(f"{flow.table!r}: ct needs eth_type of IPv4 or IPv6 in the match")
        if isinstance(action, Resubmit) and action.ct and not (is_ip and _is_valid(match)):
            raise EncodingError(
                f"{flow.table!r}: resubmit with ct needs IP and a valid ct_state in the match"
            )
        meter = action.number if isinstance(action, Meter) else None
        if isinstance(action, ToController):
            meter = action.meter
        if meter is not None and meter not in self._meters:
            raise EncodingError(f"{flow.table!r}: there is no meter {meter}")
        if isinstance(action, Group) and action.number not in self.groups:
            raise EncodingError(f"{flow.table!r}: there is no group {action.number}")
        if (
            isinstance(action, Conjunction)
            and not 1 <= action.clause <= action.count <= 64 >= action.count >= 2
        ):
            raise EncodingError(f"{flow.table!r}: {action!r} is not within 1/2 to 64/64")
        if isinstance(action, Clone):
            for inner in action.actions:
                self._check_action(flow, match, inner)


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


def _check_goto(flow: Flow, action: Goto, position: int) -> None:
    if position != len(flow.actions) - 1:
        raise EncodingError(f"{flow.table!r}: goto is the last action or none")
    if action.table.number <= flow.table.number:
        raise EncodingError(f"{flow.table!r}: goto leads back to {action.table!r}")


def _fields_of(action: Action) -> tuple[Field, ...]:
    match action:
        case SetField() | PushField() | PopField() | OutputField():
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
    return action.field if isinstance(action, PopField) else None
