"""A tenant's share of what bridges have once for all: who has more is told so at its own place."""

from __future__ import annotations

import pytest

from zonewall.policy import shares
from zonewall.policy.load import load_texts
from zonewall.policy.shares import (
    MOST_LENGTHS,
    MOST_LIMITS,
    MOST_MIRRORS,
    MOST_PASSING,
    MOST_PASSING_OF_PROVIDER,
    MOST_TARGETS,
)

INVENTORY = """kind: inventory
hosts: {hv1: {bridges: {br-int: {attachment: fabric, ports: {%s}}}}}
endpoints: [{name: a1, tenant: acme, iface-id: a1, mac: "52:54:00:00:00:01", ips: [10.0.0.1]}]
mirror-targets: {%s}
"""


def refusals(targets: int = 1, /, **documents: str) -> list[tuple[str, int, str]]:
    """Return where documents are refused, and the code; ``blue`` is a tenant, ``provider`` is one."""
    names = [f"ids{number}" for number in range(targets)]
    ports = ", ".join(f"p{name}: {{role: mirror-target, target: {name}}}" for name in names)
    inventory = INVENTORY % (ports, ", ".join(f"{name}: {{}}" for name in names))
    heads = {"provider": "kind: provider\n"}
    texts = {"acme": "zones: {z: {endpoints: [a1]}}\n", "blue": "zones: {}\n", **documents}
    read = load_texts({
        "inventory.yaml": inventory.encode(),
        **{f"{name}.yaml": (heads.get(name, f"kind: tenant\ntenant: {name}\n") + text).encode()
           for name, text in texts.items()},
    })  # fmt: skip
    return [
        (one.location.file.removesuffix(".yaml"), one.location.line, one.code)
        for one in read.findings
        if one.is_error
    ]


def mirrors(*more: str, to: str = "any") -> str:
    lines = [f"  - {{name: m{at}, from: any, to: {to}, {one}}}\n" for at, one in enumerate(more)]
    return "mirrors:\n" + "".join(lines)


def lengths(count: int, target: str = "ids0") -> str:
    return mirrors(*(f"target: [{target}], truncate: {100 + at}" for at in range(count)))


def passing(word: str, count: int) -> str:
    rule = "rules: [{name: r, from: any, to: any, action: pass}]"
    return f"{word}:\n" + "".join(f"  - {{name: t{at}, {rule}}}\n" for at in range(count))


def test_each_tenant_has_all_its_lengths() -> None:
    assert refusals(acme=lengths(MOST_LENGTHS), blue=lengths(MOST_LENGTHS)) == []
    again = mirrors(*[f"target: [ids0], truncate: {100 + at % MOST_LENGTHS}" for at in range(20)])
    assert refusals(acme=again) == []


def test_a_length_too_many_is_refused_where_it_stands() -> None:
    line = 4 + MOST_LENGTHS
    assert refusals(acme=lengths(MOST_LENGTHS + 3), blue=lengths(MOST_LENGTHS)) == [
        ("acme", line, "too-many")
    ]


def test_each_target_of_a_length_counts() -> None:
    half = MOST_LENGTHS // 2
    both = mirrors(*(f"target: [ids0, ids1], truncate: {100 + at}" for at in range(half + 1)))
    assert refusals(2, acme=both) == [("acme", 4 + half, "too-many")]


def test_a_mirror_rule_too_many_is_refused_where_it_stands() -> None:
    most = ["target: [ids0]"] * MOST_MIRRORS
    assert refusals(acme=mirrors(*most), blue=mirrors(*most)) == []
    assert refusals(acme=mirrors(*most, *most), blue=mirrors(*most)) == [
        ("acme", 4 + MOST_MIRRORS, "too-many")
    ]


def test_a_mirror_rule_to_self_counts_for_each_zone() -> None:
    zones = [f"z{at}" for at in range(MOST_MIRRORS)]
    written = "zones: {" + ", ".join(f"{zone}: {{endpoints: [a1]}}" for zone in zones) + "}\n"
    one = "mirrors:\n  - {name: m, from: [%s], to: [%s], target: [ids0]}\n"
    assert refusals(acme=written + one % (", ".join(zones), "self")) == []
    assert refusals(acme=written + one % (", ".join(zones), "self, any")) == [("acme", 5, "too-many")]


def test_a_target_too_many_is_the_inventorys() -> None:
    assert refusals(MOST_TARGETS) == []
    assert refusals(MOST_TARGETS + 1) == [("inventory", 4, "too-many")]


@pytest.mark.parametrize(
    ("document", "word", "most"),
    [("acme", "tiers", MOST_PASSING), ("provider", "before", MOST_PASSING_OF_PROVIDER)],
)
def test_a_tier_with_a_pass_too_many_is_refused_where_it_stands(document: str, word: str, most: int) -> None:
    others = {"blue": passing("tiers", MOST_PASSING)}
    line = 3 + most + (document == "acme")
    assert refusals(**{**others, document: passing(word, most)}) == []
    assert refusals(**{**others, document: passing(word, most + 2)}) == [(document, line, "too-many")]


@pytest.mark.parametrize(("document", "word"), [("acme", "tiers"), ("provider", "after")])
def test_a_rule_with_a_limit_too_many_is_refused_where_it_stands(document: str, word: str) -> None:
    own = limited("tiers", MOST_LIMITS)
    assert refusals(blue=own, **{document: limited(word, MOST_LIMITS)}) == []
    line = 7 + MOST_LIMITS + (document == "acme")
    assert refusals(blue=own, **{document: limited(word, MOST_LIMITS + 3)}) == [(document, line, "too-many")]


def limited(word: str, count: int) -> str:
    """Return two tiers: of one rule with a limit and some without, and of the others with one."""
    rule = "      - {name: %s, from: '*/any', to: '*/any', action: allow%s}\n"
    rule = rule if word == "after" else rule.replace("'*/any'", "any")
    first = f"{word}:\n  - {{name: s, rules: [{rule[8:-1] % ('a', ', limit: 5pps')}]}}\n"
    plain = "".join(rule % (f"p{at}", "") for at in range(2))
    rest = "".join(rule % (f"r{at}", ", limit: 5pps") for at in range(count - 1))
    return f"{first}  - name: t\n    rules:\n{plain}{rest}"


def test_a_rule_too_many_is_refused_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "MOST_RULES", 20)
    rule = "      - {name: r%d, from: any, to: any, services: [tcp/%d], action: allow}\n"
    document = "tiers:\n  - name: t\n    rules:\n" + "".join(rule % (at, at + 1) for at in range(22))
    assert refusals(acme=document) == [("acme", 6 + 20, "too-many")]
    monkeypatch.setattr(shares, "MOST_RULES", 22)
    assert refusals(acme=document) == []
