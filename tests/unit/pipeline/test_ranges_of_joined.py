"""Ranges of joined tenants: an address is whose longest prefix it is, of those who can be reached."""

from __future__ import annotations

import ipaddress
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from support.choosing import one_of, some_of
from support.compiled import FIRST, SECOND, CompiledFleet
from support.configurations import configure, endpoint, probe, rule, tenant, tier, zone
from zonewall.flows.assembly import Assembler
from zonewall.flows.wire import encode_program
from zonewall.intent.fleet import index_fleet
from zonewall.intent.semantics import ProbeError, Verdict, astray, verdict
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Action, Configuration
from zonewall.policy.notes import Notes
from zonewall.policy.visibility import check_ambiguous
from zonewall.values.addresses import IpAddress, IpPrefix, host_prefix
from zonewall.values.names import EndpointKey

FAMILIES = {
    "10.0.0.": ("10.0.0.0/29", "10.0.0.0/30", "10.0.0.2/31", "10.0.0.1/32", "10.0.0.2/32", "0.0.0.0/0"),
    "fd00::": ("fd00::/125", "fd00::/126", "fd00::2/127", "fd00::1/128", "fd00::2/128", "::/0"),
}


def joined(*ends: EndpointDeclaration) -> Configuration:
    """Return acme that imports blue's and red's `shown` endpoints, with one more machine of each."""
    own = [endpoint(f"{name}/own", f"10.9.{number}.1", f"fd00:9::{number}", labels={"role": "shown"})
           for number, name in enumerate(("acme", "blue", "red"))]  # fmt: skip
    of_role = [zone("shown", labels={"role": "shown"})]
    back = tier("t", rule("in", "any", "shown", services=["tcp/5432"]), rule("within", "shown", "any"))
    return configure(
        *own, *ends,
        tenant("acme", tier("t", rule("out", "any", "any blue red", services=["tcp/5432"])), zones=of_role,
               imports=[("blue/shown", "blue"), ("red/shown", "red")]),
        tenant("blue", back, zones=of_role, exports=[("shown", "acme")]),
        tenant("red", back, zones=of_role, exports=[("shown", "acme")]),
    )  # fmt: skip


@st.composite
def worlds(draw: DrawFn) -> Configuration:
    """Return tenants that are joined whose endpoints have addresses and ranges out of one small pool."""
    start = one_of(draw, tuple(FAMILIES))
    ends = []
    for owner in ("acme", "blue", "red"):
        ips = list(some_of(draw, range(1, 7), most=3, least=0))
        free = [one for one in FAMILIES[start] if not one.endswith(("/32", "/128")) or _last(one) not in ips]
        ranges = list(some_of(draw, free, most=2, least=0))
        for name in ("a", "b"):
            ends.append(
                endpoint(
                    f"{owner}/{name}",
                    *(f"{start}{ip}" for ip in ips[:1]),
                    ranges=ranges[:1],
                    labels={"role": one_of(draw, ("shown", "idle"))},
                )
            )
            ips, ranges = ips[1:], ranges[1:]
    return joined(*ends)


def _last(prefix: str) -> int:
    return int(ipaddress.ip_network(prefix).network_address) & 0xFF


def seen_by(viewer: str, configuration: Configuration) -> list[EndpointDeclaration]:
    """Return whom a tenant can reach: its own, all of acme, and what is shown to acme."""
    return [
        one
        for one in configuration.inventory.endpoints.values()
        if one.tenant in (viewer, "acme") or (viewer == "acme" and one.labels == {"role": "shown"})
    ]


def of(one: EndpointDeclaration) -> set[IpPrefix]:
    """Return all prefixes of an endpoint; a single address is the longest one."""
    return {*map(host_prefix, one.ips), *one.ranges}


def whose(address: IpAddress, ends: list[EndpointDeclaration]) -> EndpointDeclaration | None:
    """Return which of them has the longest prefix that holds the address, if it is one."""
    lengths = {
        one.key: max((prefix.prefixlen for prefix in of(one) if address in prefix), default=-1)
        for one in ends
    }
    found = [one for one in ends if lengths[one.key] == max(lengths.values()) >= 0]
    return found[0] if len(found) == 1 else None


