"""What the source's rule asks for between tenants, and bridges leave out, is told; `through` is refused."""

from __future__ import annotations

import pytest

from zonewall.policy.load import load_texts

ACME = """kind: tenant
tenant: acme
import: [{zone: blue/db, as: db}]
tiers:
  - name: t
    rules:
      - {name: pg, from: any, to: TO, services: [tcp/5432], action: allowMORE}
"""
OTHERS = {
    "blue.yaml": b"kind: tenant\ntenant: blue\nzones: {db: {endpoints: [db1]}}\n"
    b"export: [{zone: db, to: [acme]}]\n",
    "inventory.yaml": b"kind: inventory\nendpoints:\n"
    b'  - {name: db1, tenant: blue, iface-id: d1, mac: "52:54:00:00:00:02", ips: [10.0.0.1]}\n'
    b"mirror-targets: {ids: {tunnel: gre, remote: 192.0.2.9}}\n"
    b"service-functions: {waf: {kind: bump-in-the-wire}}\n",
}


@pytest.mark.parametrize(
    ("to", "more", "said"),
    [
        ("[any, db]", ", mirror: ids, log: connections", "`mirror` and `log`"),
        ("db", ", mirror: ids, log: connections, limit: 10pps", "`mirror`, `log` and `limit`"),
        ("db", ", limit: 10pps per endpoint", "`limit`"),
        ("db", "", None),
        ("any", ", through: [waf]", None),
    ],
)
def test_a_rule_that_names_an_imported_zone_is_warned_of_what_only_its_owner_s_can_ask(
    to: str, more: str, said: str | None
) -> None:
    text = ACME.replace("TO", to).replace("MORE", more)

    result = load_texts({"acme.yaml": text.encode(), **OTHERS})

    assert result.configuration is not None
    found = [str(one) for one in result.findings if "leave out" in str(one)]
    told = f"acme.yaml:7:9: warning: bridges leave out {said} of rule 'pg' for what is blue's: "
    assert [one.startswith(told) for one in found] == ([] if said is None else [True]), found


def test_what_a_tenant_would_have_inspected_on_its_way_to_another_is_refused_as_it_would_not_be() -> None:
    text = ACME.replace("TO", "[any, db]").replace("MORE", ", through: [waf]")

    result = load_texts({"acme.yaml": text.encode(), **OTHERS})

    assert result.configuration is None
    found = next(one for one in result.findings if "through" in str(one))
    assert str(found).startswith(
        "acme.yaml:7:9: bridges cannot do `through` of rule 'pg' for what is blue's: "
    )
