"""What the names in a document stand for: services, peers, and whatever must be there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from zonewall.policy.inventory import Inventory
from zonewall.policy.model import Peer
from zonewall.policy.notes import Notes, quoted
from zonewall.policy.service_terms import BUILT_IN, ServiceEntry, ServiceName
from zonewall.policy.yamltree import Path, Tree
from zonewall.values.names import TenantName, ZoneName
from zonewall.values.services import ServiceTerm

PEER_WORDS = ("any", "external", "self")
"""Peers that are no zone."""

MOST_LEVELS = 16
"""How deep services may be made of services."""

MOST_TERMS = 1000
"""How many alternatives a service may have: ranges of ports, ICMP types, protocols."""

MOST_TERMS_IN_ALL = 1_000_000
"""How many alternatives all services and rules may have, those of a service counted wherever it is named."""


@dataclass(slots=True)
class Spent:
    """How many alternatives of services the documents have so far."""

    terms: int = 0


@dataclass(frozen=True, slots=True)
class Names:
    """What a document may refer to.

    Attributes:
        zones: by tenant; a tenant's own include the local names of its imports.
        own_zones: by tenant, without those.
        endpoints: names by tenant.
        spent: counted up by who reads documents.
    """

    inventory: Inventory
    zones: Mapping[str, frozenset[str]]
    own_zones: Mapping[str, frozenset[str]]
    endpoints: Mapping[str, Collection[str]]
    spent: Spent = field(default_factory=Spent)


@dataclass(slots=True)
class Lookup:
    """Finds what a document's words name: services, peers and everything else that must be there."""

    tree: Tree
    names: Names
    notes: Notes
    tenant: str | None
    services: dict[str, tuple[ServiceTerm, ...]] = field(default_factory=dict)
    _measured: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of each service: of how many levels it is made, how many alternatives it has."""

    def define_services(self, written: Mapping[str, tuple[ServiceEntry, ...]]) -> None:
        """Take the services of the document, which may name each other."""
        for name in written:
            if name in BUILT_IN:
                message = f"{name!r} is a service already; choose another name"
                self.notes.error("duplicate-name", self.tree.at_key("services", name), message)
            self._define(name, written, ())

    def _define(
        self, name: str, written: Mapping[str, tuple[ServiceEntry, ...]], above: tuple[str, ...]
    ) -> None:
        if name in self.services:
            return
        if len(above) > MOST_LEVELS:
            self._refuse(name, "too-deep", f"stands within {MOST_LEVELS} others; write what they are")
            return
        if name in above:
            self._refuse(name, "cycle", "is made of itself; write what it is")
            return
        terms: dict[ServiceTerm, None] = {}
        levels = 0
        for entry in written[name]:
            if isinstance(entry, ServiceTerm):
                terms[entry] = None
                self._count(_size(entry), ("services", name))
            elif entry.name in written:
                self._define(entry.name, written, (*above, name))
                inner, size = self._measured[entry.name]
                self._count(size, ("services", name))
                terms.update(dict.fromkeys(self.services[entry.name]))
                levels = max(levels, 1 + inner)
            else:
                self._unknown_service(entry, ("services", name))
        size = sum(map(_size, terms))
        if levels > MOST_LEVELS:
            why = f"is made of services more than {MOST_LEVELS} levels deep; write what it is"
            self._refuse(name, "too-deep", why)
        elif size > MOST_TERMS:
            self._refuse(name, "too-large", f"has more than {MOST_TERMS} alternatives; write ranges of ports")
        else:
            self.services[name], self._measured[name] = tuple(terms), (levels, size)

    def _refuse(self, name: str, code: str, why: str) -> None:
        """Note why a service cannot be used; what names it is no error besides."""
        self.notes.error(code, self.tree.at_key("services", name), f"service {name!r} {why}")
        self.services[name], self._measured[name] = (), (-MOST_LEVELS - 1, 0)

    def _count(self, size: int, path: Path) -> None:
        """Count alternatives of services.

        Raises:
            Enough: there are too many of them.
        """
        self.names.spent.terms += size
        if self.names.spent.terms > MOST_TERMS_IN_ALL:
            message = (
                f"up to here services and rules have more than {MOST_TERMS_IN_ALL} alternatives of services"
            )
            self.notes.give_up("too-large", self.tree.at(*path), f"{message}; write ranges of ports")

    def terms(self, entries: Iterable[ServiceEntry] | None, path: Path) -> tuple[ServiceTerm, ...]:
        """Return the alternatives of a rule's services; empty is every protocol."""
        terms: list[ServiceTerm] = []
        for entry in entries or ():
            if isinstance(entry, ServiceTerm):
                terms.append(entry)
                self._count(_size(entry), path)
            elif entry.name in self.services:
                terms.extend(self.services[entry.name])
                self._count(self._measured[entry.name][1], path)
            else:
                self._unknown_service(entry, path)
        return () if any(term.protocol is None for term in terms) else tuple(dict.fromkeys(terms))

    def _unknown_service(self, entry: ServiceName, path: Path) -> None:
        hint = self.notes.hint(entry.name, self.services, "services of this document")
        message = f"{entry.name!r} is no service; {hint}, or write it as tcp/443"
        self.notes.error("unknown-service", self.tree.at(*path), message)

    def peers(self, written: Iterable[str], path: Path) -> tuple[Peer, ...]:
        """Return the peers of one side."""
        return tuple(peer for text in written if (peer := self._peer(text, path)) is not None)

    def _peer(self, text: str, path: Path) -> Peer | None:
        if text in PEER_WORDS:
            kind: Literal["any", "external", "self"] = text  # type: ignore[assignment]
            if text == "self" and path[-1] != "to":
                self.notes.error("wrong-value", self.tree.at(*path), "`self` stands in `to` only")
                return None
            return Peer(kind)
        owner, slash, zone = text.rpartition("/")
        if slash and self.tenant is None:
            return self._provider_peer(owner, zone, path)
        if slash:
            message = f"{quoted(text)}: another tenant's zone has to be imported; name it by its `as`"
            self.notes.error("unknown-zone", self.tree.at(*path), message)
            return None
        known = self.names.zones.get(self.tenant or "", frozenset())
        if self.tenant is None:
            message = f"{quoted(text)}: in a provider's rules a zone is written tenant/zone, or */any"
            self.notes.error("unknown-zone", self.tree.at(*path), message)
            return None
        if text not in known:
            hint = self.notes.hint(text, [*known, *PEER_WORDS], "zones")
            message = f"{text!r} is no zone of {self.tenant}; {hint}"
            self.notes.error("unknown-zone", self.tree.at(*path), message)
            return None
        return Peer("zone", ZoneName(text))

    def _provider_peer(self, owner: str, zone: str, path: Path) -> Peer | None:
        if owner != "*" and owner not in self.names.zones:
            hint = self.notes.hint(owner, self.names.zones, "tenants")
            self.notes.error("unknown-tenant", self.tree.at(*path), f"{owner!r} is no tenant; {hint}")
            return None
        tenant: TenantName | Literal["*"] = "*" if owner == "*" else TenantName(owner)
        if zone in ("any", "external"):
            return Peer("any" if zone == "any" else "external", None, tenant)
        own = self.names.own_zones
        known = frozenset[str]().union(*own.values()) if owner == "*" else own[owner]
        if zone not in known:
            hint = self.notes.hint(zone, known, "zones")
            self.notes.error("unknown-zone", self.tree.at(*path), f"{zone!r} is no zone of {owner}; {hint}")
            return None
        return Peer("zone", ZoneName(zone), tenant)

    def known(self, names: Iterable[str], there: Collection[str], what: str, path: Path) -> tuple[str, ...]:
        """Return names that must be among others."""
        for name in names:
            if name not in there:
                hint = self.notes.hint(name, there, f"{what}s")
                self.notes.error("unknown-name", self.tree.at(*path), f"{name!r} is no {what}; {hint}")
        return tuple(names)


def _size(term: ServiceTerm) -> int:
    """Return for how many alternatives one counts: each range of ports with each of source ports."""
    return (len(term.ports) or 1) * (len(term.source_ports) or 1)
