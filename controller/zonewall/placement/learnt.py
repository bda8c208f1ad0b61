"""Addresses that the inventory does not give: granted by DHCP, heard from the endpoint, or taken over.

They are laid over the configuration: a granted address is one of the endpoint's own, as if the inventory
gave it; one that was merely heard, and one that is shared (in several endpoints' ``ranges``) and taken over,
may be used and puts its endpoint into no zone (docs/policy-reference.md, "Zones").
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from zonewall.placement.binding_map import FrozenMap
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Configuration
from zonewall.policy.neighbours import Neighbours
from zonewall.values.addresses import IpAddress, IpPrefix, MacAddress, host_prefix, is_host_address
from zonewall.values.names import EndpointKey, TenantName

MOST_HEARD = {4: 1, 6: 4}
"""How many addresses of a version an endpoint may be heard with."""

MOST_GRANTED = {4: 8, 6: 16}
"""How many addresses of a version DHCP servers may grant an endpoint: each is flows on all its bridges."""


class Source(Enum):
    """How an address became an endpoint's."""

    DHCP = "dhcp"
    HEARD = "heard"  # its first ARP or neighbour discovery, where the tenant allows that
    CLAIMED = "claimed"  # shared, and announced by one of those who may have it


@dataclass(frozen=True, slots=True)
class Learnt:
    """An address of an endpoint; ``until`` in seconds since 1970, None for as long as it has a port."""

    endpoint: EndpointKey
    address: IpAddress
    source: Source
    until: float | None = None


