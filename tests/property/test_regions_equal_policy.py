"""Regions say of whole sets of services what the evaluator says of each probe."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.configurations import configure, endpoint, rule, service, tenant, tier
from support.generated_configurations import OUTSIDE, SERVICES, configurations, worlds
from zonewall.intent.ends import identity_at
from zonewall.intent.regions import Decision, Regions
from zonewall.intent.semantics import Probe, Verdict, verdict
from zonewall.intent.semantics.ends import find_ends
from zonewall.intent.service_classes import Sample, ServiceClasses
from zonewall.policy.model import Configuration

SOME = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
PORT = st.integers(0, 65535)
PACKETS = st.one_of(
    st.builds(Sample, st.sampled_from([6, 17, 132]), PORT, PORT),
    st.builds(Sample, st.sampled_from([1, 58]), icmp=st.tuples(st.integers(0, 255), st.integers(0, 255))),
    st.builds(Sample, st.integers(0, 255).filter(lambda number: number not in (1, 6, 17, 58, 132))),
)


def decided(regions: Regions, probe: Probe) -> Decision:
    """Return the decision of the region that the probe is in."""
    ends = find_ends(regions.configuration, probe)
    assert isinstance(ends, tuple)
    identities = [
        identity_at(
            regions.directory, end.tenant.name, end.endpoint.key if end.endpoint else None, end.address
        )
        for end in ends
    ]
    packet = Sample(probe.protocol, probe.source_port, probe.destination_port, probe.icmp)
    bit = 1 << regions.services.place(packet)
    source, destination = identities
    found = regions.judge(source, destination, version=ends[0].address.version)
    hits = [one.decision for one in found if one.classes & bit]
    assert len(hits) == 1
    return hits[0]


def said(judged: Verdict) -> tuple[object, ...]:
    return judged.verdict, judged.rule, judged.tier, judged.monitored


@SOME
@given(world=worlds())
def test_the_region_that_a_probe_is_in_ends_as_the_evaluator_says(
    world: tuple[Configuration, list[Probe]],
) -> None:
    configuration, probes = world
    regions = Regions.of(configuration)
    for probe in probes:
        judged = verdict(configuration, probe)
        assert isinstance(judged, Verdict)
        decision = decided(regions, probe)
        assert (decision.verdict, decision.rule, decision.tier, decision.monitored) == said(judged), probe


@settings(SOME, max_examples=30)
@given(configuration=configurations(linked=True))
def test_between_tenants_the_outside_is_judged_as_the_evaluator_says(configuration: Configuration) -> None:
    regions = Regions.of(configuration)
    for endpoint_key, declared in configuration.inventory.endpoints.items():
        for tenant_name in configuration.tenants:
            for address in (one for one in declared.ips[:1] if tenant_name != declared.tenant):
                outside = OUTSIDE[0] if address.version == 4 else OUTSIDE[7]
                asked = Probe(outside, endpoint_key, 6, tenant_name, 1024, 80, destination_ip=address)
                judged = verdict(configuration, asked)
                assert isinstance(judged, Verdict)
                decision = decided(regions, asked)
                assert (decision.verdict, decision.rule) == (judged.verdict, judged.rule)


@settings(SOME, max_examples=10)
@given(world=worlds(most=1))
def test_a_witness_of_a_region_is_judged_as_the_region_is(world: tuple[Configuration, list[Probe]]) -> None:
    configuration, _ = world
    regions = Regions.of(configuration)
    tenants = sorted(configuration.tenants)
    for source, destination in [(one, other) for one in tenants for other in tenants]:
        for version, one, other in list(regions.pairs(source, destination))[:40]:
            for region in regions.judge(one, other, version):
                probe = regions.witness(one, other, version, region.classes)
                assert probe is not None
                judged = verdict(configuration, probe)
                assert isinstance(judged, Verdict), judged
                decision = region.decision
                wanted = (decision.verdict, decision.rule, decision.tier, decision.monitored)
                assert said(judged) == wanted, probe


@SOME
@given(texts=st.lists(st.sampled_from(SERVICES), max_size=12), packet=PACKETS)
def test_all_packets_of_a_class_are_of_the_same_services(texts: list[str], packet: Sample) -> None:
    terms = [service(text) for text in texts]
    classes = ServiceClasses.of(terms)
    place = classes.place(packet)
    sample = classes.classes[place].sample
    assert classes.place(sample) == place
    for term in terms:
        only = ServiceClasses.of([term])
        serves = bool(only.mask((term,)) >> only.place(packet) & 1)
        assert serves == bool(only.mask((term,)) >> only.place(sample) & 1)
        assert serves == bool(classes.mask((term,)) >> place & 1)
        assert serves == _serves_by_definition(term, packet)


def _serves_by_definition(term: object, packet: Sample) -> bool:
    """Ask the evaluator, by a configuration of this one rule."""
    asking = replace(rule("r", "any", "any"), services=(term,))  # type: ignore[arg-type]
    v4 = packet.protocol != 58
    one, other = ("10.0.0.1", "10.0.0.2") if v4 else ("fd00::1", "fd00::2")
    configuration = configure(
        tenant("a", tier("t", asking)), endpoint("a/one", one), endpoint("a/two", other)
    )
    judged = verdict(
        configuration,
        Probe("a/one", "a/two", packet.protocol, None, packet.sport, packet.dport, packet.icmp),  # type: ignore[arg-type]
    )
    assert isinstance(judged, Verdict)
    return judged.rule == "a/t/r"
