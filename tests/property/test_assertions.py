"""Assertions mean what the evaluator says: held against every pair of ends and every edge of a service."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from support.configurations import at, peer, service
from support.generated_configurations import OUTSIDE, SERVICES, configurations
from zonewall.intent.analysis.assertions import broken_assertions
from zonewall.intent.judgement import rule_records
from zonewall.intent.semantics import Probe, Verdict, verdict
from zonewall.intent.semantics.connection import Connection, connect
from zonewall.intent.semantics.ends import find_ends
from zonewall.intent.semantics.matching import _serves, _tenant_sees
from zonewall.policy.model import Action, Assertion, Configuration, Tenant
from zonewall.values.addresses import IpAddress
from zonewall.values.names import EndpointKey, TenantName

COUNT = int(os.environ.get("ZONEWALL_CONFIGURATIONS", "0"))
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
EDGES = (1, 52, 53, 54, 78, 79, 80, 81, 82, 1022, 1023, 1024, 65533, 65534, 65535)


@st.composite
def asserted(draw: DrawFn) -> tuple[Configuration, Tenant, Assertion]:
    configuration = draw(configurations())
    tenant = configuration.tenants[draw(st.sampled_from(sorted(configuration.tenants)))]
    words = ["any", "any", "external", *tenant.zones, *(one.local_name for one in tenant.imports)]
    sides = [draw(st.lists(st.sampled_from(words), min_size=1, max_size=2, unique=True)) for _ in range(2)]
    texts = draw(st.lists(st.sampled_from(SERVICES), max_size=2, unique=True))
    assertion = Assertion(
        tuple(map(peer, sides[0])),
        tuple(map(peer, sides[1])),
        () if "any" in texts else tuple(map(service, texts)),
        draw(st.sampled_from(["never", "never", "always"])),
        draw(st.sampled_from([Action.ALLOW, Action.ALLOW, Action.DROP, Action.REJECT])),
        at(7),
    )
    asserting = replace(tenant, assertions=(assertion,))
    return (
        replace(configuration, tenants={**configuration.tenants, tenant.name: asserting}),
        tenant,
        assertion,
    )


def is_about(connection: Connection, tenant: Tenant, assertion: Assertion, decided: Action) -> bool:
    """Say whether an assertion speaks of a connection.

    Of what is let across unseen, only a never does; of what is not, none.
    """
    if not _serves(assertion.services, connection.probe):
        return False
    if tenant.name not in (connection.source.tenant.name, connection.destination.tenant.name):
        return False
    peers = assertion.sources, assertion.destinations
    if connection.crosses and not connection.agreements:
        if assertion.quantifier != "never" or decided is not Action.ALLOW:
            return False
        sides = []
        for end, side in zip((connection.source, connection.destination), peers, strict=True):
            own = end.tenant.name == tenant.name
            kept = side if own else tuple(one for one in side if one.kind != "zone")
            alone = Connection(end, end, connection.probe, frozenset())
            sides.append(any(_tenant_sees(alone, tenant, one, end) for one in kept))
        return all(sides)
    return any(_tenant_sees(connection, tenant, one, connection.source) for one in peers[0]) and any(
        _tenant_sees(connection, tenant, one, connection.destination) for one in peers[1]
    )


def breaks(configuration: Configuration, tenant: Tenant, assertion: Assertion, probe: Probe) -> bool:
    """Say, by the evaluator alone, whether a probe shows that the assertion does not hold."""
    ends = find_ends(configuration, probe)
    if not isinstance(ends, tuple):
        return False
    said = verdict(configuration, probe)
    assert isinstance(said, Verdict)
    decided = said.verdict
    if said.monitored:
        rule = rule_records(configuration)[said.rule].rule
        decided = (
            configuration.tenants[TenantName(said.rule.split("/")[0])].default
            if rule is None
            else rule.action
        )
    if not is_about(connect(*ends, probe), tenant, assertion, decided):
        return False
    return (decided is assertion.verdict) is (assertion.quantifier == "never")


def some_probe(configuration: Configuration, tenant: Tenant, chance: Random) -> Probe | None:
    """Return a probe at some edge between two ends, None where they have no two addresses of one family."""
    ends: list[tuple[EndpointKey | IpAddress, IpAddress]]
    ends = [(one.key, ip) for one in configuration.inventory.endpoints.values() for ip in one.ips]
    ends += [(ip, ip) for ip in chance.sample(OUTSIDE, 6)]
    (source, from_ip), (destination, to_ip) = chance.sample(ends, 2)
    if from_ip.version != to_ip.version or source == destination:
        return None
    icmp = ((8, 0), (3, 1), (3, 2), (13, 0)) if from_ip.version == 4 else ((128, 0), (1, 4), (1, 5), (3, 0))
    ports = {"source_port": chance.choice((53, 1023, 1024)), "destination_port": chance.choice(EDGES)}
    protocol, header = chance.choice(
        [
            *((number, ports) for number in (6, 6, 6, 17, 132)),
            (1 if from_ip.version == 4 else 58, {"icmp": chance.choice(icmp)}),
            (chance.choice((47, 89, 253)), {}),
        ]
    )
    return Probe(
        source, destination, protocol, tenant.name, time=NOW, **header,  # type: ignore[arg-type]
        source_ip=from_ip if isinstance(source, str) else None,
        destination_ip=to_ip if isinstance(destination, str) else None,
    )  # fmt: skip


@settings(
    max_examples=COUNT or 50,
    deadline=None,
    database=None,
    derandomize=COUNT == 0,
    suppress_health_check=list(HealthCheck),
)
@given(world=asserted(), seed=st.integers(0, 1 << 32))
def test_an_assertion_is_broken_exactly_where_a_probe_shows_it(
    world: tuple[Configuration, Tenant, Assertion], seed: int
) -> None:
    configuration, tenant, assertion = world
    broken = broken_assertions(configuration, NOW)
    if broken:
        assert breaks(configuration, tenant, assertion, broken[0].witness.probe), broken[0].witness
        return
    chance = Random(seed)
    for _ in range(200):
        probe = some_probe(configuration, tenant, chance)
        assert probe is None or not breaks(configuration, tenant, assertion, probe), probe
