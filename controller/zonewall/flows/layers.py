"""A bridge's flows as what they are made of, so that two states differ where their pieces do.

Pieces are made once and shared: by the states of one bridge one after the other, and by bridges. Comparing
two states costs as much as differs between them, not as much as they hold.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from dataclasses import dataclass, field, replace
from itertools import chain, compress
from operator import eq, is_not
from typing import Generic, NamedTuple, TypeVar

from zonewall.flows.encoded import EncodedFlow, FlowKey
from zonewall.intent.policy import EndpointFacts
from zonewall.pipeline.model import MeterEntry
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.model import Binding, BridgeKey
from zonewall.values.names import EndpointKey, OfPort, TenantName

At = tuple[OfPort, EndpointKey]
K = TypeVar("K")


class Block(NamedTuple):
    """What one subject contributes; no other subject of a bridge has a flow of the same key."""

    flows: tuple[EncodedFlow, ...] = ()
    meters: tuple[MeterEntry, ...] = ()


EMPTY = Block()

Difference = tuple[list[Block], list[Block]]
"""The blocks that went, and those that came; a piece that changed is in both."""
FEW = 64
"""A difference of so many pieces is remembered, as a change is asked for it several times."""


class Step(NamedTuple, Generic[K]):
    """What of something may differ from what it was made from.

    Attributes:
        before: what stands for that, so that it is not kept.
    """

    before: object
    changed: Iterable[K]


@dataclass(frozen=True, slots=True)
class Group:
    """A tenant's endpoints as bridges that do not have them see them.

    Attributes:
        place: where each of them is, which the blocks were made from.
        blocks: by the bridge where they are.
        sizes: flows in the blocks of each bridge.
        step: the bridges where it differs from the group before.
    """

    place: FrozenMap[EndpointKey, Binding]
    blocks: Mapping[BridgeKey, Mapping[EndpointKey, Block]]
    sizes: Mapping[BridgeKey, int]
    step: Step[BridgeKey] | None = field(default=None, compare=False)
    itself: object = field(default_factory=object, compare=False, repr=False)

    def bridges_since(self, before: Group) -> Iterable[BridgeKey]:
        """Return the bridges where two groups may differ."""
        if self.step is not None and self.step.before is before.itself:
            return self.step.changed
        return {**before.blocks, **self.blocks}


class Seen(NamedTuple):
    """A group on a bridge, which sees all but what it has itself."""

    group: Group
    bridge: BridgeKey | None

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of those that are seen."""
        for bridge, blocks in self.group.blocks.items():
            if bridge != self.bridge:
                yield from blocks.values()

    def size(self) -> int:
        """Return the number of flows."""
        own = 0 if self.bridge is None else self.group.sizes.get(self.bridge, 0)
        return sum(self.group.sizes.values()) - own


class Own(NamedTuple):
    """An endpoint at a port of the bridge."""

    facts: EndpointFacts
    binding: Binding
    block: Block


@dataclass(frozen=True, slots=True)
class TenantLayer:
    """One tenant's flows on a bridge.

    Attributes:
        frame: what belongs to no endpoint; the same on many bridges.
        local: what is flooded to the ports here.
        own: endpoints at ports here, by ranges of port numbers, so that a change copies little.
        guests: other tenants' endpoints at ports here that this one can reach.
        seen: endpoints elsewhere, its own under its name, others under theirs.
    """

    frame: Block
    local: Block
    own: Mapping[int, Mapping[At, Own]]
    guests: Mapping[EndpointKey, Own]
    seen: Mapping[TenantName, Seen]

    def endpoints_here(self) -> Iterator[Block]:
        """Yield the blocks of endpoints at ports here."""
        for some in self.own.values():
            yield from (own.block for own in some.values())
        yield from (own.block for own in self.guests.values())


def port_range(at: At) -> int:
    """Return the range of port numbers under which an endpoint stands."""
    return at[0] >> 6


BankLayer = Mapping[int, Mapping[str, Block]]
"""A bank's flows by section and line; what is no line's stands under section -1."""


