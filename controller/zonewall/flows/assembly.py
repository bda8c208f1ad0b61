"""Fleet to what a bridge should hold, in bytes: each subject once, and again only when it has changed.

The result is that of ``compile_bridge`` and ``encode_program``, byte for byte; what is remembered makes it
quick and nothing else. An ``Assembler`` is an explicit memory for one thread; without it only time is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from zonewall.flows.encoded import BridgeState
from zonewall.flows.layers import (
    EMPTY,
    At,
    BankLayer,
    Block,
    Layers,
    Own,
    Seen,
    Step,
    TenantLayer,
    port_range,
    same_entries,
)
from zonewall.flows.meter_uses import MeterUses
from zonewall.flows.shared_pieces import SharedPieces
from zonewall.intent.fleet import DELIVERING, Fleet
from zonewall.intent.here import Bound, Locals, known_otherwise, same_crowd
from zonewall.intent.lines import BankHere, bank_here
from zonewall.intent.model import BridgeIntent, ForeignEndpoint, TenantIntent, View
from zonewall.intent.numbering import Kind
from zonewall.intent.policy import Policy
from zonewall.intent.resolve import (
    bridge_intent,
    destinations_of,
    for_remotes,
    goes_by_uplink,
    is_elsewhere,
    local_endpoint,
    locals_of,
    populated,
    tenant_intent,
    view_of,
)
from zonewall.pipeline.compile import local_meters
from zonewall.placement.model import Binding, BridgeKey
from zonewall.values.names import EndpointKey, TenantName

_OwnByPort = Mapping[int, Mapping[At, Own]]


@dataclass(slots=True)
class _Bridge:
    """What is remembered of a bridge: all that its flows were made from, and they."""

    fleet: Fleet
    here: dict[TenantName, Locals]
    come: frozenset[TenantName]  # those of which endpoints came with connections that began elsewhere
    banks: dict[str, BankHere]
    intent: BridgeIntent
    tenants: dict[TenantName, tuple[TenantIntent, View]]
    layers: Layers
    meters: MeterUses


class Assembler:
    """Remembers every bridge's pieces; not for two threads at a time."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._bridges: dict[BridgeKey, _Bridge] = {}
        self._shared = SharedPieces()

    def state(self, fleet: Fleet, key: BridgeKey) -> BridgeState:
        """Return what a bridge should hold.

        Raises:
            CompileError: something that no bridge can carry out.
            EncodingError: something that has no OpenFlow form.
        """
        # What fails in its middle is forgotten whole.
        known = self._bridges.pop(key, None)
        changed = None if known is None else fleet.changed_since(known.fleet)
        self._shared.follow(fleet.policy)
        step = _Step(self._shared, fleet, key, known, changed)
        made = step.bridge()
        self._bridges[key] = made
        return BridgeState(made.layers, {}, made.layers.meters)

    def forget(self, key: BridgeKey) -> None:
        """Forget a bridge's pieces, and the fleet that they were made of."""
        self._bridges.pop(key, None)


