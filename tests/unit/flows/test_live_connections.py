"""What ``dpctl/dump-conntrack`` prints, read as connections of the tenants they belong to."""

from __future__ import annotations

from support.configurations import configure, endpoint, rule, tenant, tier, zone
from zonewall.flows.live_connections import read_connections
from zonewall.intent.fleet import Policy, prepare
from zonewall.intent.numbering import Kind, Numbering
from zonewall.intent.semantics import Probe


def both_tenants() -> Policy:
    """Two tenants with the same addresses."""
    rules = tier("t", rule("r", "any", "any"))
    tenants = [tenant(name, rules, zones=[zone("web", labels={"r": "web"})]) for name in ("acme", "blue")]
    ends = [
        endpoint(f"{name}/vm{n}", f"10.0.0.{n}", f"fd00::{n}", labels={"r": "web"})
        for name in ("acme", "blue")
        for n in (1, 2)
    ]
    return prepare(configure(*tenants, *ends), Numbering())


def line(
    policy: Policy, owner: str, original: str, word: str = "tcp", source: str = "web", outside: str = ""
) -> str:
    inside = policy.number(Kind.IDENTITY, f"{owner}{{{source}}}")
    other = policy.number(Kind.OUTSIDE, f"{owner}!{{}}") if outside else inside
    label = 7 | inside << 32 | other << 64
    zone_number = 3 << 12 | policy.number(Kind.DOMAIN, owner)
    tail = f"zone={zone_number},labels={label:#x},protoinfo=(state=ESTABLISHED)"
    return f"{word},orig=({original}),reply=(src=9.9.9.9,dst=9.9.9.9),{tail}"


def read(policy: Policy, *lines: str) -> list[Probe]:
    return [one.probe for one in read_connections("\n".join(lines), policy)]


def test_the_zone_and_the_label_say_which_tenants_endpoints_are_meant() -> None:
    policy = both_tenants()
    original = "src=10.0.0.1,dst=10.0.0.2,sport=40000,dport=80"
    found = read(policy, line(policy, "acme", original), line(policy, "blue", original))
    assert [(one.source, one.destination, one.tenant) for one in found] == [
        ("acme/vm1", "acme/vm2", "acme"),
        ("blue/vm1", "blue/vm2", "blue"),
    ]
    assert {(one.protocol, one.source_port, one.destination_port) for one in found} == {(6, 40000, 80)}


def test_an_outside_end_is_its_address_and_pings_have_a_type() -> None:
    policy = both_tenants()
    ping = "src=fd00::1,dst=2001:db8::9,id=5,type=128,code=0"
    [found] = read(policy, line(policy, "acme", ping, "icmpv6", outside="yes"))
    assert (found.source, str(found.destination)) == ("acme/vm1", "2001:db8::9")
    assert (found.protocol, found.icmp) == (58, (128, 0))


def test_what_is_not_zonewalls_or_cannot_be_read_is_left_out() -> None:
    policy = both_tenants()
    good = line(policy, "acme", "src=10.0.0.1,dst=10.0.0.2,sport=1,dport=2")
    foreign = good.replace("zone=", "zone=99")
    assert read(policy, foreign) == []
    assert read(policy, good.partition(",labels")[0]) == []
    assert read(policy, good.replace("10.0.0.1", "ten"), "", "tcp,orig=(", "\x00" * 50) == []