@dataclass(frozen=True, slots=True)
class Layers(Mapping[FlowKey, EncodedFlow]):
    """All flows of a bridge by key: a mapping like any other, but for how it is compared.

    Attributes:
        frame: what belongs to the bridge as a whole.
        moved: what takes connections up in their middle, where an endpoint has come.
        paths: fabric destinations.
        meters: those of all pieces, by number.
        tenants_step: the tenants that may differ from the state before; ``banks_step`` alike.
    """

    frame: Block = EMPTY
    moved: Block = EMPTY
    paths: Mapping[int, Block] = field(default_factory=dict)
    tenants: Mapping[TenantName, TenantLayer] = field(default_factory=dict)
    banks: Mapping[str, BankLayer] = field(default_factory=dict)
    meters: Mapping[int, MeterEntry] = field(default_factory=dict, compare=False, repr=False)
    tenants_step: Step[TenantName] | None = field(default=None, compare=False, repr=False)
    banks_step: Step[str] | None = field(default=None, compare=False, repr=False)
    itself: object = field(default_factory=object, compare=False, repr=False)
    _by_key: dict[FlowKey, EncodedFlow] = field(default_factory=dict, compare=False, repr=False)
    _counted: list[int] = field(default_factory=list, compare=False, repr=False)
    """How many flows there are, once that was counted."""
    _asked: list[tuple[object, Difference]] = field(default_factory=list, compare=False, repr=False)
    """What stands for the state that this one was compared with last, and the few pieces that differed but
    for ``moved``, in which a state may differ from another that is otherwise itself."""

    def blocks(self) -> Iterator[Block]:
        """Yield every block."""
        yield from (self.frame, self.moved)
        yield from self.paths.values()
        for tenant in self.tenants.values():
            yield tenant.frame
            yield tenant.local
            yield from tenant.endpoints_here()
            yield from chain.from_iterable(seen.blocks() for seen in tenant.seen.values())
        for bank in self.banks.values():
            yield from chain.from_iterable(section.values() for section in bank.values())

    def flows(self) -> Iterator[EncodedFlow]:
        """Yield every flow, piece by piece."""
        return chain.from_iterable(block.flows for block in self.blocks())

    def __iter__(self) -> Iterator[FlowKey]:
        """Yield every key."""
        return (flow.key for flow in self.flows())

    def __len__(self) -> int:
        """Return the number of flows; counted once, or from those of a state that was compared with."""
        if not self._counted:
            self._counted.append(self._count())
        return self._counted[0]

    def _count(self) -> int:
        own = chain([self.frame, self.moved], self.paths.values())
        total = sum(len(block.flows) for block in own)
        for tenant in self.tenants.values():
            total += len(tenant.frame.flows) + len(tenant.local.flows)
            total += sum(len(block.flows) for block in tenant.endpoints_here())
            total += sum(seen.size() for seen in tenant.seen.values())
        lines = chain.from_iterable(s.values() for bank in self.banks.values() for s in bank.values())
        return total + sum(len(block.flows) for block in lines)

    def __getitem__(self, key: FlowKey) -> EncodedFlow:
        """Return a flow; the first time all are put into a dictionary, which takes time and memory."""
        if not self._by_key:
            self._by_key.update((flow.key, flow) for flow in self.flows())
        return self._by_key[key]

    def values(self) -> ValuesView[EncodedFlow]:
        """Return every flow."""
        return _Flows(self)

    def items(self) -> ItemsView[FlowKey, EncodedFlow]:
        """Return every flow with its key."""
        return _KeysAndFlows(self)

    def changed_since(self, before: Layers) -> Difference:
        """Return the blocks that went and those that came; a flow may be in both."""
        known = next((one for asked, one in self._asked if asked is before.itself), None)
        difference = known or self._changed_but_for_moved(before)
        gone, come = [*difference[0]], [*difference[1]]
        if known is None and len(gone) + len(come) <= FEW:
            self._asked[:] = [(before.itself, difference)]
        _compare(self.moved, before.moved, gone, come)
        if before._counted and not self._counted:
            grown = sum(len(block.flows) for block in come) - sum(len(block.flows) for block in gone)
            self._counted.append(before._counted[0] + grown)
        return gone, come

    def with_moved(self, moved: Block) -> Layers:
        """Return the state with another ``moved``; what is known of it otherwise is known of this one."""
        grown = len(moved.flows) - len(self.moved.flows)
        return replace(self, moved=moved, _by_key={}, _counted=[count + grown for count in self._counted])

    def _changed_but_for_moved(self, before: Layers) -> Difference:
        gone, come = self.metered_since(before)
        _compare_blocks(self.paths, before.paths, gone, come)
        for name in self._tenants_since(before):
            now, then = self.tenants.get(name, _NO_TENANT), before.tenants.get(name, _NO_TENANT)
            if now is not then:
                _compare(now.local, then.local, gone, come)
                _compare_own(now.guests, then.guests, gone, come)
                for owner in {**then.seen, **now.seen}:
                    one, other = now.seen.get(owner, _NOBODY), then.seen.get(owner, _NOBODY)
                    _compare_seen(one, other, gone, come)
        for bank in self._banks_since(before):
            lines, lines_then = self.banks.get(bank, {}), before.banks.get(bank, {})
            for section in {**lines_then, **lines} if lines is not lines_then else ():
                _compare_blocks(lines.get(section, {}), lines_then.get(section, {}), gone, come)
        return gone, come

    def metered_since(self, before: Layers) -> Difference:
        """Return what ``changed_since`` does of the blocks that may have meters."""
        gone: list[Block] = []
        come: list[Block] = []
        _compare(self.frame, before.frame, gone, come)
        for name in self._tenants_since(before):
            now, then = self.tenants.get(name, _NO_TENANT), before.tenants.get(name, _NO_TENANT)
            if now is not then:
                _compare(now.frame, then.frame, gone, come)
                for some in {**then.own, **now.own}:
                    _compare_own(now.own.get(some, {}), then.own.get(some, {}), gone, come)
        return gone, come

    def _tenants_since(self, before: Layers) -> Iterable[TenantName]:
        if self.tenants_step is not None and self.tenants_step.before is before.itself:
            return self.tenants_step.changed
        return {**before.tenants, **self.tenants}

    def _banks_since(self, before: Layers) -> Iterable[str]:
        if self.banks_step is not None and self.banks_step.before is before.itself:
            return self.banks_step.changed
        return {**before.banks, **self.banks}