class _Step:
    """One bridge from one fleet to another; ``changed`` None: everything may have."""

    def __init__(
        self,
        shared: SharedPieces,
        fleet: Fleet,
        key: BridgeKey,
        known: _Bridge | None,
        changed: list[EndpointKey] | None,
    ) -> None:
        self._shared = shared
        self._fleet = fleet
        self._key = key
        self._policy: Policy = fleet.policy
        self._known = known
        self._changed = changed
        facts = self._policy.endpoints
        self._owners = None if changed is None else {facts[each].tenant for each in changed if each in facts}
        self._changed_banks: list[str] = []
        # Whether the layers of all others are those of the state before.
        self._counts_tenants = self._counts_banks = False

    def bridge(self) -> _Bridge:
        """Return the bridge as it is to be."""
        known = self._known
        if known is not None and self._owners is not None and not self._owners:
            known.fleet = self._fleet
            return known
        here = self._here()
        come = self._come(here)
        banks = self._banks(here)
        intent = self._intent(here, banks)
        tenants: dict[TenantName, tuple[TenantIntent, View]] = {}
        tenant_layers = self._tenants(here, intent, tenants)
        bank_layers = self._bank_layers(banks, intent)
        before, uses = (known.layers, known.meters) if known is not None else (Layers(), MeterUses())
        bare = Layers(
            self._frame(intent),
            self._shared.take_up(intent) if come and intent.judges else EMPTY,
            self._paths(),
            tenant_layers,
            bank_layers,
            tenants_step=Step(before.itself, self._touched()) if self._counts_tenants else None,
            banks_step=Step(before.itself, self._changed_banks) if self._counts_banks else None,
        )
        uses = uses.follow(*bare.metered_since(before))
        whole = replace(bare, meters=uses.meters)
        return _Bridge(self._fleet, here, come, banks, intent, tenants, whole, uses)

    def _touched(self) -> set[TenantName]:
        """Return the tenants whose endpoints, here or elsewhere, changed, and those that may see them."""
        assert self._owners is not None
        seen_by = {bank.source for owner in self._owners for bank in self._policy.banks_of.get(owner, ())}
        return self._owners | seen_by

    # Who is here

    def _here(self) -> dict[TenantName, Locals]:
        known, key = self._known, self._key
        if known is None or self._changed is None:
            names = [n for n in sorted(self._policy.configuration.tenants) if self._fleet.is_present(n, key)]
            return {name: self._locals(name) for name in names}
        here = dict(known.here)
        for name in sorted(self._touched()):
            if not self._fleet.is_present(name, key):
                here.pop(name, None)
            elif name not in here:
                here[name] = locals_of(self._fleet, key, name)
            elif self._owners is not None and name in self._owners:
                gone = self._bound(known.fleet, name)
                come = self._bound(self._fleet, name)
                if gone != come:
                    here[name] = here[name].change(gone, come)
        return here

    def _come(self, here: dict[TenantName, Locals]) -> frozenset[TenantName]:
        known = self._known
        looked_at = here.keys() if known is None or self._changed is None else self._touched()
        come = frozenset([name for name in looked_at if name in here and here[name].midstream])
        return come if known is None or self._changed is None else known.come - looked_at | come

    def _locals(self, name: TenantName) -> Locals:
        """Return what a tenant's endpoints here add up to, as known where nothing of it has changed."""
        known = self._known
        if known is not None and name in known.here:
            others = known_otherwise(known.fleet, self._fleet, self._key, name)
            if others is not None:
                return known.here[name].change(*others) if others[0] else known.here[name]
        return locals_of(self._fleet, self._key, name)

    def _bound(self, fleet: Fleet, name: TenantName) -> list[Bound]:
        """Return the changed endpoints of a tenant that are at a port here."""
        facts = fleet.policy.endpoints
        return [
            (facts[each], binding)
            for each in self._changed or ()
            if each in facts and facts[each].tenant == name
            for binding in fleet.placement.bindings.get(each, ())
            if binding.bridge == self._key
        ]

    # The bridge as a whole

    def _banks(self, here: dict[TenantName, Locals]) -> dict[str, BankHere]:
        known, policy = self._known, self._policy
        if known is None or self._changed is None:
            made = ((name, self._bank(name, here)) for name in sorted(policy.banks))
            return {name: bank for name, bank in made if bank is not None}
        ends = [name for name in self._touched() if not same_crowd(here.get(name), known.here.get(name))]
        found = dict(known.banks)
        for name in sorted({bank.name for end in ends for bank in policy.banks_of.get(end, ())}):
            bank = self._bank(name, here)
            if bank is not None:
                found[name] = bank
            else:
                found.pop(name, None)
            if bank is not known.banks.get(name):
                self._changed_banks.append(name)
        if found.keys() == known.banks.keys():
            return found if self._changed_banks else known.banks
        return dict(sorted(found.items()))

    def _bank(self, name: str, here: dict[TenantName, Locals]) -> BankHere | None:
        """Return a bank here, the same object where it is as it was."""
        made = bank_here(self._fleet, self._key, self._policy.banks[name], here)
        before = self._known.banks.get(name) if self._known is not None else None
        return before if made is not None and before is not None and before.same_as(made) else made

    def _intent(self, here: dict[TenantName, Locals], banks: dict[str, BankHere]) -> BridgeIntent:
        known = self._known
        if known is None or self._changed is None:
            made = bridge_intent(self._fleet, self._key, here, list(banks.values()))
            return known.intent if known is not None and known.intent == made else made
        flags = bool(here), any(of.count for of in here.values())
        if flags == (known.intent.populated, known.intent.has_locals) and self._asks_the_same(known, banks):
            return known.intent
        made = populated(known.intent, self._fleet, here, list(banks.values()))
        return known.intent if known.intent == made else made

    def _asks_the_same(self, known: _Bridge, banks: dict[str, BankHere]) -> bool:
        """Say whether nothing of the banks that changed is anything that the bridge as a whole goes by."""
        policy = self._policy
        if policy.limits_ports or (self._changed_banks and policy.modified):
            return False
        return all(
            name in banks
            and name in known.banks
            and banks[name].frame == known.banks[name].frame
            and name not in policy.rejecting
            for name in self._changed_banks
        )

    def _frame(self, intent: BridgeIntent) -> Block:
        if self._known is not None and intent is self._known.intent:
            return self._known.layers.frame
        return self._shared.frame(intent)

    def _paths(self) -> Mapping[int, Block]:
        known, fleet = self._known, self._fleet
        if known is not None and self._changed is not None:
            return known.layers.paths
        return {each.number: self._shared.path(each) for each in destinations_of(fleet, self._key)}

    def _bank_layers(self, banks: dict[str, BankHere], intent: BridgeIntent) -> Mapping[str, BankLayer]:
        known, policy = self._known, self._policy
        if known is None or self._changed is None or intent.has_legs != known.intent.has_legs:
            return {name: self._shared.bank(policy, bank, intent.has_legs) for name, bank in banks.items()}
        self._counts_banks = True
        if not self._changed_banks:
            return known.layers.banks
        layers = dict(known.layers.banks)
        for name in self._changed_banks:
            if name in banks:
                layers[name] = self._shared.bank(policy, banks[name], intent.has_legs)
            else:
                layers.pop(name, None)
        return layers

    # Tenants

    def _tenants(
        self,
        here: dict[TenantName, Locals],
        intent: BridgeIntent,
        made: dict[TenantName, tuple[TenantIntent, View]],
    ) -> Mapping[TenantName, TenantLayer]:
        """Return every tenant's layer, and write down in ``made`` what each was made from."""
        known = self._known
        if known is None or self._changed is None or intent.rejects != known.intent.rejects:
            return {name: self._tenant(name, of, intent, made) for name, of in here.items()}
        layers = dict(known.layers.tenants)
        made.update(known.tenants)
        self._counts_tenants = True
        for name in self._touched():
            if name in here:
                layers[name] = self._tenant(name, here[name], intent, made)
            else:
                layers.pop(name, None)
                made.pop(name, None)
        return layers

    def _tenant(
        self,
        name: TenantName,
        here: Locals,
        intent: BridgeIntent,
        made: dict[TenantName, tuple[TenantIntent, View]],
    ) -> TenantLayer:
        fleet, key, policy, known = self._fleet, self._key, self._policy, self._known
        tenant = tenant_intent(fleet, key, name, here, self._shared.flood(fleet, name))
        view = view_of(intent, tenant, here, policy.configuration.provider.limits.announcements_per_s)
        before = known.layers.tenants.get(name) if known is not None else None
        if known is not None and before is not None:
            old_tenant, old_view = known.tenants[name]
            view = old_view if old_view == view else view
            same_ports = old_tenant.ports == tenant.ports and old_tenant.number == tenant.number
        made[name] = (tenant, view)
        local = before.local if before is not None and same_ports else self._shared.flood_local(tenant)
        remote_view = for_remotes(view)
        by_uplink = goes_by_uplink(policy, key, tenant)
        seen: dict[TenantName, Seen] = {}
        if is_elsewhere(fleet.of(name).present, key):
            seen[name] = Seen(self._shared.group(fleet, name, remote_view, by_uplink), key)
        guests: dict[EndpointKey, Own] = {}
        for bank in policy.beyond.get(name, ()):
            other, number = bank.destination, policy.number(Kind.BANK, bank.name)
            other_number = policy.number(Kind.TENANT, other)
            if is_elsewhere(fleet.of(other).present, key):
                group = self._shared.guests(fleet, other, remote_view, other_number, number)
                seen[other] = Seen(group, key)
            self._add_guests(guests, before, view, other, other_number, number)
        frame = self._shared.tenant_frame(intent, tenant)
        own = self._own(name, view, before)
        same_guests = before is not None and same_entries(guests, before.guests)
        return TenantLayer(frame, local, own, before.guests if before and same_guests else guests, seen)

    def _own(self, name: TenantName, view: View, before: TenantLayer | None) -> _OwnByPort:
        known, facts = self._known, self._policy.endpoints
        same_view = known is not None and before is not None and known.tenants[name][1] is view
        of_tenant = self._fleet.here.get(self._key, {}).get(name, {})
        if before is not None and known is not None and same_view:
            others = known_otherwise(known.fleet, self._fleet, self._key, name)
            if others is None and self._changed is not None:
                others = self._bound(known.fleet, name), self._bound(self._fleet, name)
            if others is not None:
                return self._patched(view, before.own, *others) if any(others) else before.own
        own: dict[int, dict[At, Own]] = {}
        for at, binding in of_tenant.items():
            place = port_range(at)
            kept = before.own.get(place, {}).get(at) if before is not None and same_view else None
            if kept is None or kept.facts is not facts[at[1]] or kept.binding != binding:
                kept = self._local(at[1], binding, view)
            own.setdefault(place, {})[at] = kept
        return own

    def _patched(self, view: View, before: _OwnByPort, gone: list[Bound], come: list[Bound]) -> _OwnByPort:
        """Return a tenant's endpoints here with those that changed made anew."""
        own = dict(before)
        for facts, binding in gone:
            at = (binding.ofport, facts.key)
            place = port_range(at)
            own[place] = {other: each for other, each in own.get(place, {}).items() if other != at}
        for facts, binding in come:
            at = (binding.ofport, facts.key)
            place = port_range(at)
            kept = before.get(place, {}).get(at)
            if kept is None or kept.binding != binding or kept.facts is not facts:
                kept = self._local(facts.key, binding, view)
            own[place] = {**own.get(place, {}), at: kept}
        return {place: some for place, some in own.items() if some}

    def _local(self, key: EndpointKey, binding: Binding, view: View) -> Own:
        facts = self._policy.endpoints[key]
        endpoint = local_endpoint(facts, binding)
        flows = self._shared.forms.local(view, endpoint)
        block = Block(flows, tuple(local_meters(view, endpoint)))
        return Own(facts, binding, block)

    def _add_guests(
        self,
        guests: dict[EndpointKey, Own],
        before: TenantLayer | None,
        view: View,
        owner: TenantName,
        tenant: int,
        bank: int,
    ) -> None:
        for at, binding in self._fleet.here.get(self._key, {}).get(owner, {}).items():
            facts = self._policy.endpoints[at[1]]
            if binding.state not in DELIVERING or view.tenant in facts.hidden_from:
                continue
            kept = before.guests.get(at[1]) if before is not None else None
            if kept is None or kept.facts is not facts or kept.binding != binding:
                foreign = ForeignEndpoint(local_endpoint(facts, binding), tenant, bank)
                kept = Own(facts, binding, Block(self._shared.forms.foreign(view, foreign)))
            guests[at[1]] = kept
