"""Pieces that bridges share: made when a bridge first asks for them, kept as long as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from zonewall.flows.encoded import EncodedFlow
from zonewall.flows.endpoint_forms import EndpointForms
from zonewall.flows.layers import BankLayer, Block, Group, Step
from zonewall.flows.line_pieces import LinePieces, Marks
from zonewall.flows.wire import encode_flow, encode_flows
from zonewall.intent.fleet import Fleet
from zonewall.intent.lines import BankHere
from zonewall.intent.model import (
    BankFrame,
    BridgeIntent,
    Destination,
    ForeignEndpoint,
    TenantIntent,
    View,
)
from zonewall.intent.places import PlacedLine
from zonewall.intent.policy import EndpointFacts, Policy
from zonewall.intent.resolve import VIA_UPLINK, flood_of, remote_endpoint, via_bridge
from zonewall.pipeline.compile import (
    alike,
    alike_flows,
    bank_flows,
    distinct,
    frame_meters,
    own_flows,
    tenant_flows,
    tenant_meters,
)
from zonewall.pipeline.model import Flow
from zonewall.pipeline.stages import deliver, take_up
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.model import Binding, BridgeKey
from zonewall.values.names import EndpointKey, TenantName
from zonewall.values.sameness import differing

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
FRAME = -1
NO_GROUP = Group(FrozenMap(), {}, {})
_MakeBlock = Callable[[EndpointFacts, Binding], Block]
_Placed = tuple[tuple[PlacedLine, ...], ...]


LEAST_KEPT = 256
"""At least so many of what differs by who is where are remembered before those not asked for go."""


def _most_kept(policy: Policy) -> int:
    """Return about twice as many as a fleet can want at one time: one of each bank on each bridge."""
    bridges = sum(len(host.bridges) for host in policy.configuration.inventory.hosts.values())
    return max(LEAST_KEPT, 2 * bridges * min(32, len(policy.placed)))


def encode(flows: Iterable[Flow]) -> tuple[EncodedFlow, ...]:
    """Return a subject's flows in bytes."""
    return tuple(encode_flows(flows))


def encode_distinct(flows: Iterable[Flow]) -> tuple[EncodedFlow, ...]:
    """Return the flows of a subject of several parts, which may say the same twice."""
    return encode(distinct(iter(flows)))


