"""Who the peers of a rule are, as identities, in the bank where the rule stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zonewall.intent.banks import EVERYBODY, Crowd
from zonewall.intent.identity import Directory
from zonewall.policy.model import Configuration, MirrorRule, Peer, Tenant
from zonewall.values.names import TenantName, ZoneName


@dataclass(frozen=True, slots=True)
class View:
    """One side of a connection as the rules of a tenant (None: the provider) see it.

    Attributes:
        reader: whose rules are read.
        owner: the tenant of the side's endpoint, or of the view that an outside address is seen in.
        crossing: the connection's other end is another tenant's.
    """

    reader: Tenant | None
    owner: Tenant
    crossing: bool


def crowd(directory: Directory, view: View, peers: Iterable[Peer]) -> Crowd:
    """Return who the peers are on this side."""
    return union(_one(directory, view, peer) for peer in peers)


def union(crowds: Iterable[Crowd]) -> Crowd:
    """Return everybody who is in any of the crowds, in the shortest form."""
    inside = outside = False
    names: set[str] = set()
    for each in crowds:
        if each.everybody:
            return EVERYBODY
        inside |= each.inside
        outside |= each.outside
        names |= each.identities
    if inside and outside:
        return EVERYBODY
    kept = frozenset(name for name in names if not (outside if is_outside_name(name) else inside))
    return Crowd(inside=inside, outside=outside, identities=kept)


def both(one: Crowd, names: frozenset[str]) -> Crowd:
    """Return who is in the crowd and among the named identities."""
    if one.everybody:
        return Crowd(identities=names)
    return Crowd(
        identities=frozenset(
            name
            for name in names
            if name in one.identities or (one.outside if is_outside_name(name) else one.inside)
        )
    )


def inside(one: Crowd) -> Crowd:
    """Return the endpoints in a crowd: who agreed on something between tenants is never the outside."""
    if one.everybody:
        return Crowd(inside=True)
    names = frozenset(name for name in one.identities if not is_outside_name(name))
    return Crowd(inside=one.inside, identities=names)


def is_outside_name(name: str) -> bool:
    """Say whether an identity's name is one of outside addresses (``tenant!{...}``)."""
    return "!{" in name


def monitored_identities(directory: Directory, tenant: Tenant) -> frozenset[str]:
    """Return the identities in any zone of the tenant that is in monitor mode."""
    return frozenset(
        identity.name
        for name, zone in tenant.zones.items()
        if zone.mode.value == "monitor"
        for identity in directory.by_zone.get((tenant.name, name), ())
        if identity.tenant == tenant.name
    )


def exports(owner: Tenant, zone: ZoneName, to: TenantName) -> bool:
    """Say whether a tenant exports a zone to another one; what it does not, the other cannot name."""
    return any(export.zone == zone and to in export.to for export in owner.exports)


def named_zones(
    configuration: Configuration, reader: Tenant, other: Tenant
) -> tuple[set[ZoneName], set[ZoneName]]:
    """Return what a rule must name to allow between two tenants.

    Returns:
        The reader's exported zones that the other imports, and the reader's names of what it imports.
    """
    exported = {
        export.zone
        for export in reader.exports
        if other.name in export.to
        and any(i.tenant == reader.name and i.zone == export.zone for i in other.imports)
    }
    imported = {
        one.local_name
        for one in reader.imports
        if one.tenant == other.name and exports(other, one.zone, reader.name)
    }
    return exported, imported


def _one(directory: Directory, view: View, peer: Peer) -> Crowd:
    if view.reader is None:
        return _provider_peer(directory, view, peer)
    if peer.kind == "any":
        return EVERYBODY
    foreign = view.reader.name != view.owner.name
    if peer.kind == "external":
        return EVERYBODY if foreign else Crowd(outside=True)
    if peer.zone is None:
        return Crowd()
    if not foreign:
        return _zone(directory, view.owner.name, view.reader.name, peer.zone)
    for one in view.reader.imports:
        if one.local_name == peer.zone:
            if one.tenant != view.owner.name or not exports(view.owner, one.zone, view.reader.name):
                return Crowd()
            return _zone(directory, view.owner.name, one.tenant, one.zone)
    return _zone(directory, view.owner.name, view.reader.name, peer.zone)


def _provider_peer(directory: Directory, view: View, peer: Peer) -> Crowd:
    if peer.tenant is None:
        if peer.kind == "external":
            return EVERYBODY if view.crossing else Crowd(outside=True)
        return EVERYBODY if peer.kind == "any" else Crowd()
    if peer.tenant not in ("*", view.owner.name):
        return Crowd()
    if peer.kind in ("any", "external"):
        return Crowd(inside=peer.kind == "any", outside=peer.kind == "external")
    return Crowd() if peer.zone is None else _zone(directory, view.owner.name, view.owner.name, peer.zone)


def _zone(directory: Directory, owner: TenantName, of: TenantName, zone: ZoneName) -> Crowd:
    """Return the identities of ``owner``'s endpoints (and outside view) that are in ``of``'s zone."""
    return Crowd(
        identities=frozenset(
            identity.name for identity in directory.by_zone.get((of, zone), ()) if identity.tenant == owner
        )
    )


def agreed_identities(
    configuration: Configuration, directory: Directory, source: Tenant, destination: Tenant
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the identities of each end by which alone a connection between two tenants is agreed on."""
    found = []
    for one, other in ((source, destination), (destination, source)):
        exported, _ = named_zones(configuration, one, other)
        found.append(
            frozenset(
                identity.name
                for zone in exported
                for identity in directory.by_zone.get((one.name, zone), ())
                if identity.tenant == one.name and not identity.outside
            )
        )
    return found[0], found[1]


def mirror_crowds(
    configuration: Configuration, directory: Directory, mirror: MirrorRule, views: tuple[View, View]
) -> Iterator[tuple[Crowd, Crowd]]:
    """Yield whom a mirror copies, in a tenant's view of both sides; as far as tenants agreed."""
    from_view, to_view = views
    plain = tuple(peer for peer in mirror.destinations if peer.kind != "self")
    pairings = [(mirror.sources, plain)] if plain else []
    if len(plain) < len(mirror.destinations):
        pairings += [((peer,), (peer,)) for peer in mirror.sources]
    seen = agreed_identities(configuration, directory, from_view.owner, to_view.owner)
    for peers_from, peers_to in pairings:
        sources = crowd(directory, from_view, peers_from)
        destinations = crowd(directory, to_view, peers_to)
        if from_view.crossing:
            yield both(sources, seen[0]), inside(destinations)
            yield inside(sources), both(destinations, seen[1])
        else:
            yield sources, destinations
