"""Ranges of tenants that are joined: one that two have is refused, one within another is not."""

from __future__ import annotations

import pytest

from zonewall.policy.load import LoadResult, load_texts

ACME = "kind: tenant\ntenant: acme\nzones: {web: {labels: {role: web}}}\n"
IMPORT = "import: [{zone: blue/db, as: theirs}]\n"
BLUE = "kind: tenant\ntenant: blue\nzones: {db: {labels: {role: db}}}\n"
MAC = "52:54:00:00:00"
EXPORT = "export: [{zone: db, to: acme}]\n"
PROVIDER = (
    "kind: provider\nbefore: [{name: g, rules: [{name: r, from: acme/web, to: blue/any, action: allow}]}]\n"
)


def load(web: str, db: str, more: str = "", is_joined: bool = True, **texts: str) -> LoadResult:
    """Return what is found where acme/web and blue/db have these addresses."""
    documents = {
        "acme": ACME + (IMPORT if is_joined else ""),
        "blue": BLUE + (EXPORT if is_joined else ""),
        "inventory": "kind: inventory\nendpoints:\n"
        f"  - {{name: web, tenant: acme, iface-id: w, mac: '{MAC}:01', labels: {{role: web}}, {web}}}\n"
        f"  - {{name: db, tenant: blue, iface-id: d, mac: '{MAC}:02', labels: {{role: db}}, {db}}}\n" + more,
        **texts,
    }
    return load_texts({f"{name}.yaml": text.encode() for name, text in sorted(documents.items())})


def errors(result: LoadResult) -> list[str]:
    return [str(one) for one in result.findings if one.is_error]


@pytest.mark.parametrize(
    ("web", "db", "both", "other"),
    [
        ("ips: [10.7.0.1], ranges: [10.9.0.0/24]", "ranges: [10.1.0.0/24, 10.9.0.0/24]",
         "the range 10.9.0.0/24", "range"),
        ("ranges: ['fd00:9::/64']", "ranges: ['fd00:9::/64']", "the range fd00:9::/64", "range"),
        ("ranges: [0.0.0.0/0]", "ranges: [0.0.0.0/0]", "the range 0.0.0.0/0", "range"),
        ("ips: [10.7.0.1]", "ranges: [10.7.0.1/32]", "10.7.0.1", "address"),
        ("ranges: ['fd00::1/128']", "ips: ['fd00::1']", "fd00::1", "address"),
        ("ranges: [10.7.0.9/32]", "ranges: [10.7.0.9/32]", "10.7.0.9", "address"),
    ],
    ids=["range", "IPv6", "everything", "its own in the other's", "the other way", "both may take it over"],
)  # fmt: skip
def test_what_two_joined_tenants_have_both_is_refused_where_either_reaches_the_other(
    web: str, db: str, both: str, other: str
) -> None:
    remedy = f"could reach both; give one of them another {other}"

    assert errors(load(web, db)) == [
        f"acme.yaml:4:10: {both} is acme/web's and blue/db's, and acme {remedy}",
        f"blue.yaml:4:10: {both} is blue/db's and acme/web's, and blue {remedy}",
    ]


def test_a_rule_of_the_provider_that_joins_them_is_told_of() -> None:
    found = errors(load("ranges: [10.9.0.0/24]", "ranges: [10.9.0.0/24]", is_joined=False, p=PROVIDER))

    said = "p.yaml:2:28: the range 10.9.0.0/24 is acme/web's and blue/db's, and acme could reach both; "
    assert found[0] == said + "give one of them another range"


@pytest.mark.parametrize(
    ("web", "db", "joined", "more"),
    [
        ("ranges: [10.9.0.0/24]", "ranges: [10.9.0.0/24]", False, ""),
        ("ranges: [0.0.0.0/0]", "ips: [10.8.0.1], ranges: [10.9.0.0/24, '::/0']", True, ""),
        ("ips: [10.7.0.1]", "ranges: [10.7.0.0/24]", True, ""),
        ("ranges: [10.7.0.9/32]", "ips: [10.8.0.1]", True,
         "  - {name: web2, tenant: acme, iface-id: w2, mac: '52:54:00:00:00:03', ranges: [10.7.0.9/32]}\n"),
        ("ips: [10.7.0.1]", "ips: [10.8.0.1]", True,
         "  - {name: w2, tenant: acme, iface-id: w2, mac: '52:54:00:00:00:03', ips: [10.7.0.2]}\n"
         "  - {name: d2, tenant: blue, iface-id: d2, mac: '52:54:00:00:00:04', ranges: [10.9.0.0/24]}\n"
         "  - {name: a, tenant: red, iface-id: a, mac: '52:54:00:00:00:05', ranges: [10.9.0.0/24]}\n"),
    ],
    ids=["nothing joins them", "all but what the other has", "cut out of the other's", "shared in one tenant",
         "two that nobody reaches both"],
)  # fmt: skip
def test_what_leads_to_one_of_them_only_is_right(web: str, db: str, joined: bool, more: str) -> None:
    red = "kind: tenant\ntenant: red\n"

    result = load(web, db, more, joined, red=red)

    assert result.configuration is not None
    assert [str(one) for one in result.findings] == []