def own_of(end: EndpointDeclaration, configuration: Configuration) -> list[EndpointDeclaration]:
    """Return all of an endpoint's tenant: what is another's there is not its own for anybody."""
    return [one for one in configuration.inventory.endpoints.values() if one.tenant == end.tenant]


def is_refused(configuration: Configuration) -> bool:
    notes = Notes()
    check_ambiguous(configuration, notes)
    return notes.has_errors


@given(worlds())
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_a_prefix_of_two_tenants_that_somebody_could_reach_both_by_is_refused_and_nothing_else(
    configuration: Configuration,
) -> None:
    assert is_refused(configuration) == any(
        one.tenant != other.tenant and of(one) & of(other)
        for viewer in configuration.tenants
        for one, other in combinations(seen_by(viewer, configuration), 2)
    )


@given(worlds().filter(lambda made: not is_refused(made)))
@settings(max_examples=15, deadline=None, derandomize=True, database=None)
def test_what_is_not_refused_leads_each_address_to_whom_its_longest_prefix_is(
    configuration: Configuration,
) -> None:
    fleet = CompiledFleet(configuration)

    for viewer in ("acme", "blue"):
        for source in configuration.inventory.endpoints[EndpointKey(f"{viewer}/own")].ips:
            for number in range(1, 8):
                address = ipaddress.ip_address(("fd00::" if source.version == 6 else "10.0.0.") + str(number))
                end = whose(address, seen_by(viewer, configuration))
                if end is None or whose(address, own_of(end, configuration)) is not end:
                    continue
                ask = probe(f"{viewer}/own", end.key, "tcp/5432", src_ip=str(source), dst_ip=str(address))
                seen, expected = fleet.judge(ask), verdict(configuration, ask)
                assert isinstance(expected, Verdict)
                assert (seen.verdict, seen.rule) == (expected.verdict.value, expected.rule)
                assert [port for port, _ in seen.arrived] == (
                    [fleet.places[end.key]] if expected.verdict is Action.ALLOW else []
                )


@given(worlds().filter(lambda made: not is_refused(made)))
@settings(max_examples=15, deadline=None, derandomize=True, database=None)
def test_an_address_alone_is_whom_bridges_take_it_to_and_no_endpoint_is_asked_about_with_another_one_s(
    configuration: Configuration,
) -> None:
    fleet = CompiledFleet(configuration)

    for viewer in ("acme", "blue"):
        own = configuration.inventory.endpoints[EndpointKey(f"{viewer}/own")]
        for number in range(1, 8):
            address = ipaddress.ip_address(f"10.0.0.{number}")
            ends = seen_by(viewer, configuration)
            end, ask = whose(address, ends), probe(own.key, str(address), "tcp/5432")
            port, frame = fleet.entering(ask, own.ips[0], address)
            fleet.forget_connections()
            seen = fleet.send(port, frame if end is None else frame.but(eth_dst=end.mac))
            expected = verdict(configuration, ask)
            assert isinstance(expected, Verdict)
            assert (seen.verdict, seen.rule) == (expected.verdict.value, expected.rule), (ask, end)
            for one in ends:
                if any(address in prefix for prefix in of(one)) and one is not own:
                    named = probe(own.key, one.key, "tcp/5432", dst_ip=str(address))
                    is_astray = isinstance(astray(configuration, named), ProbeError)
                    assert is_astray == (end is not one and end is not None)


def test_pieces_put_together_hide_the_same_endpoint_as_a_compile_from_nothing() -> None:
    fleet = CompiledFleet(
        joined(
            endpoint("blue/a", "10.0.0.1", ranges=["10.0.0.0/29"], labels={"role": "shown"}),
            endpoint("red/a", "10.0.0.2", ranges=["10.0.0.4/30"], labels={"role": "idle"}),
        )
    )
    made = index_fleet(fleet.policy, fleet.placement)
    assembler = Assembler()

    assert fleet.policy.endpoints[EndpointKey("red/a")].hidden_from
    for key in (FIRST, SECOND):
        assert dict(assembler.state(made, key).flows) == encode_program(fleet.programs[key]).flows
