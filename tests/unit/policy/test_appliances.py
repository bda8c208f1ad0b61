"""Which appliances a function has, as the inventory says; what is refused, in words that say what to do."""

from __future__ import annotations

from itertools import permutations

import pytest

from zonewall.policy.appliances import instances_of
from zonewall.policy.load import LoadResult, load_texts

PORTS = "{role: service, function: waf, leg: in}", "{role: service, function: waf, leg: out}"
WAF = "{waf: {kind: bump-in-the-wire}}"
TENANT = "kind: tenant\ntenant: acme\n"
RULE = "{name: a, from: any, to: any, action: allow, through: [waf]}"


def read(functions: str, *ports: str, policy: str = TENANT, other: str = "") -> LoadResult:
    """Read an inventory of one bridge with these ports, p0, p1 ..."""
    rows = "".join(f"          p{index}: {port}\n" for index, port in enumerate(ports))
    inventory = f"""\
kind: inventory
hosts:
  hv1:
    bridges:
      br-int:
        attachment: fabric
        ports:
          fab0: {{role: fabric}}
{rows}service-functions: {functions}
"""
    texts = {"inventory.yaml": inventory, "acme.yaml": policy}
    if other:
        texts["blue.yaml"] = other
    return load_texts({name: text.encode() for name, text in texts.items()})


def rules(tenant: str, *lines: str) -> str:
    rows = "".join(f"      - {line}\n" for line in lines)
    return f"kind: tenant\ntenant: {tenant}\ntiers:\n  - name: t\n    rules:\n{rows}"


def names(result: LoadResult) -> list[str]:
    assert result.configuration is not None, result.findings
    return [one.name for some in instances_of(result.configuration.inventory).values() for one in some]


def test_two_legs_are_one_appliance_and_instances_are_several() -> None:
    more = [port.replace("}", ", instance: two}") for port in PORTS]
    assert names(read(WAF, *PORTS)) == ["waf"]
    assert names(read(WAF, *PORTS, *more)) == ["waf", "waf/two"]


def test_an_appliance_without_one_of_its_legs_is_none() -> None:
    result = read(WAF, PORTS[0])
    assert names(result) == []
    assert [finding.code for finding in result.findings] == ["no-port"]


def test_each_pair_of_vlans_on_each_uplink_is_an_appliance() -> None:
    pairs = "{fw: {kind: vlan-pair, out: [900, 902], back: [901, 903]}}"
    uplink = "{role: uplink, vlans: {100: acme}, function: fw}"
    assert names(read(pairs, uplink)) == ["fw/hv1/br-int/p0.900", "fw/hv1/br-int/p0.902"]


