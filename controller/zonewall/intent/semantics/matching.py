"""Whether a rule is about a connection: its peers, its services and its time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from zonewall.intent.semantics.connection import Agreement, Connection
from zonewall.intent.semantics.membership import End, is_in_zone
from zonewall.intent.semantics.probe import Probe
from zonewall.policy.model import Action, Hours, MirrorRule, Peer, Rule, Tenant
from zonewall.values.services import PortRange, ServiceTerm

_WEEK = 7


def tenant_rule_matches(connection: Connection, reader: Tenant, rule: Rule) -> bool:
    """Say whether a tenant's own rule is about the connection, as this tenant sees it."""
    if not (_is_in_force(rule, connection.probe) and _serves(rule.services, connection.probe)):
        return False
    must_name = connection.crosses and rule.action is Action.ALLOW
    return any(
        _tenant_sees(connection, reader, from_peer, connection.source)
        and _tenant_sees(connection, reader, to_peer, connection.destination)
        and (
            not must_name
            or _names_agreed_zone(connection, reader, from_peer, connection.source)
            or _names_agreed_zone(connection, reader, to_peer, connection.destination)
        )
        for from_peer, to_peer, _ in _pairs(rule)
    )


def mirror_matches(connection: Connection, reader: Tenant, mirror: MirrorRule) -> bool:
    """Say whether a tenant's mirror wants the connection, as this tenant sees it."""
    return _serves(mirror.services, connection.probe) and any(
        _tenant_sees(connection, reader, from_peer, connection.source)
        and _tenant_sees(connection, reader, to_peer, connection.destination)
        for from_peer, to_peer, _ in _pairs(mirror)
    )


def provider_rule_matches(connection: Connection, rule: Rule) -> bool:
    """Say whether one of the provider's rules is about the connection."""
    if not (_is_in_force(rule, connection.probe) and _serves(rule.services, connection.probe)):
        return False
    must_name = connection.crosses and rule.action is Action.ALLOW
    return any(
        _provider_sees(connection, from_peer, connection.source)
        and _provider_sees(connection, to_peer, connection.destination)
        and not (must_name and None in (from_peer.tenant, to_peer.tenant))
        and not (joins_itself and connection.crosses)
        for from_peer, to_peer, joins_itself in _pairs(rule)
    )


def names_both_tenants(connection: Connection, rule: Rule) -> bool:
    """Say whether a provider's rule is written about the two tenants, whatever its zones and services."""
    return _is_in_force(rule, connection.probe) and any(
        from_peer.tenant in ("*", connection.source.tenant.name)
        and to_peer.tenant in ("*", connection.destination.tenant.name)
        and not joins_itself
        for from_peer, to_peer, joins_itself in _pairs(rule)
    )


def _pairs(rule: Rule | MirrorRule) -> Iterator[tuple[Peer, Peer, bool]]:
    """Yield each ``from`` with each ``to``; ``self`` becomes the ``from`` again, and is marked."""
    for from_peer in rule.sources:
        for to_peer in rule.destinations:
            joins_itself = to_peer.kind == "self"
            yield from_peer, from_peer if joins_itself else to_peer, joins_itself


def _tenant_sees(connection: Connection, reader: Tenant, peer: Peer, end: End) -> bool:
    """Say whether the end is in the peer, in the reader's view."""
    own = end.tenant.name == reader.name
    if connection.crosses and not connection.agreements:
        return False
    if peer.kind == "any":
        return True
    if peer.kind == "external":
        return end.is_outside or not own
    if peer.zone is None:
        return False
    return is_in_zone(reader, peer.zone, end) or (not own and connection.is_imported(reader, peer.zone, end))


def _names_agreed_zone(connection: Connection, reader: Tenant, peer: Peer, end: End) -> bool:
    """Say whether the peer names the exported zone (of an own end) or the import (of the other's)."""
    if peer.zone is None:
        return False
    if end.tenant.name == reader.name:
        return Agreement(reader.name, peer.zone) in connection.agreements
    return connection.is_imported(reader, peer.zone, end)


def _provider_sees(connection: Connection, peer: Peer, end: End) -> bool:
    """Say whether the end is in a peer of the provider's."""
    if peer.tenant is None:
        return peer.kind == "any" or (peer.kind == "external" and (end.is_outside or connection.crosses))
    if peer.tenant not in ("*", end.tenant.name):
        return False
    if peer.kind == "any":
        return not end.is_outside
    if peer.kind == "external":
        return end.is_outside
    return peer.zone is not None and is_in_zone(end.tenant, peer.zone, end)


def _serves(services: tuple[ServiceTerm, ...], probe: Probe) -> bool:
    """Say whether one of the services is the probe's; no services are every service."""
    return not services or any(_is_service(term, probe) for term in services)


def _is_service(term: ServiceTerm, probe: Probe) -> bool:
    if term.protocol not in (None, probe.protocol):
        return False
    if not _is_in_ranges(probe.destination_port, term.ports):
        return False
    if not _is_in_ranges(probe.source_port, term.source_ports):
        return False
    icmp_type, icmp_code = probe.icmp if probe.icmp is not None else (None, None)
    return term.icmp_type in (None, icmp_type) and term.icmp_code in (None, icmp_code)


def _is_in_ranges(port: int | None, ranges: tuple[PortRange, ...]) -> bool:
    return not ranges or (port is not None and any(first <= port <= last for first, last in ranges))


def _is_in_force(rule: Rule, probe: Probe) -> bool:
    """Say whether the rule holds at the probe's time, which is there wherever a rule asks for it."""
    if probe.time is None:
        return True
    if rule.expires is not None and probe.time >= rule.expires:
        return False
    return rule.hours is None or _are_open(rule.hours, probe.time)


def _are_open(hours: Hours, time: datetime) -> bool:
    local = time.astimezone(ZoneInfo(hours.timezone))
    today, minute = local.weekday(), local.hour * 60 + local.minute
    if hours.since < hours.until:
        return today in hours.days and hours.since <= minute < hours.until
    yesterday = (today - 1) % _WEEK
    return (today in hours.days and minute >= hours.since) or (
        yesterday in hours.days and minute < hours.until
    )
