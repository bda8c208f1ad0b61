"""What has to be sent so that a bridge holds what it should."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from zonewall.flows.encoded import BridgeState, EncodedFlow, EncodedGroup, FlowKey
from zonewall.flows.layers import Layers
from zonewall.pipeline.model import MeterEntry

FlowTable = Mapping[FlowKey, EncodedFlow]

TIMEOUT_SLACK_S = 5
"""A flow that ends by itself is right when it ends this near to the wanted time."""


@dataclass(frozen=True, slots=True)
class Delta:
    """Changes to one bridge; falsy when the bridge is already right.

    Attributes:
        cookies: of the flows to delete, in their order, where that is known.
    """

    put: tuple[EncodedFlow, ...] = ()
    delete: tuple[FlowKey, ...] = ()
    cookies: tuple[int, ...] = field(default=(), compare=False)

    def __bool__(self) -> bool:
        """Say whether there is anything to change."""
        return bool(self.put or self.delete)


def diff(installed: FlowTable, wanted: FlowTable) -> Delta:
    """Return the smallest change from ``installed`` to ``wanted``.

    Args:
        installed: flows read back from one bridge, ours only (cookie owner mask); a flow that ends by itself
            has the seconds that are left.
        wanted: flows the compiler asks for on that bridge.

    Returns:
        Puts by falling table number, so that no goto meets an empty table, then deletions. An ADD with an
        equal key replaces (OpenFlow 1.5.1, 6.4).
    """
    if isinstance(wanted, Layers):
        if isinstance(installed, Layers):
            return _diff_layers(installed, wanted)
        wanted = {flow.key: flow for flow in wanted.flows()}
    elif isinstance(installed, Layers):
        installed = {flow.key: flow for flow in installed.flows()}
    return _diff_tables(installed, wanted)


def are_alike(found: FlowTable, wanted: FlowTable) -> bool:
    """Say whether a bridge's flows are those that are wanted, all and no others; sooner than ``diff`` does.

    Flows that end by themselves are never said to be alike: for them ``diff`` knows how exact to be.
    """
    if len(found) != len(wanted):
        return False
    left: dict[tuple[int, int, bytes], EncodedFlow] = dict(found.items())
    for flow in wanted.values():
        held = left.pop(flow[:3], None)
        if held is None or flow.hard_timeout_s or not tuple.__eq__(held, flow):
            return False
    return not left


def _diff_layers(installed: Layers, wanted: Layers) -> Delta:
    """Return the change between two states that are made of pieces, from the pieces that differ."""
    gone, come = wanted.changed_since(installed)
    return _diff_tables(
        {flow.key: flow for block in gone for flow in block.flows},
        {flow.key: flow for block in come for flow in block.flows},
    )


def _diff_tables(installed: FlowTable, wanted: FlowTable) -> Delta:
    put = [flow for key, flow in wanted.items() if not _is_right(installed.get(key), flow)]
    gone = sorted(installed.keys() - wanted.keys())
    put.sort(key=lambda flow: (-flow.table, -flow.priority, flow.match))
    return Delta(tuple(put), tuple(gone), tuple(installed[key].cookie for key in gone))


def _is_right(held: EncodedFlow | None, wanted: EncodedFlow) -> bool:
    if held is None or held == wanted:
        return held is not None
    if not (held.hard_timeout_s and wanted.hard_timeout_s):
        return False
    apart = held.hard_timeout_s - wanted.hard_timeout_s
    if held.ends_at and wanted.ends_at:
        apart = held.ends_at - wanted.ends_at
    return abs(apart) <= TIMEOUT_SLACK_S and held._replace(hard_timeout_s=wanted.hard_timeout_s) == wanted


def by_key(flows: tuple[EncodedFlow, ...]) -> dict[FlowKey, EncodedFlow]:
    """Return flows by their key.

    Raises:
        ValueError: two flows of one key.
    """
    table = {flow.key: flow for flow in flows}
    if len(table) != len(flows):
        raise ValueError("two flows have the same table, priority and match")
    return table


@dataclass(frozen=True, slots=True)
class Change:
    """Changes to one bridge's flows, groups and meters; falsy when the bridge is already right."""

    flows: Delta = Delta()
    put_groups: tuple[EncodedGroup, ...] = ()
    delete_groups: tuple[int, ...] = ()
    put_meters: tuple[MeterEntry, ...] = ()
    modify_meters: tuple[MeterEntry, ...] = ()
    delete_meters: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        """Say whether there is anything to change."""
        groups = self.put_groups or self.delete_groups
        return bool(self.flows or groups or self.put_meters or self.modify_meters or self.delete_meters)


def diff_state(installed: BridgeState, wanted: BridgeState) -> Change:
    """Return the smallest change of flows, groups and meters; each kind by rising number."""
    groups, meters = installed.groups, installed.meters
    return Change(
        diff(installed.flows, wanted.flows),
        tuple(group for number, group in sorted(wanted.groups.items()) if groups.get(number) != group),
        tuple(sorted(groups.keys() - wanted.groups.keys())),
        *_meter_changes(meters, wanted.meters, _metered(installed, wanted)),
    )


def _metered(installed: BridgeState, wanted: BridgeState) -> Iterable[int]:
    """Return the meters that may differ: of states made of pieces, those of the pieces that do."""
    before, now = installed.flows, wanted.flows
    if not (isinstance(before, Layers) and isinstance(now, Layers)) or (
        before.meters is not installed.meters or now.meters is not wanted.meters
    ):
        return wanted.meters.keys() | installed.meters.keys()
    gone, come = now.metered_since(before)
    return {meter.number for block in (*gone, *come) for meter in block.meters}


def _meter_changes(
    installed: Mapping[int, MeterEntry], wanted: Mapping[int, MeterEntry], numbers: Iterable[int]
) -> tuple[tuple[MeterEntry, ...], tuple[MeterEntry, ...], tuple[int, ...]]:
    """Return the meters to make, to change and to delete, of those that may differ."""
    put: list[MeterEntry] = []
    changed: list[MeterEntry] = []
    deleted: list[int] = []
    for number in () if installed is wanted else sorted(numbers):
        before, meter = installed.get(number), wanted.get(number)
        if meter is None:
            if before is not None:
                deleted.append(number)
        elif before is None:
            put.append(meter)
        elif before != meter:
            changed.append(meter)
    return tuple(put), tuple(changed), tuple(deleted)


def with_meters(installed: BridgeState, change: Change) -> BridgeState:
    """Return what a bridge holds after it refused a change's bundle: the meters before it are made."""
    made = {meter.number: meter for meter in (*change.put_meters, *change.modify_meters)}
    return BridgeState(installed.flows, installed.groups, {**installed.meters, **made})
