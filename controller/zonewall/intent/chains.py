"""Service functions: where their ports are, seen from one bridge."""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.errors import CompileError
from zonewall.intent.fleet import Fleet
from zonewall.intent.model import Chain, Hop, Leg
from zonewall.intent.numbering import Kind
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import PortRole
from zonewall.policy.model import Configuration, Tier
from zonewall.values.names import TenantName


def chains_on(fleet: Fleet, key: BridgeKey) -> tuple[Chain, ...]:
    """Return every chain that a connection here may be sent through, or whose functions have a port here."""
    policy = fleet.policy
    inventory = policy.configuration.inventory
    owners = _owners(policy.configuration)
    legs: dict[tuple[str, str], tuple[BridgeKey, int]] = {}
    for bridge, ports in sorted(fleet.ports.items()):
        for port, ofport in ports:
            if port.role is PortRole.SERVICE and port.function is not None and port.leg is not None:
                legs.setdefault((port.function, port.leg), (bridge, ofport))
    index = policy.number(Kind.BRIDGE_ON_HOST, key.bridge, scope=key.host)
    result = []
    for name, rule in policy.modified:
        if not rule.through:
            continue
        hops = []
        bypass = True
        for place, function in enumerate(rule.through):
            zone = index << 12 | policy.number(Kind.DOMAIN, f"function:{function}")
            sides = [legs.get((function, leg)) or legs.get((function, "only")) for leg in ("in", "out")]
            bypass = bypass and inventory.service_functions[function].when_down == "bypass"
            hops.append(
                Hop(
                    *(
                        Leg(
                            at[1] if at is not None and at[0] == key else None,
                            policy.number(Kind.DESTINATION, f"leg:{name}#{place}/{side}"),
                            zone,
                        )
                        for at, side in zip(sides, ("enter", "leave"), strict=True)
                    )
                )
            )
            if None in sides:
                break
        tenant = owners[rule.through[0]]
        result.append(
            Chain(
                number=policy.number(Kind.CHAIN, name),
                tenant=policy.number(Kind.TENANT, tenant),
                bank=policy.number(Kind.BANK, tenant),
                hops=tuple(hops),
                usable=None not in sides,
                bypass=bypass,
            )
        )
    return tuple(result)


def _owners(configuration: Configuration) -> dict[str, TenantName]:
    """Return the one tenant that each service function serves.

    Raises:
        CompileError: two tenants use one function, whose untagged legs cannot tell them apart.
    """
    owners: dict[str, TenantName] = {}
    for tenant, tier in _standing(configuration):
        for function in (function for rule in tier.rules for function in rule.through):
            first = owners.setdefault(function, tenant)
            if first != tenant:
                raise CompileError(
                    f"service function {function} is used by {first} and {tenant}; "
                    "give each tenant a function of its own"
                )
    return owners


def _standing(configuration: Configuration) -> Iterator[tuple[TenantName, Tier]]:
    """Yield every tier with each tenant that it stands for; a provider's can stand for several."""
    provider = configuration.provider
    for tenant in configuration.tenants.values():
        for tier in tenant.tiers:
            yield tenant.name, tier
        for tier in provider.before + provider.after:
            if tier.tenants is None or tenant.name in tier.tenants:
                yield tenant.name, tier
