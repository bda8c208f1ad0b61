"""What is wrong with a configuration as a whole, though each name in it exists."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

from zonewall.policy.appliances import check_appliances
from zonewall.policy.model import Configuration, Peer, Rule, Selector, Tenant, Tier
from zonewall.policy.notes import Notes
from zonewall.policy.visibility import check_ambiguous
from zonewall.values.names import TenantName, ZoneName
from zonewall.values.services import ServiceTerm


def check(configuration: Configuration, notes: Notes) -> None:
    """Add what is wrong to the notes: errors that refuse it, warnings for what surely was not meant."""
    for endpoint in configuration.inventory.endpoints.values():
        if endpoint.tenant not in configuration.tenants:
            hint = notes.hint(endpoint.tenant, configuration.tenants, "tenants")
            message = f"{endpoint.tenant!r} is no tenant; {hint}"
            notes.error("unknown-tenant", endpoint.location, message)
    _check_uplinks(configuration, notes)
    check_appliances(configuration, notes)
    for tenant in configuration.tenants.values():
        if _has_cycle(tenant, notes):
            return
        _check_sizes(tenant, notes)
        _check_exported(configuration, tenant, notes)
        for tier in tenant.tiers:
            _check_self(tier, notes)
            _check_shadowed(tier, notes)
    for tier in configuration.provider.before + configuration.provider.after:
        _check_self(tier, notes)
        _check_shadowed(tier, notes)
    if not notes.has_errors:
        check_ambiguous(configuration, notes)


def _check_uplinks(configuration: Configuration, notes: Notes) -> None:
    for host in configuration.inventory.hosts.values():
        for bridge in host.bridges.values():
            for port in bridge.ports.values():
                for owner in (port.vlans or {}).values():
                    if owner not in configuration.tenants:
                        hint = notes.hint(owner, configuration.tenants, "tenants")
                        notes.error("unknown-tenant", port.location, f"{owner!r} is no tenant; {hint}")


def _has_cycle(tenant: Tenant, notes: Notes) -> bool:
    """Say whether a zone is made of itself, and refuse it."""
    done: set[ZoneName] = set()
    for start in tenant.zones:
        stack = [(start, iter(sorted(_named(tenant.zones[start].selector))))]
        path = {start}
        while stack:
            zone, rest = stack[-1]
            following = next((name for name in rest if name in tenant.zones and name not in done), None)
            if following is None:
                stack.pop()
                path.discard(zone)
                done.add(zone)
            elif following in path:
                at = tenant.zones[start].location
                notes.error("cycle", at, f"zone {following!r} is made of itself; write who is in it")
                return True
            else:
                path.add(following)
                stack.append((following, iter(sorted(_named(tenant.zones[following].selector)))))
    return False


def _named(selector: Selector) -> set[ZoneName]:
    found = set(selector.zones or ())
    if selector.excluded is not None:
        found |= _named(selector.excluded)
    return found


def _check_sizes(tenant: Tenant, notes: Notes) -> None:
    """Refuse unions of unions that multiply: who is in a zone must be found quickly."""
    sizes: dict[ZoneName, int] = {}

    def size(name: ZoneName, depth: int) -> int:
        if name not in sizes:
            inner = _named(tenant.zones[name].selector) & tenant.zones.keys()
            sizes[name] = 1 if depth > MOST_LEVELS else 1 + sum(size(one, depth + 1) for one in inner)
            if depth > MOST_LEVELS or sizes[name] > MOST_PARTS:
                at = tenant.zones[name].location
                message = f"zone {name!r} is made of too many zones, or too deep; write who is in it"
                notes.error("too-deep", at, message)
                sizes[name] = 1
        return sizes[name]

    for zone in tenant.zones:
        size(zone, 0)


MOST_LEVELS = 16
"""How deep zones may be made of zones."""

MOST_PARTS = 1000
"""Of how many zones a zone may be made, those within those counted again."""


def _check_exported(configuration: Configuration, tenant: Tenant, notes: Notes) -> None:
    for one in tenant.imports:
        other = configuration.tenants.get(one.tenant)
        if other is not None and not any(e.zone == one.zone and tenant.name in e.to for e in other.exports):
            message = f"{one.tenant} does not export {one.zone} to {tenant.name}; it has to: `export:`"
            notes.error("not-exported", one.location, message)


def _check_self(tier: Tier, notes: Notes) -> None:
    for rule in tier.rules:
        if any(p.kind == "self" for p in rule.destinations) and any(p.kind != "zone" for p in rule.sources):
            message = "`to: self` pairs each zone in `from` with itself; name zones there"
            notes.error("wrong-value", rule.location, message)


def _check_shadowed(tier: Tier, notes: Notes) -> None:
    """Warn of rules that an earlier one of the tier always decides first."""
    most = min(_NEAR, _MOST_COMPARED // (len(tier.rules) or 1))
    before = _Earlier()
    for rule in tier.rules:
        alike = before.that_may_cover(rule, most) if most else ()
        earlier = next((one for _, one in alike if _covers(one, rule)), None)
        if earlier is not None:
            message = f"rule {rule.name!r} is never reached: {earlier.name!r} decides all of it before"
            notes.warning("unreachable-rule", rule.location, message)
        before.add(rule)


_NEAR = 300
_MOST_COMPARED = 1_500_000
"""How many rules a rule is held against at most, and how many pairs; `zonewall lint` looks at all."""

_ANY = Peer("any")
_MOST_PAIRS = 64


class _Earlier:
    """The rules so far, by whom they name: one that covers another names its first peers, or `any`."""

    def __init__(self) -> None:
        self._count = 0
        self._by_pair: dict[tuple[Peer, Peer], list[tuple[int, Rule]]] = {}
        self._wide: list[tuple[int, Rule]] = []

    def add(self, rule: Rule) -> None:
        """Take a rule; one that names very many is held against every later one."""
        numbered = self._count, rule
        self._count += 1
        if rule.hours is not None or rule.expires is not None:
            return
        if len(rule.sources) * len(rule.destinations) > _MOST_PAIRS:
            self._wide.append(numbered)
            return
        for source in dict.fromkeys(rule.sources):
            for destination in dict.fromkeys(rule.destinations):
                self._by_pair.setdefault((source, destination), []).append(numbered)

    def that_may_cover(self, rule: Rule, most: int) -> list[tuple[int, Rule]]:
        """Return rules before this one that may decide all of it: the last ``most``, the first one first."""
        if not rule.sources or not rule.destinations:
            return []
        found = dict(self._wide[-most:])
        for source in (rule.sources[0], _ANY):
            for destination in (rule.destinations[0], _ANY):
                found.update(self._by_pair.get((source, destination), [])[-most:])
        return sorted(found.items(), key=itemgetter(0))[-most:]


def _covers(first: Rule, second: Rule) -> bool:
    return (
        _peers_cover(first.sources, second.sources)
        and _peers_cover(first.destinations, second.destinations)
        and _services_cover(first.services, second.services)
    )


def _peers_cover(first: tuple[Peer, ...], second: tuple[Peer, ...]) -> bool:
    if _ANY in first:
        return True
    return "self" not in {p.kind for p in (*first, *second)} and set(second) <= set(first)


def _services_cover(first: tuple[ServiceTerm, ...], second: tuple[ServiceTerm, ...]) -> bool:
    return not first or (bool(second) and all(any(_term_covers(a, b) for a in first) for b in second))


def _term_covers(first: ServiceTerm, second: ServiceTerm) -> bool:
    if first.protocol is not None and first.protocol != second.protocol:
        return False
    if first.icmp_type is not None and (first.icmp_type, first.icmp_code) != (
        second.icmp_type,
        second.icmp_code if first.icmp_code is not None else None,
    ):
        return False
    return _ranges_cover(first.ports, second.ports) and _ranges_cover(first.source_ports, second.source_ports)


def _ranges_cover(first: tuple[tuple[int, int], ...], second: tuple[tuple[int, int], ...]) -> bool:
    if not first:
        return True
    return bool(second) and all(any(a <= c and d <= b for a, b in first) for c, d in second)


def empty_zones(configuration: Configuration) -> Iterator[tuple[Tenant, ZoneName]]:
    """Yield zones that ask for labels that no endpoint of the tenant has."""
    keys: dict[TenantName, set[tuple[str, str]]] = {}
    for endpoint in configuration.inventory.endpoints.values():
        keys.setdefault(endpoint.tenant, set()).update((endpoint.labels or {}).items())
    for tenant in configuration.tenants.values():
        there = keys.get(tenant.name, set())
        for name, zone in tenant.zones.items():
            for key, values in (zone.selector.labels or {}).items():
                if not any(k == key and ("*" in values or v in values) for k, v in there):
                    yield tenant, name
                    break
