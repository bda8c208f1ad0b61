"""The appliances behind service functions: whose ports they are, how many, and what is wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from operator import attrgetter

from zonewall.policy.inventory import Inventory, PortDeclaration, PortRole, ServiceFunction
from zonewall.policy.model import Action, Configuration, Rule, Tier
from zonewall.policy.notes import Notes
from zonewall.values.names import BridgeName, HostName, TenantName

MOST_WAYS = 32
"""Of how many combinations of appliances a rule's connections may choose one."""

MOST_LEGS = 512
"""Legs on all ways that a tenant's rules name: bridges tell 4,094 places apart, those of all together."""

Declared = tuple[HostName, BridgeName, PortDeclaration]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of an appliance: a port, and the VLAN on it; 0 is untagged."""

    bridge: tuple[HostName, BridgeName]
    port: str
    vlan: int = 0


@dataclass(frozen=True, slots=True)
class Instance:
    """One appliance of a function: ``enter`` is where a connection's first direction goes in."""

    name: str
    function: str
    enter: Side
    leave: Side

    @property
    def has_one_leg(self) -> bool:
        """Say whether what goes in comes out of the same port, in the same form."""
        return self.enter == self.leave


def instances_of(inventory: Inventory) -> dict[str, tuple[Instance, ...]]:
    """Return every function's appliances that have all their ports, by name."""
    found: dict[str, list[Instance]] = {name: [] for name in inventory.service_functions}
    legs: dict[tuple[str, str], dict[str, Side]] = {}
    for host, bridge, port in _serving(inventory):
        function = inventory.service_functions[port.function or ""]
        if port.role is PortRole.UPLINK:
            found[function.name] += _pairs(function, host, bridge, port)
        elif port.leg is not None:
            sides = legs.setdefault((function.name, port.instance), {})
            sides.setdefault(port.leg, Side((host, bridge), port.name))
    for (name, instance), sides in legs.items():
        enter, leave = sides.get("in") or sides.get("only"), sides.get("out") or sides.get("only")
        if enter is not None and leave is not None:
            full = f"{name}/{instance}" if instance else name
            found[name].append(Instance(full, name, enter, leave))
    return {name: tuple(sorted(some, key=lambda one: one.name)) for name, some in found.items()}


def ways_of(
    through: Iterable[str], instances: Mapping[str, tuple[Instance, ...]]
) -> Iterator[tuple[Instance, ...]]:
    """Yield every choice of one appliance for each of some functions, in their order."""
    yield from product(*(instances.get(function, ()) for function in through))


def _serving(inventory: Inventory) -> Iterator[Declared]:
    for host in inventory.hosts.values():
        for bridge in host.bridges.values():
            for port in bridge.ports.values():
                if port.function in inventory.service_functions:
                    yield host.name, bridge.name, port


def _pairs(
    function: ServiceFunction, host: HostName, bridge: BridgeName, port: PortDeclaration
) -> Iterator[Instance]:
    for out, back in zip(function.out_vlans, function.back_vlans, strict=False):
        at = (host, bridge)
        name = f"{function.name}/{host}/{bridge}/{port.name}.{out}"
        yield Instance(name, function.name, Side(at, port.name, out), Side(at, port.name, back))


def owners_of(configuration: Configuration) -> Iterator[tuple[str, TenantName, Rule]]:
    """Yield each function that a rule sends connections through, with the tenant that it then serves."""
    for tenant, tier in _standing(configuration):
        for rule in filter(attrgetter("through"), tier.rules):
            for function in rule.through:
                yield function, tenant, rule


def _standing(configuration: Configuration) -> Iterator[tuple[TenantName, Tier]]:
    """Yield every tier with each tenant that it stands for; a provider's can stand for several."""
    provider = configuration.provider
    for tenant in configuration.tenants.values():
        for tier in tenant.tiers:
            yield tenant.name, tier
        for tier in provider.before + provider.after:
            if tier.tenants is None or tenant.name in tier.tenants:
                yield tenant.name, tier


def check_appliances(configuration: Configuration, notes: Notes) -> None:
    """Refuse a function that serves two tenants, stands twice in a rule, or has too many appliances."""
    declared = configuration.inventory.service_functions.values()
    instances = instances_of(configuration.inventory)
    owners = {one.name: one.tenant for one in declared if one.tenant is not None}
    said = frozenset(owners)
    legs: defaultdict[TenantName, dict[tuple[str, ...], int]] = defaultdict(dict)
    for function, tenant, rule in owners_of(configuration):
        first = owners.setdefault(function, tenant)
        if first != tenant:
            message = f"{function} serves {first} already and cannot tell tenants apart; "
            message += f"give {tenant} a function of its own"
            if function not in said:
                message += f", and say whose this one is: `tenant: {first}`"
            notes.error("shared-function", rule.location, message)
        if rule.through.count(function) > 1:
            message = f"{function} stands twice in `through`; a connection passes it once"
            notes.error("wrong-value", rule.location, message)
        ways = prod(len(instances.get(one, ())) for one in rule.through)
        if ways > MOST_WAYS:
            message = f"{rule.name} can take {ways} ways through its appliances; {MOST_WAYS} is the most"
            notes.error("too-many", rule.location, message)
        _check_legs(tenant, rule, ways, legs[tenant], notes)