class _Flows(ValuesView[EncodedFlow]):
    """Flows without a look-up of each."""

    def __init__(self, layers: Layers) -> None:
        super().__init__(layers)
        self._layers = layers

    def __iter__(self) -> Iterator[EncodedFlow]:
        return self._layers.flows()


class _KeysAndFlows(ItemsView[FlowKey, EncodedFlow]):
    """Flows with their keys, without a look-up of each."""

    def __init__(self, layers: Layers) -> None:
        super().__init__(layers)
        self._layers = layers

    def __iter__(self) -> Iterator[tuple[FlowKey, EncodedFlow]]:
        return ((flow.key, flow) for flow in self._layers.flows())


_NO_TENANT = TenantLayer(EMPTY, EMPTY, {}, {}, {})
_NOBODY = Seen(Group(FrozenMap(), {}, {}), None)


def _compare(now: Block, then: Block, gone: list[Block], come: list[Block]) -> None:
    if now is not then:
        gone.append(then)
        come.append(now)


def _compare_blocks(
    now: Mapping[K, Block],
    then: Mapping[K, Block],
    gone: list[Block],
    come: list[Block],
) -> None:
    if now is then:
        return
    if len(now) == len(then) and all(map(eq, now, then)):
        # Most are the same, under the same keys in the same order: those are not stepped through.
        places = map(is_not, now.values(), then.values())
        for new, old in compress(zip(now.values(), then.values(), strict=True), places):
            come.append(new)
            gone.append(old)
        return
    for key, block in now.items():
        other = then.get(key)
        if other is not block:
            come.append(block)
            if other is not None:
                gone.append(other)
    if now.keys() != then.keys():
        gone.extend([block for key, block in then.items() if key not in now])


def _compare_own(
    now: Mapping[K, Own],
    then: Mapping[K, Own],
    gone: list[Block],
    come: list[Block],
) -> None:
    if now is then:
        return
    for key, own in now.items():
        other = then.get(key)
        if other is not own:
            come.append(own.block)
            if other is not None:
                gone.append(other.block)
    gone.extend([own.block for key, own in then.items() if key not in now])


def _compare_seen(now: Seen, then: Seen, gone: list[Block], come: list[Block]) -> None:
    if now.group is then.group and now.bridge == then.bridge:
        return
    changed = set(now.group.bridges_since(then.group))
    if now.bridge != then.bridge:
        changed |= {bridge for bridge in (now.bridge, then.bridge) if bridge is not None}
    for bridge in changed:
        mine = {} if bridge == now.bridge else now.group.blocks.get(bridge, {})
        other = {} if bridge == then.bridge else then.group.blocks.get(bridge, {})
        _compare_blocks(mine, other, gone, come)


def same_entries(one: Mapping[K, Own], other: Mapping[K, Own]) -> bool:
    """Say whether both have the same objects under the same keys."""
    return len(one) == len(other) and all(other.get(key) is value for key, value in one.items())