Entries = FrozenMap[tuple[TenantName, IpAddress], Learnt]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What came of hearing of an address.

    Attributes:
        gained: the address is this endpoint's from now on; None where nothing changed.
        lost_by: whose it was until now.
        refused: why it is not believed; empty where it is, or was known.
        renewed: only its end changed: nothing has to be done on any bridge.
    """

    gained: Learnt | None = None
    lost_by: EndpointKey | None = None
    refused: str = ""
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class Grounds:
    """What documents say of addresses, found at once: a server may speak of many, and as often as it likes.

    Attributes:
        askers: by tenant and MAC, the first endpoint that the inventory gives no address.
        given: by tenant and address, whose it is by the inventory, or who may take it over.
        neighbours: who reaches endpoints of other tenants.
    """

    askers: Mapping[tuple[TenantName, MacAddress], EndpointKey]
    given: Mapping[tuple[TenantName, IpPrefix], EndpointKey]
    neighbours: Neighbours

    @staticmethod
    def of(configuration: Configuration, neighbours: Neighbours | None = None) -> Grounds:
        """Return the grounds of documents, with or without learnt addresses laid over them.

        ``neighbours``: the documents', where they are known.
        """
        askers: dict[tuple[TenantName, MacAddress], EndpointKey] = {}
        given: dict[tuple[TenantName, IpPrefix], EndpointKey] = {}
        for one in configuration.inventory.endpoints.values():
            if one.unaddressed or not one.ips:
                askers.setdefault((one.tenant, one.mac), one.key)
                continue
            for prefix in (*map(host_prefix, one.ips), *one.ranges, *one.claims):
                given.setdefault((one.tenant, prefix), one.key)
        return Grounds(askers, given, neighbours or Neighbours.of(configuration))

    def owner(self, tenant: TenantName, address: IpAddress) -> EndpointKey | None:
        """Return whose an address is by the inventory, or who may take it over."""
        return self.given.get((tenant, host_prefix(address)))


@dataclass(frozen=True, slots=True)
class AddressBook:
    """All learnt addresses, by tenant and address: each is one endpoint's.

    Attributes:
        owned: the same by their endpoints, each one's oldest first.
        holders: by address, whose it is in each tenant.
    """

    entries: Entries = field(default_factory=FrozenMap)
    owned: FrozenMap[EndpointKey, tuple[Learnt, ...]] = field(default_factory=FrozenMap)
    holders: FrozenMap[IpAddress, tuple[EndpointKey, ...]] = field(default_factory=FrozenMap, compare=False)

    @staticmethod
    def of(learnt: Iterable[Learnt]) -> AddressBook:
        """Return the book with these in it."""
        entries = {(_tenant(one.endpoint), one.address): one for one in learnt}
        owned: dict[EndpointKey, tuple[Learnt, ...]] = {}
        holders: dict[IpAddress, tuple[EndpointKey, ...]] = {}
        for one in entries.values():
            owned[one.endpoint] = (*owned.get(one.endpoint, ()), one)
            holders[one.address] = (*holders.get(one.address, ()), one.endpoint)
        return AddressBook(FrozenMap.of(entries), FrozenMap.of(owned), FrozenMap.of(holders))

    def granted(
        self,
        grounds: Grounds,
        tenant: TenantName,
        mac: MacAddress,
        address: IpAddress,
        until: float | None,
    ) -> tuple[AddressBook, Lesson]:
        """Take a server's word: the address is the endpoint's with that MAC; it may have been another's."""
        endpoint = grounds.askers.get((tenant, mac))
        if endpoint is None:
            return self, Lesson()
        owner = grounds.owner(tenant, address)
        if owner is not None:
            return self, Lesson(refused=f"{address} is {owner}'s by the inventory, granted to {endpoint}")
        others = [one for one in self._alike(endpoint, address) if one.source is Source.DHCP]
        if len(others) >= MOST_GRANTED[address.version]:
            return self, Lesson(refused=f"{endpoint} was granted {len(others)}; {address} is one more")
        return self._learning(grounds, Learnt(endpoint, address, Source.DHCP, until), "granted to")

    def heard(
        self, grounds: Grounds, endpoint: EndpointDeclaration, address: IpAddress
    ) -> tuple[AddressBook, Lesson]:
        """Take an endpoint's word for an address: a shared one that it may have, or its first."""
        prefix = host_prefix(address)
        if prefix in endpoint.claims:
            return self._with(Learnt(endpoint.key, address, Source.CLAIMED))
        if not endpoint.learns:
            return self, Lesson(refused=f"{address} is not {endpoint.key}'s")
        if not is_host_address(address) or address.is_link_local:
            return self, Lesson()
        owner = grounds.owner(endpoint.tenant, address)
        known = self.entries.get((endpoint.tenant, address))
        if owner is not None or (known is not None and known.endpoint != endpoint.key):
            whose = owner if owner is not None else known.endpoint if known is not None else ""
            return self, Lesson(refused=f"{address} is {whose}'s, announced by {endpoint.key}")
        mine = self._alike(endpoint.key, address)
        if known is None and len(mine) >= MOST_HEARD[address.version]:
            return self, Lesson(
                refused=f"{endpoint.key} has {mine[0].address} already; {address} is one more"
            )
        return self._learning(grounds, Learnt(endpoint.key, address, Source.HEARD), "announced by")

    def of_endpoint(self, endpoint: EndpointKey) -> tuple[Learnt, ...]:
        """Return an endpoint's learnt addresses, the oldest first."""
        return self.owned.get(endpoint, ())

    def in_order(self) -> tuple[Learnt, ...]:
        """Return all of them, each endpoint's oldest first."""
        return tuple(one for some in self.owned.values() for one in some)

    def without(self, gone: Iterable[Learnt]) -> AddressBook:
        """Return the book without some."""
        book = self
        for one in gone:
            book = book._forgetting((_tenant(one.endpoint), one.address))
        return book

    def over(self, now: float) -> tuple[Learnt, ...]:
        """Return what is not granted any more."""
        return tuple(one for one in self.in_order() if one.until is not None and one.until <= now)

    def unfounded(self, configuration: Configuration) -> tuple[Learnt, ...]:
        """Return what a configuration leaves no ground for: endpoint gone, address given to somebody."""
        if not self.entries:
            return ()
        endpoints = configuration.inventory.endpoints
        given = {(one.tenant, ip) for one in endpoints.values() for ip in one.ips}
        return tuple(
            one
            for one in self.in_order()
            if one.endpoint not in endpoints
            or (_tenant(one.endpoint), one.address) in given
            or not _may_have(endpoints[one.endpoint], one)
        )

    def contested(self, neighbours: Neighbours) -> tuple[Learnt, ...]:
        """Return what lies with another tenant's endpoint for somebody who reaches both, the later of two."""
        if not neighbours.ways:
            return ()
        kept, gone = AddressBook(), []
        for one in self.in_order():
            if kept._rival(neighbours, one) is None:
                kept = kept._with(one)[0]
            else:
                gone.append(one)
        return tuple(gone)

    def _learning(self, grounds: Grounds, learnt: Learnt, how: str) -> tuple[AddressBook, Lesson]:
        """Learn an address, unless it is another tenant's for somebody who reaches both."""
        known = self.entries.get((_tenant(learnt.endpoint), learnt.address))
        if known is None or (known.endpoint, known.source) != (learnt.endpoint, learnt.source):
            rival = self._rival(grounds.neighbours, learnt)
            if rival is not None:
                said = f"{learnt.address} is {rival}'s, whom somebody could reach as well"
                return self, Lesson(refused=f"{said}, {how} {learnt.endpoint}")
        return self._with(learnt)

    def _rival(self, neighbours: Neighbours, learnt: Learnt) -> EndpointKey | None:
        def learnt_by(address: IpAddress) -> Iterator[EndpointDeclaration]:
            for key in self.holders.get(address, ()):
                one = self._declared(neighbours, key)
                if one is not None:
                    yield one

        before = self._declared(neighbours, learnt.endpoint) if neighbours.ways else None
        after = self._declared(neighbours, learnt.endpoint, learnt)
        if before is None or after is None:
            return None
        return neighbours.rival(before, after, learnt.address, learnt_by)

    def _declared(
        self, neighbours: Neighbours, key: EndpointKey, *more: Learnt
    ) -> EndpointDeclaration | None:
        """Return an endpoint with what it has learnt; None: there is none."""
        endpoint = neighbours.endpoints.get(key)
        if endpoint is None:
            return None
        mine = (*self.of_endpoint(key), *more)
        ips = (one.address for one in mine if one.source is Source.DHCP)
        others = (host_prefix(one.address) for one in mine if one.source is Source.HEARD)
        return replace(
            endpoint,
            ips=(*endpoint.ips, *ips),
            ranges=(*endpoint.ranges, *others),
            unaddressed=not endpoint.ips,
        )

    def _with(self, learnt: Learnt) -> tuple[AddressBook, Lesson]:
        key = (_tenant(learnt.endpoint), learnt.address)
        known = self.entries.get(key)
        if known == learnt:
            return self, Lesson()
        if known is not None and (known.endpoint, known.source) == (learnt.endpoint, learnt.source):
            mine = tuple(
                learnt if one.address == learnt.address else one for one in self.of_endpoint(learnt.endpoint)
            )
            return self._holding(learnt, mine), Lesson(renewed=True)
        rest = self._forgetting(key)
        book = rest._holding(learnt, (*rest.of_endpoint(learnt.endpoint), learnt))
        return book, Lesson(learnt, None if known is None else known.endpoint)

    def _alike(self, endpoint: EndpointKey, address: IpAddress) -> list[Learnt]:
        """Return what else an endpoint has of an address's version."""
        mine = self.of_endpoint(endpoint)
        return [one for one in mine if one.address.version == address.version and one.address != address]

    def _holding(self, learnt: Learnt, mine: tuple[Learnt, ...]) -> AddressBook:
        key = (_tenant(learnt.endpoint), learnt.address)
        there = self.holders.get(learnt.address, ())
        if learnt.endpoint not in there:
            there = (*there, learnt.endpoint)
        return AddressBook(
            self.entries.put(key, learnt),
            self.owned.put(learnt.endpoint, mine),
            self.holders.put(learnt.address, there),
        )

    def _forgetting(self, key: tuple[TenantName, IpAddress]) -> AddressBook:
        known = self.entries.get(key)
        if known is None:
            return self
        left = tuple(one for one in self.of_endpoint(known.endpoint) if one.address != known.address)
        owned = self.owned.put(known.endpoint, left) if left else self.owned.drop(known.endpoint)
        others = tuple(one for one in self.holders.get(known.address, ()) if one != known.endpoint)
        address = known.address
        holders = self.holders.put(address, others) if others else self.holders.drop(address)
        return AddressBook(self.entries.drop(key), owned, holders)