def _check_legs(
    tenant: TenantName, rule: Rule, ways: int, legs: dict[tuple[str, ...], int], notes: Notes
) -> None:
    """Refuse the rule with which a tenant has more legs than bridges can tell apart beside others'."""
    if rule.through in legs:
        return
    before = sum(legs.values())
    legs[rule.through] = 2 * ways * len(rule.through)
    if before <= MOST_LEGS < sum(legs.values()):
        message = f"with {rule.name} {tenant} has more than {MOST_LEGS} legs of appliances, each counted on "
        message += "every way through several; name the functions of another rule, in its order"
        notes.error("too-many", rule.location, message)


def check_crossing(configuration: Configuration, notes: Notes) -> None:
    """Tell what bridges leave out between tenants: all that the source's rule asks beside its verdict.

    What a tenant would have inspected (``through``) would pass uninspected: that is an error.
    """
    for tenant in configuration.tenants.values():
        imported = {one.local_name: one.tenant for one in tenant.imports}
        for rule in (rule for tier in tenant.tiers if imported for rule in tier.rules):
            asks = rule.through or rule.mirror or rule.log != "none" or rule.limit
            if asks and rule.action is Action.ALLOW:
                others = {imported[peer.zone] for peer in rule.destinations if peer.zone in imported}
                if others:
                    _left_out(rule, min(others), notes)


def _left_out(rule: Rule, other: TenantName, notes: Notes) -> None:
    why = f" of rule {rule.name!r} for what is {other}'s: between tenants only the destination's rule"
    why += f" asks for that; have {other} say it"
    if rule.through:
        notes.error("not-carried-out", rule.location, f"bridges cannot do `through`{why}")
    asked = {"`mirror`": bool(rule.mirror), "`log`": rule.log != "none", "`limit`": rule.limit is not None}
    words = [word for word, is_asked in asked.items() if is_asked]
    if words:
        several = ", ".join(words[:-1]) + " and " * (len(words) > 1) + words[-1]
        notes.warning("not-carried-out", rule.location, f"bridges leave out {several}{why}")


def check_functions(inventory: Inventory, notes: Notes) -> None:
    """Every function says what its kind needs and has its ports; every VLAN of an uplink is one thing's."""
    legs: dict[str, set[str]] = {}
    for _, _, port in _serving(inventory):
        function = inventory.service_functions[port.function or ""]
        legs.setdefault(function.name, set()).add(port.leg or "uplink")
        _check_kind(port, function, notes)
        if port.role is PortRole.UPLINK:
            _check_vlans(port, function, inventory, notes)
    for function in inventory.service_functions.values():
        needed = {"bump-in-the-wire": {"in", "out"}, "one-armed": {"only"}, "vlan-pair": {"uplink"}}
        missing = sorted(needed[function.kind] - legs.get(function.name, set()))
        if missing and function.kind == "vlan-pair":
            message = f"no uplink has `function: {function.name}`; what goes through it is dropped"
            notes.warning("no-port", function.location, message)
        elif missing:
            what = f"no port is the leg {' or '.join(missing)} of {function.name}"
            notes.warning("no-port", function.location, f"{what}; what goes through it is dropped")
        _check_pairs(function, notes)


def _check_kind(port: PortDeclaration, function: ServiceFunction, notes: Notes) -> None:
    on_uplink = port.role is PortRole.UPLINK
    if (function.kind == "vlan-pair") != on_uplink or port.role not in (PortRole.UPLINK, PortRole.SERVICE):
        where = "an uplink" if function.kind == "vlan-pair" else "a port of role service"
        message = f"{function.name} is a {function.kind}; it is behind {where}, not {port.role.value}"
        notes.error("wrong-value", port.location, message)
    elif on_uplink and (port.leg is not None or port.instance):
        message = "an uplink has no `leg` and no `instance`: the function says its VLANs"
        notes.error("wrong-value", port.location, message)
    elif port.leg is not None and (function.kind == "one-armed") != (port.leg == "only"):
        right = "only" if function.kind == "one-armed" else "in or out"
        message = f"{function.name} is a {function.kind}; its `leg` is {right}"
        notes.error("wrong-value", port.location, message)


def _check_vlans(
    port: PortDeclaration, function: ServiceFunction, inventory: Inventory, notes: Notes
) -> None:
    target = inventory.mirror_targets.get(port.target or "")
    taken = {*(port.vlans or {}), target.vlan if target is not None else 0}
    twice = sorted(taken & {*function.out_vlans, *function.back_vlans})
    if twice:
        message = f"VLAN {twice[0]} of {function.name} is in use on this uplink; give the function its own"
        notes.error("wrong-value", port.location, message)


def _check_pairs(function: ServiceFunction, notes: Notes) -> None:
    vlans = (*function.out_vlans, *function.back_vlans)
    if function.kind == "vlan-pair":
        if not vlans or len(function.out_vlans) != len(function.back_vlans):
            message = "a vlan-pair says both its VLANs, `out` and `back`; of several pairs as many of each"
            notes.error("incomplete", function.location, message)
        elif len(set(vlans)) != len(vlans):
            message = "each VLAN of a vlan-pair is one way: `out` and `back` are all different"
            notes.error("wrong-value", function.location, message)
    elif vlans:
        message = f"`out` and `back` are a vlan-pair's; {function.name} is a {function.kind}"
        notes.error("wrong-value", function.location, message)
    if function.kind != "one-armed" and not isinstance(function.probe, str):
        message = "an address to ask is a one-armed function's; write `through` or `none`"
        notes.error("wrong-value", function.location, message)
