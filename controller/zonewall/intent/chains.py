"""Service functions: the appliances behind them and where their legs are, seen from one bridge."""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.chain_model import Chain, ChainPath, Hop, Leg
from zonewall.intent.fleet import Fleet
from zonewall.intent.numbering import Kind
from zonewall.intent.ways import Way, chain_name, chains_of, leg_name, ways
from zonewall.placement.appliance_probe import card_of
from zonewall.placement.model import BridgeKey
from zonewall.policy.appliances import Instance, instances_of, owners_of
from zonewall.policy.inventory import Attachment, ServiceFunction

ETH_PROBE = 0x88B5
"""Ethernet type of probes through an appliance: IEEE Std 802, Local Experimental Ethertype 1."""

ETH_ARP = 0x0806


def chains_on(fleet: Fleet, key: BridgeKey) -> tuple[Chain, ...]:
    """Return every chain that a connection here may be sent through, or whose functions have a port here."""
    policy = fleet.policy
    chains = chains_of(policy.modified)
    if not chains:
        return ()
    inventory = policy.configuration.inventory
    instances = instances_of(inventory)
    owners = {function: tenant for function, tenant, _ in owners_of(policy.configuration)}
    legs = _Legs(fleet, key)
    result = []
    for through in chains:
        tenant = owners[through[0]]
        functions = [inventory.service_functions[function] for function in through]
        result.append(
            Chain(
                number=policy.number(Kind.CHAIN, chain_name(through)),
                tenant=policy.number(Kind.TENANT, tenant),
                bank=policy.number(Kind.BANK, tenant),
                paths=tuple(legs.path(way, functions) for way in ways(through, instances)),
                bypass=all(function.when_down == "bypass" for function in functions),
                at_client=legs.at_client,
            )
        )
    return tuple(result)


def leg_places(fleet: Fleet) -> Iterator[tuple[str, BridgeKey]]:
    """Yield every leg by the name that its destination is numbered under, with its bridge."""
    chains = chains_of(fleet.policy.modified)
    instances = instances_of(fleet.policy.configuration.inventory) if chains else {}
    for through in chains:
        for way in ways(through, instances):
            for place, instance in enumerate(way.instances):
                yield leg_name(way, place, "enter"), BridgeKey(*instance.enter.bridge)
                yield leg_name(way, place, "leave"), BridgeKey(*instance.leave.bridge)


class _Legs:
    """Makes legs as one bridge sees them."""

    def __init__(self, fleet: Fleet, key: BridgeKey) -> None:
        self._policy = fleet.policy
        self._away = fleet.placement.away
        self._key = key
        declared = fleet.policy.configuration.inventory.hosts[key.host].bridges[key.bridge]
        self.at_client = declared.attachment is Attachment.UNDERLAY
        self._index = fleet.policy.number(Kind.BRIDGE_ON_HOST, key.bridge, scope=key.host)
        self._ports = {
            (bridge, port.name): ofport for bridge, ports in fleet.ports.items() for port, ofport in ports
        }

    def path(self, way: Way, functions: list[ServiceFunction]) -> ChainPath:
        """Return a way through a chain; usable while every appliance works, has its ports and is in reach."""
        hops = []
        usable = bool(way.instances)
        for place, (instance, function) in enumerate(zip(way.instances, functions, strict=True)):
            sides = (instance.enter, instance.leave)
            present = all((side.bridge, side.port) in self._ports for side in sides)
            reached = not self.at_client or all(side.bridge == self._key for side in sides)
            usable = usable and present and reached and instance.name not in self._away
            zone = self._index << 12 | self._policy.number(Kind.DOMAIN, f"function:{function.name}")
            hops.append(
                Hop(
                    self._leg(instance, "enter", leg_name(way, place, "enter"), zone, function),
                    self._leg(instance, "leave", leg_name(way, place, "leave"), zone, function),
                )
            )
        number, alias = (self._policy.number(kind, way.name) for kind in (Kind.CHAIN, Kind.TENANT))
        return ChainPath(number, alias, tuple(hops), usable)

    def _leg(self, instance: Instance, name: str, number: str, zone: int, function: ServiceFunction) -> Leg:
        side, other = instance.enter, "leave"
        if name == "leave":
            side, other = instance.leave, "enter"
        here = self._ports.get((BridgeKey(*side.bridge), side.port)) if side.bridge == self._key else None
        heard = {"through": ETH_PROBE, "none": 0}.get(str(function.probe), ETH_ARP)
        cards = (0, 0)
        if side.vlan:
            own, far = (int.from_bytes(card_of(instance.name, one), "big") for one in (name, other))
            cards = own, far
        return Leg(here, self._policy.number(Kind.DESTINATION, number), zone, side.vlan, heard, cards)