def laid_over(configuration: Configuration, book: AddressBook) -> Configuration:
    """Return the configuration as it is with the learnt addresses.

    A single address in the ``ranges`` of several stays with the one that holds it; the others may claim it.
    """
    shared = _shared(configuration)
    endpoints = dict(configuration.inventory.endpoints)
    is_any = bool(book.owned)
    for key, endpoint in endpoints.items():
        mine = book.of_endpoint(key) if is_any else ()
        if endpoint.ips and not endpoint.ranges and not mine:
            continue
        common = tuple(prefix for prefix in endpoint.ranges if prefix in shared.get(endpoint.tenant, ()))
        if not (mine or common or not endpoint.ips):
            continue
        held = {host_prefix(one.address) for one in mine if one.source is Source.CLAIMED}
        heard = tuple(host_prefix(one.address) for one in mine if one.source is Source.HEARD)
        own = tuple(prefix for prefix in endpoint.ranges if prefix not in common or prefix in held)
        tenant = configuration.tenants.get(endpoint.tenant)
        endpoints[key] = replace(
            endpoint,
            ips=(*endpoint.ips, *(one.address for one in mine if one.source is Source.DHCP)),
            ranges=(*own, *heard),
            claims=tuple(prefix for prefix in common if prefix not in held),
            unaddressed=not endpoint.ips,
            learns=not endpoint.ips and tenant is not None and tenant.learn_addresses,
        )
    return replace(configuration, inventory=replace(configuration.inventory, endpoints=endpoints))