class Aging(Generic[K, V]):
    """A memory that forgets what was not asked for between two calls of ``age``, or while ``most`` came.

    Attributes:
        most: so many entries make it age by itself; None where a policy bounds them.
    """

    def __init__(self, most: int | None = None) -> None:
        """Remember nothing."""
        self.most = most
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        """Return how many entries are remembered, some of them twice."""
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        """Return what is remembered under a key."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self._young[key] = found
        return found

    def put(self, key: K, value: V) -> V:
        """Remember a value, and return it."""
        if self.most is not None and len(self._young) >= self.most:
            self.age()
        self._young[key] = value
        return value

    def age(self) -> None:
        """Forget what was not asked for since the last call."""
        self._old, self._young = self._young, {}


class SharedPieces:
    """What all bridges' pieces are taken from; confined to its assembler."""

    def __init__(self) -> None:
        """Remember nothing."""
        self.forms = EndpointForms()
        self._policy: Policy | None = None
        self._groups: Aging[Hashable, tuple[Group, Mapping[EndpointKey, EndpointFacts]]] = Aging()
        self._floods: dict[TenantName, tuple[tuple[object, ...], tuple[int, ...]]] = {}
        # What depends on where endpoints are is made anew with each move: it ages by its number, too.
        self._frames: Aging[Hashable, tuple[TenantIntent, Block]] = Aging(LEAST_KEPT)
        self._banks: Aging[Hashable, tuple[BankHere, _Placed, BankLayer]] = Aging(LEAST_KEPT)
        self._lines: Aging[int, LinePieces] = Aging()
        self._sections: Aging[int, tuple[tuple[PlacedLine, ...], Marks, list[LinePieces]]] = Aging()
        self._marks: Aging[str, Marks] = Aging()
        self._ranges: Aging[tuple[int, int, tuple[int, ...], bool], EncodedFlow] = Aging(LEAST_KEPT)
        self._take_ups: Aging[BridgeIntent, Block] = Aging(LEAST_KEPT)
        self._paths: Aging[Destination, Block] = Aging()
        self._alike: Aging[BridgeIntent, tuple[EncodedFlow, ...]] = Aging(LEAST_KEPT)
        self._bank_frames: Aging[tuple[BankFrame, bool], Block] = Aging()

    def follow(self, policy: Policy) -> None:
        """Take another policy up; what only the policies before the last asked for is forgotten."""
        if policy is not self._policy:
            self._policy = policy
            for memory in (self._groups, self._frames, self._banks, self._lines, self._alike):
                memory.age()
            for pieces in (self._ranges, self._take_ups, self._paths, self._bank_frames):
                pieces.age()
            for lines in (self._sections, self._marks):
                lines.age()
            most = _most_kept(policy)
            self._frames.most = self._banks.most = self._ranges.most = most
            self._alike.most = self._take_ups.most = most
            tenants = policy.configuration.tenants
            self._floods = {name: flood for name, flood in self._floods.items() if name in tenants}

    def flood(self, fleet: Fleet, tenant: TenantName) -> tuple[int, ...]:
        """Return the destinations of a tenant's bridges, the same object while they are the same."""
        others = (fleet.of(bank.destination).present for bank in fleet.policy.beyond.get(tenant, ()))
        made_of = (fleet.of(tenant).present, fleet.declared, *others)
        known = self._floods.get(tenant)
        if (
            known is None
            or len(known[0]) != len(made_of)
            or any(one is not other for one, other in zip(known[0], made_of, strict=True))
        ):
            flood = flood_of(fleet, tenant)
            if known is not None and known[1] == flood:
                flood = known[1]
            known = self._floods[tenant] = (made_of, flood)
        return known[1]

    def frame(self, bridge: BridgeIntent) -> Block:
        """Return what belongs to a bridge as a whole; most of it is the same on others."""
        like = alike(bridge)
        flows = self._alike.get(like)
        if flows is None:
            flows = self._alike.put(like, encode_distinct(alike_flows(like)))
        own = encode_distinct(own_flows(bridge))
        return Block(own + flows, tuple(frame_meters(bridge)))

    def path(self, destination: Destination) -> Block:
        """Return the flows towards a destination."""
        known = self._paths.get(destination)
        return known or self._paths.put(destination, Block(encode(deliver.path_flows(destination))))

    def take_up(self, bridge: BridgeIntent) -> Block:
        """Return the flows for connections that are taken up in their middle."""
        like = alike(bridge)
        known = self._take_ups.get(like)
        return known or self._take_ups.put(like, Block(encode_distinct(take_up.take_up_flows(like))))

    def tenant_frame(self, bridge: BridgeIntent, tenant: TenantIntent) -> Block:
        """Return a tenant's flows on a bridge that are no endpoint's."""
        number = bridge.number if bridge.tunnel_peers else 0
        key = (
            tenant.name, number, tenant.servers, tenant.uplinks, tenant.gateway, tenant.dhcp_servers,
            tenant.floods_outside, len(tenant.flood),
        )  # fmt: skip
        known = self._frames.get(key)
        if known is not None and _same_frame(known[0], tenant):
            return known[1]
        block = Block(encode_distinct(tenant_flows(bridge, tenant)), tuple(tenant_meters(tenant)))
        return self._frames.put(key, (tenant, block))[1]

    def flood_local(self, tenant: TenantIntent) -> Block:
        """Return what is flooded to a tenant's ports on one bridge."""
        ranges = deliver.flood_ranges(tenant.ports)
        found = []
        for index, ports in enumerate(ranges):
            key = (tenant.number, index, ports, index + 1 == len(ranges))
            known = self._ranges.get(key)
            found.append(known or self._ranges.put(key, encode_flow(deliver.flood_range_flow(*key))))
        return Block(tuple(found))

    def group(self, fleet: Fleet, owner: TenantName, view: View, by_uplink: bool) -> Group:
        """Return a tenant's endpoints as bridges see them that do not have them."""
        policy = fleet.policy

        def block(facts: EndpointFacts, place: Binding) -> Block:
            via = VIA_UPLINK if by_uplink else via_bridge(policy, place.bridge)
            return Block(self.forms.known(view, remote_endpoint(facts, via)))

        # Of a view of those elsewhere only these are set: a hash of it takes longer than theirs.
        key = (owner, view.tenant, view.bank, view.by_mac, view.routers, by_uplink)
        return self._group(key, fleet, owner, block)

    def guests(self, fleet: Fleet, owner: TenantName, view: View, tenant: int, bank: int) -> Group:
        """Return a tenant's endpoints as another tenant sees them on bridges that do not have them."""
        policy = fleet.policy

        def block(facts: EndpointFacts, place: Binding) -> Block:
            if view.tenant in facts.hidden_from:
                return Block(())
            seen = remote_endpoint(facts, via_bridge(policy, place.bridge))
            return Block(self.forms.foreign(view, ForeignEndpoint(seen, tenant, bank)))

        return self._group((owner, view.tenant, bank), fleet, owner, block)

    def _group(self, key: Hashable, fleet: Fleet, owner: TenantName, block: _MakeBlock) -> Group:
        place, endpoints = fleet.of(owner).place, fleet.policy.endpoints
        known = self._groups.get(key)
        if known is None:
            group = NO_GROUP
            changed = list(place)
        else:
            group, facts = known
            if group.place is place and facts is endpoints:
                return group
            changed = place.changed_since(group.place)
            if facts is not endpoints:
                changed += [each for each in place if facts.get(each) is not endpoints[each]]
        return self._groups.put(key, (_followed(group, place, changed, endpoints, block), endpoints))[0]

    def bank(self, policy: Policy, here: BankHere, has_legs: bool) -> BankLayer:
        """Return a bank's flows on bridges that have the same identities, of the same families."""
        name, placed = here.bank.name, policy.placed[here.bank.name]
        key = (name, here.frame.zone, here.frame.families, here.sources, here.destinations, has_legs)
        known = self._banks.get(key)
        if known is not None and known[1] is placed and known[0].frame == here.frame:
            return known[2]
        layer: dict[int, Mapping[str, Block]] = {}
        layer[FRAME] = {"": self._bank_frame(here.frame, has_legs)}
        same_lines = known is not None and known[0].frame.number == here.frame.number
        for index, section in enumerate(placed):
            before: tuple[PlacedLine, ...] = ()
            blocks: Mapping[str, Block] = {}
            if known is not None and same_lines and index < len(known[1]):
                before, blocks = known[1][index], known[2][index]
            if section and before is section:
                layer[index] = blocks
            else:
                layer[index] = self._section(policy, here, index, section, (before, blocks))
        return self._banks.put(key, (here, placed, layer))[2]

    def _bank_frame(self, frame: BankFrame, has_legs: bool) -> Block:
        known = self._bank_frames.get((frame, has_legs))
        if known is None:
            block = Block(encode_distinct(bank_flows(frame, has_legs)))
            known = self._bank_frames.put((frame, has_legs), block)
        return known

    def _section(
        self,
        policy: Policy,
        here: BankHere,
        index: int,
        section: tuple[PlacedLine, ...],
        known: tuple[tuple[PlacedLine, ...], Mapping[str, Block]],
    ) -> Mapping[str, Block]:
        """Return a section's lines; those that were there before are taken as they were."""
        before, blocks = known
        marks = self._marks_of(here)
        others = differing(section, before) if len(section) == len(before) else None
        if others is not None and all(section[at].line.key == before[at].line.key for at in others):
            changed = [self._line(section[at], marks) for at in others]
            new = LinePieces.blocks_here(changed, policy, here, index, marks)
            made = {**blocks, **new}
            for line in changed:
                if line.placed.line.key not in new:
                    made.pop(line.placed.line.key, None)
            return made
        if not before:
            return LinePieces.blocks_here(self._lines_of(section, marks), policy, here, index, marks)
        kept = {id(placed) for placed in before}
        changed = [self._line(placed, marks) for placed in section if id(placed) not in kept]
        new = LinePieces.blocks_here(changed, policy, here, index, marks)
        keys = [placed.line.key for placed in section]
        return {
            key: new[key] if key in new else blocks[key]
            for key, placed in zip(keys, section, strict=True)
            if (key in blocks if id(placed) in kept else key in new)
        }

    def _marks_of(self, here: BankHere) -> Marks:
        return self._marks.get(here.bank.name) or self._marks.put(here.bank.name, Marks())

    def _lines_of(self, section: tuple[PlacedLine, ...], marks: Marks) -> list[LinePieces]:
        """Return what is remembered of a section's lines."""
        known = self._sections.get(id(section))
        if known is None or known[1] is not marks:
            lines = [self._line(placed, marks) for placed in section]
            known = self._sections.put(id(section), (section, marks, lines))
        return known[2]

    def _line(self, placed: PlacedLine, marks: Marks) -> LinePieces:
        """Return what is remembered of a line: flows made once for all bridges where the same ends are."""
        known = self._lines.get(id(placed))
        if known is None or known.marks is not marks:
            known = self._lines.put(id(placed), LinePieces(placed, marks))
        return known