@pytest.mark.parametrize(
    ("functions", "port", "said"),
    [
        ("{fw: {kind: vlan-pair}}", "{role: fabric}", "a vlan-pair says both its VLANs, `out` and `back`"),
        ("{fw: {kind: vlan-pair, out: 9, back: 9}}", "{role: fabric}", "`out` and `back` are all different"),
        (
            "{fw: {kind: vlan-pair, out: [1, 2], back: 3}}",
            "{role: fabric}",
            "of several pairs as many of each",
        ),
        (
            "{fw: {kind: vlan-pair, out: 100, back: 901}}",
            "{role: uplink, vlans: {100: acme}, function: fw}",
            "VLAN 100 of fw is in use on this uplink; give the function its own",
        ),
        (
            "{fw: {kind: vlan-pair, out: 900, back: 901}}",
            "{role: service, function: fw, leg: in}",
            "fw is a vlan-pair; it is behind an uplink, not service",
        ),
        (WAF, "{role: uplink, vlans: {100: acme}, function: waf}", "it is behind a port of role service"),
        (
            WAF,
            "{role: service, function: waf, leg: only}",
            "a bump-in-the-wire; its `leg` is in or out",
        ),
        ("{arm: {kind: one-armed}}", "{role: service, function: arm, leg: in}", "its `leg` is only"),
        ("{waf: {kind: bump-in-the-wire, out: 900}}", "{role: fabric}", "`out` and `back` are a vlan-pair's"),
        (
            "{waf: {kind: bump-in-the-wire, probe: 10.0.0.1}}",
            "{role: fabric}",
            "an address to ask is a one-armed function's; write `through` or `none`",
        ),
        ("{arm: {kind: one-armed, probe: 'fd00::1'}}", "{role: fabric}", "cannot be asked for by ARP"),
        (
            "{arm: {kind: one-armed, probe: often}}",
            "{role: fabric}",
            "write through, none, or an IPv4 address",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_would_be_right(functions: str, port: str, said: str) -> None:
    result = read(functions, port)
    assert result.configuration is None
    assert any(said in finding.message for finding in result.findings), result.findings


def test_a_function_serves_one_tenant() -> None:
    result = read(WAF, *PORTS, policy=rules("acme", RULE), other=rules("blue", RULE))
    assert [finding.code for finding in result.findings] == ["shared-function"]
    assert "give blue a function of its own" in result.findings[0].message
    assert result.findings[0].location.file == "blue.yaml"


@pytest.mark.parametrize(("owner", "wrong"), [("acme", "blue"), ("blue", "acme")])
def test_a_function_that_is_a_tenants_is_refused_to_all_others_whoever_comes_first(
    owner: str, wrong: str
) -> None:
    owned = WAF.replace("}}", f", tenant: {owner}}}}}")
    result = read(owned, *PORTS, policy=rules("acme", RULE), other=rules("blue", RULE))
    assert [(one.code, one.location.file) for one in result.findings] == [
        ("shared-function", f"{wrong}.yaml")
    ]
    alone = {"policy": rules("acme", RULE)} if owner == "acme" else {"other": rules("blue", RULE)}
    assert read(owned, *PORTS, **alone).configuration is not None


def test_a_function_of_nobody_is_refused_in_the_inventory() -> None:
    result = read(WAF.replace("}}", ", tenant: acne}}"), *PORTS)
    (finding,) = result.findings
    assert (finding.code, finding.location.file) == ("unknown-tenant", "inventory.yaml")
    assert "did you mean 'acme'?" in finding.message


def test_legs_are_a_tenants_own_however_many_rules_and_ways_it_has() -> None:
    names = [f"f{n}" for n in range(6)]
    functions = "{" + ", ".join(f"{name}: {{kind: one-armed}}" for name in names) + "}"
    ports = [
        f"{{role: service, function: {name}, leg: only, instance: i{n}}}" for name in names for n in range(4)
    ]
    one = "{name: r%d, from: any, to: any, services: [tcp/%d], action: allow, through: [%s, %s]}"
    pairs = list(permutations(names, 2))
    # Sixteen ways through two functions: 64 legs.
    lines = [one % (at, at + 1, *pair) for at, pair in enumerate(pairs)]
    again = [one % (at + 100, at + 100, *pairs[0]) for at in range(100)]
    assert read(functions, *ports, policy=rules("acme", *lines[:8], *again)).configuration is not None
    result = read(functions, *ports, policy=rules("acme", *lines[:12]))
    (finding,) = result.findings
    assert (finding.code, finding.location.file, finding.location.line) == ("too-many", "acme.yaml", 6 + 8)


def test_a_function_stands_once_in_a_rule() -> None:
    twice = RULE.replace("[waf]", "[waf, waf]")
    result = read(WAF, *PORTS, policy=rules("acme", twice))
    assert "stands twice in `through`" in result.findings[0].message


def test_ways_that_multiply_are_refused_before_a_bridge_has_to_hold_them() -> None:
    ports, functions = [], []
    for name in ("one", "two", "three"):
        functions.append(f"{name}: {{kind: one-armed}}")
        ports += [f"{{role: service, function: {name}, leg: only, instance: i{n}}}" for n in range(4)]
    many = RULE.replace("[waf]", "[one, two, three]")
    result = read("{" + ", ".join(functions) + "}", *ports, policy=rules("acme", many))
    assert "64 ways" in result.findings[0].message
    few = RULE.replace("[waf]", "[one, two]")
    assert read("{" + ", ".join(functions) + "}", *ports, policy=rules("acme", few)).configuration is not None