_ARP = struct.Struct("!HHBBH6s4s6s4s")


def heard_address(frame: bytes) -> tuple[MacAddress, IpAddress] | None:
    """Return the sender of an ARP frame or a neighbour discovery message, and its or the told address."""
    ethertype, body = int.from_bytes(frame[12:14], "big"), frame[14:]
    sender = MacAddress(int.from_bytes(frame[6:12], "big"))
    if ethertype == 0x0806 and len(body) >= _ARP.size:
        *header, _, hardware, source, _, _ = _ARP.unpack_from(body)
        address: IpAddress = ipaddress.IPv4Address(source)
        if header == [1, 0x0800, 6, 4] and int.from_bytes(hardware, "big") == sender and int(address):
            return sender, address
        return None
    if ethertype != 0x86DD or len(body) < 64 or body[6] != 58 or body[7] != 255:
        return None
    if body[40] == 135 and any(body[8:24]):
        return sender, ipaddress.IPv6Address(body[8:24])
    return (sender, ipaddress.IPv6Address(body[48:64])) if body[40] == 136 else None


def _may_have(endpoint: EndpointDeclaration, learnt: Learnt) -> bool:
    if learnt.source is Source.CLAIMED:
        return host_prefix(learnt.address) in endpoint.ranges
    return not endpoint.ips


def _shared(configuration: Configuration) -> dict[TenantName, frozenset[IpPrefix]]:
    """Return the single addresses that several endpoints of a tenant may use."""
    seen: dict[TenantName, set[IpPrefix]] = {}
    shared: dict[TenantName, set[IpPrefix]] = {}
    for endpoint in configuration.inventory.endpoints.values():
        if not endpoint.ranges:
            continue
        known = seen.setdefault(endpoint.tenant, set())
        for prefix in endpoint.ranges:
            if prefix.prefixlen == prefix.max_prefixlen and prefix in known:
                shared.setdefault(endpoint.tenant, set()).add(prefix)
            known.add(prefix)
    return {tenant: frozenset(prefixes) for tenant, prefixes in shared.items()}


def _tenant(endpoint: EndpointKey) -> TenantName:
    return TenantName(endpoint.partition("/")[0])