def _followed(
    group: Group,
    place: FrozenMap[EndpointKey, Binding],
    changed: Iterable[EndpointKey],
    endpoints: Mapping[EndpointKey, EndpointFacts],
    block: _MakeBlock,
) -> Group:
    """Return a group with those made anew that changed."""
    blocks: dict[BridgeKey, Mapping[EndpointKey, Block]] = dict(group.blocks)
    sizes = dict(group.sizes)
    copied: dict[BridgeKey, dict[EndpointKey, Block]] = {}

    def of_bridge(bridge: BridgeKey) -> dict[EndpointKey, Block]:
        if bridge not in copied:
            blocks[bridge] = copied[bridge] = dict(blocks.get(bridge, {}))
        return copied[bridge]

    for key in dict.fromkeys(changed):
        before, now = group.place.get(key), place.get(key)
        if before is not None:
            gone = of_bridge(before.bridge).pop(key)
            sizes[before.bridge] -= len(gone.flows)
        if now is not None:
            made = of_bridge(now.bridge)[key] = block(endpoints[key], now)
            sizes[now.bridge] = sizes.get(now.bridge, 0) + len(made.flows)
    return Group(place, blocks, sizes, Step(group.itself, tuple(copied)))


def _same_frame(one: TenantIntent, other: TenantIntent) -> bool:
    return (
        one.flood is other.flood
        and one.outside is other.outside
        and one.routers == other.routers
        and one.new_connections == other.new_connections
    )
