"""Errors are for people: file, line and column, what is wrong, what would be right; all of a run at once."""

# ruff: noqa: E501 - a table is read line by line

from __future__ import annotations

from collections.abc import Mapping

import pytest

from zonewall.policy.load import LoadResult, load_texts
from zonewall.policy.notes import MORE, MOST_COUNTED, MOST_ERRORS
from zonewall.policy.visibility import hidden_from
from zonewall.values.names import TenantName

INVENTORY = """kind: inventory
hosts:
  hv1: {bridges: {br-int: {attachment: fabric}}}
endpoints:
  - {name: web1, tenant: acme, iface-id: w1, mac: "52:54:00:00:00:01", ips: [10.0.0.1], labels: {role: web}}
  - {name: db1, tenant: blue, iface-id: d1, mac: "52:54:00:00:00:02", ips: [10.0.0.1], labels: {role: db}}
mirror-targets: {ids: {tunnel: gre, remote: 192.0.2.9}}
"""
BLUE = "kind: tenant\ntenant: blue\nzones: {db: {labels: {role: db}}}\n"
ACME = "kind: tenant\ntenant: acme\nzones: {web: {labels: {role: web}}}\n"


def load(**more: str) -> LoadResult:
    texts: Mapping[str, str] = {"acme": ACME, "blue": BLUE, "inventory": INVENTORY, **more}
    return load_texts({f"{name}.yaml": text.encode() for name, text in sorted(texts.items())})


def rule(text: str) -> dict[str, str]:
    return {"acme": f"{ACME}tiers:\n  - name: t\n    rules:\n      - {{{text}}}\n"}


def zone(text: str) -> dict[str, str]:
    return {"acme": f"kind: tenant\ntenant: acme\nzones:\n  web: {text}\n"}


def endpoint(text: str) -> dict[str, str]:
    line = f'{{name: x, tenant: acme, iface-id: x, mac: "52:54:00:00:00:09", {text}}}'
    return {"more": f"kind: inventory\nendpoints:\n  - {line}\n"}


A, R = "name: r, from: any", "to: web, action: allow"
WRONG = {
    "unknown key": (rule(f"{A}, {R}, servces: [tcp/1]"), "acme.yaml:7:54: the key 'servces' is not known; did you mean 'services'?"),
    "missing key": (rule("name: r, to: web, action: drop"), "acme.yaml:7:9: `from` is missing here; add it"),
    "no kind": ({"x": "tenant: acme"}, "x.yaml:1:1: a document says what it is first: `kind: inventory`"),
    "unknown kind": ({"x": "kind: tenannt"}, "x.yaml:1:7: a document says what it is first"),
    "duplicate key": ({"acme": ACME + "zones: {}\n"}, "acme.yaml:4:1: the key 'zones' stands here twice, first in line 3; keep one"),
    "unknown zone": (rule(f"{A}, to: wbe, action: allow"), "acme.yaml:7:34: 'wbe' is no zone of acme; did you mean 'web'?"),
    "another tenant's zone": (rule(f"{A}, to: blue/db, action: allow"), "acme.yaml:7:34: 'blue/db': another tenant's zone has to be imported"),
    "unknown service": (rule(f"{A}, {R}, services: [htp]"), "acme.yaml:7:64: 'htp' is no service; there are no services of this document"),
    "unknown action": (rule(f"{A}, to: web, action: permit"), "acme.yaml:7:47: 'permit' is not known here; write 'allow', 'drop', 'reject' or 'pass'"),
    "unknown mirror target": (rule(f"{A}, {R}, mirror: idss"), "acme.yaml:7:62: 'idss' is no mirror target; did you mean 'ids'?"),
    "through a drop": (rule(f"{A}, to: web, action: drop, through: [waf]"), "only what is allowed can go through 'waf'; make the action allow"),
    "port range": (rule(f"{A}, {R}, services: [tcp/90-80]"), "'90-80' ends before it begins; write 80-90"),
    "port number": (rule(f"{A}, {R}, services: [tcp/65536]"), "65536 is out of range; write a number from 0 to 65535"),
    "octal port": (rule(f"{A}, {R}, services: [tcp/010]"), "'010' is no whole number"),
    "icmp type": (rule(f"{A}, {R}, services: [icmp/echo]"), "'echo' is no icmp type; types are destination-unreachable, echo-reply, echo-request"),
    "protocol": (rule(f"{A}, {R}, services: [tpc/80]"), "'tpc/80' is no service; did you mean 'tcp'?"),
    "ports of icmp": (rule(f"{A}, {R}, services: [{{proto: icmp, ports: [1]}}]"), "icmp has no ports"),
    "limit": (rule(f"{A}, {R}, limit: 100"), "'100' is no limit; write 100pps, 500kbps, 10mbps or 1gbps"),
    "hours": (rule(f"{A}, {R}, hours: {{days: mon, from: '25:00', to: '08:00'}}"), "'25:00' is no time of day; write \"08:00\""),
    "weekday": (rule(f"{A}, {R}, hours: {{days: mo, from: '07:00', to: '08:00'}}"), "'mo' is no weekday; write mon, tue"),
    "time zone": (rule(f"{A}, {R}, hours: {{days: mon, from: '07:00', to: '08:00', zone: Berlin}}"), "'Berlin' is no time zone; write one such as Europe/Berlin"),
    "expires": (rule(f"{A}, {R}, expires: 2030-13-01T00:00:00Z"), "is no moment; write 2030-12-31T18:00:00Z"),
    "on-change": (rule(f"{A}, {R}, on-change: drain"), "'drain' is not known here; write cut, keep, or drain and seconds: drain 30"),
    "self in from": (rule("name: r, from: self, to: web, action: allow"), "acme.yaml:7:25: `self` stands in `to` only"),
    "self of any": (rule(f"{A}, to: self, action: allow"), "`to: self` pairs each zone in `from` with itself; name zones there"),
    "empty list": (rule(f"name: r, from: [], {R}"), "acme.yaml:7:25: the list is empty; name at least one"),
    "wrong type": (rule(f"{A}, {R}, services: {{}}"), "acme.yaml:7:64: `proto` is ''; write tcp, udp, sctp, icmp, icmpv6 or a number"),
    "a list for a mapping": ({"acme": "kind: tenant\ntenant: acme\nzones: [web]\n"}, "acme.yaml:3:8: a mapping of keys is wanted here, not a list"),
    "duplicate rule": ({"acme": f"{ACME}tiers: [{{name: t, rules: [{{{A}, {R}}}, {{{A}, {R}}}]}}]"}, "there is a rule 'r' in this tier already; rename one"),
    "duplicate tier": ({"acme": f"{ACME}tiers: [{{name: t}}, {{name: t}}]"}, "acme.yaml:4:27: there is a tier 't' already; rename one"),
    "a tier before and after": ({"p": "kind: provider\nbefore: [{name: g}]\nafter: [{name: g}]"}, "p.yaml:3:16: there is a tier 'g' already; rename one"),
    "duplicate mirror": ({"acme": ACME + "mirrors:\n - {name: m, from: any, to: any, target: ids}\n - {name: m, from: any, to: any, target: ids}"}, "acme.yaml:6:11: 'm' stands twice under `mirrors`; rename one"),
    "duplicate tenant": ({"x": ACME}, "x.yaml:2:9: tenant 'acme' has a policy already, in acme.yaml"),
    "duplicate provider": ({"p": "kind: provider", "q": "kind: provider"}, "q.yaml:1:7: there is a provider's policy already, in p.yaml"),
    "reserved tenant": ({"x": "kind: tenant\ntenant: provider"}, "x.yaml:2:9: no tenant can be called 'provider'; rename it"),
    "reserved zone": ({"acme": "kind: tenant\ntenant: acme\nzones: {any: {}}"}, "acme.yaml:3:9: 'any' means somebody in every rule; give the zone another name"),
    "reserved service": ({"acme": ACME + "services: {tcp: [tcp/1]}"}, "acme.yaml:4:12: 'tcp' is a service already; choose another name"),
    "cidr": (zone("{cidrs: [10.0.0.1/8]}"), "acme.yaml:4:17: '10.0.0.1/8' has bits beyond its length; did you mean 10.0.0.0/8?"),
    "no cidr": (zone("{cidrs: [ten]}"), "'ten' is no prefix; write it as 192.0.2.0/24 or 2001:db8::/48"),
    "mac": (zone('{macs: ["52:54"]}'), "'52:54' is no MAC address; write it as 52:54:00:12:34:56"),
    "zone of itself": (zone("{zones: [web]}"), "acme.yaml:4:3: zone 'web' is made of itself; write who is in it"),
    "union of nothing": (zone("{zones: [db]}"), "'db' is no zone; zones are web"),
    "endpoint of nothing": (zone("{endpoints: [web2]}"), "'web2' is no endpoint; did you mean 'web1'?"),
    "outside of labels": (zone("{labels: {a: b}, outside: true}"), "`outside` keeps `cidrs` to addresses of no endpoint; name some `cidrs`"),
    "service of itself": ({"acme": ACME + "services: {a: [b], b: [a]}"}, "acme.yaml:4:12: service 'a' is made of itself; write what it is"),
    "ip": (endpoint("ips: [10.0.0.300]"), "more.yaml:3:74: '10.0.0.300' is no IP address; write it as 10.0.0.1 or fd00::1"),
    "ip with a length": (endpoint("ips: [10.0.0.3/32]"), "'10.0.0.3/32' is a range; write one address here, and ranges under `ranges`"),
    "duplicate address": (endpoint("ips: [10.0.0.1]"), "10.0.0.1 is acme/web1's already; give each endpoint its own"),
    "host": (endpoint("port: {name: p, host: hv2}"), "'hv2' is no host; did you mean 'hv1'?"),
    "unknown tenant": ({"more": 'kind: inventory\nendpoints: [{name: y, tenant: amce, iface-id: y, mac: "52:54:00:00:00:07"}]'}, "'amce' is no tenant; did you mean 'acme'?"),
    "unbound": ({"m": 'kind: inventory\nendpoints: [{name: y, tenant: acme, mac: "52:54:00:00:00:07"}]'}, "m.yaml:2:13: say how its port is known: `iface-id`, or `port: {name: …}`"),
    "import of no zone": ({"acme": ACME + "import: [{zone: blue/dbb, as: theirs}]"}, "acme.yaml:4:10: 'dbb' is no zone of blue; did you mean 'db'?"),
    "import of no tenant": ({"acme": ACME + "import: [{zone: bleu/db, as: theirs}]"}, "acme.yaml:4:10: 'bleu' is no tenant; did you mean 'blue'?"),
    "import of one's own": ({"acme": ACME + "import: [{zone: acme/web, as: mine}]"}, "acme.yaml:4:10: 'acme/web' is this tenant's own; name it without an import"),
    "import of a bare zone": ({"acme": ACME + "import: [{zone: db, as: theirs}]"}, "acme.yaml:4:10: 'db' is no tenant's zone; write it as tenant/zone"),
    "two ways": ({"acme": ACME + "import: [{zone: blue/db, as: theirs}]", "blue": BLUE + "export: [{zone: db, to: acme}]"}, "10.0.0.1 is acme/web1's and blue/db1's, and acme could reach both"),
    "two ways by the provider": ({"p": "kind: provider\nbefore: [{name: g, rules: [{name: r, from: acme/web, to: blue/any, action: allow}]}]"}, "p.yaml:2:28: 10.0.0.1 is acme/web1's and blue/db1's, and acme could reach both"),
    "assertion of nothing": ({"acme": ACME + "assert: [{from: any, to: web}]"}, "acme.yaml:4:10: an assertion says one of the two"),
    "provider's bare zone": ({"p": "kind: provider\nbefore: [{name: g, rules: [{name: r, from: web, to: any, action: drop}]}]"}, "'web': in a provider's rules a zone is written tenant/zone, or */any"),
    "import's name from outside": ({"acme": ACME + "import: [{zone: blue/db, as: d}]", "blue": BLUE + "export: [{zone: db, to: acme}]", "p": "kind: provider\nremediation: acme/d"}, "'d' is no zone of acme"),
    "ethertype": ({"p": "kind: provider\nethertypes: [0x0800]"}, "0x0800 is IPv4, which zonewall judges by itself; leave it out"),
    "provider limit": ({"p": "kind: provider\nlimits: {new-connections: 10}"}, "'10' is no such limit; write it as `200/s per endpoint`"),
    "uplink without vlans": ({"h": "kind: inventory\nhosts: {h: {bridges: {b: {attachment: fabric, ports: {e: {role: uplink}}}}}}"}, "h.yaml:2:55: a port of role uplink says its `vlans`"),
    "tag": ({"x": "kind: !!python/object:os.system tenant"}, "x.yaml:1:7: the tag tag:yaml.org,2002:python/object:os.system has no place here; leave it out"),
    "merge key": ({"x": "kind: tenant\n<<: {tenant: acme}"}, "x.yaml:2:1: merge keys (<<) are not read; write the keys out"),
    "syntax": ({"x": "kind: [tenant"}, "this is no YAML: while parsing a flow sequence"),
    "NUL": ({"x": "kind: ten\0ant"}, "x.yaml:1:10: a control character (U+0000) has no place here; remove it"),
    "alias to nothing": ({"x": "kind: *nobody"}, "x.yaml:1:7: *nobody refers to no earlier &nobody"),
    "a loop of aliases": ({"x": "kind: &a [*a]"}, "x.yaml:1:11: *a stands within itself"),
}  # fmt: skip


@pytest.mark.parametrize(("documents", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_its_place_and_what_would_be_right(
    documents: dict[str, str], message: str
) -> None:
    result = load(**documents)

    assert result.configuration is None
    assert any(message in str(finding) for finding in result.findings), [str(f) for f in result.findings]
    assert all("\n" not in finding.message for finding in result.findings)


def test_the_documents_that_each_error_was_put_into_are_valid_without_it() -> None:
    result = load(**rule(f"{A}, {R}"))

    assert result.configuration is not None
    assert not any(finding.is_error for finding in result.findings)


def test_all_errors_of_a_run_are_told_at_once_in_the_order_of_the_documents() -> None:
    result = load(
        acme=f"{ACME}tiers: [{{name: t, rules: [{{name: r, from: wbe, to: wep, action: permit}}]}}]\ndefualt: drop\n",
        blue=f"{BLUE}mirrors: [{{name: m, from: dbb, to: any, target: [nowhere]}}]\n",
        x="kind: [",
    )

    found = [finding for finding in result.findings if finding.is_error]
    places = [str(finding.location) for finding in found]
    assert places == sorted(places)
    assert {finding.location.file for finding in found} == {"acme.yaml", "blue.yaml", "x.yaml"}
    assert len(found) == 7


def test_errors_between_documents_are_told_beside_those_within_them() -> None:
    result = load(
        acme=f"{ACME}import: [{{zone: blue/dbb, as: theirs}}]\ndefualt: drop\n",
        blue=f"{BLUE[: BLUE.index('zones')]}zones: {{db: {{zones: [own]}}, own: {{zones: [db]}}}}\n",
        more='kind: inventory\nendpoints: [{name: y, tenant: amce, iface-id: y, mac: "52:54:00:00:00:07"}]',
    )

    found = " ".join(str(finding) for finding in result.findings if finding.is_error)
    assert "did you mean 'default'?" in found
    assert "'dbb' is no zone of blue" in found
    assert "'amce' is no tenant; did you mean 'acme'?" in found
    assert "is made of itself" in found


@pytest.mark.parametrize(
    "blue",
    [
        "kind: [",
        f"{BLUE}export: [{{zone: db, to: acme, too: 7}}]",
        BLUE.replace("tenant: blue", "tenant: 5!"),
    ],
    ids=["not read", "read in parts", "without its name"],
)
def test_what_only_follows_from_another_documents_error_is_not_told(blue: str) -> None:
    result = load(acme=f"{ACME}import: [{{zone: blue/db, as: theirs}}]", blue=blue)

    found = [str(finding) for finding in result.findings if finding.is_error]
    assert all(line.startswith("blue.yaml") for line in found if "acme" not in line), found
    assert not any("'blue' is no tenant; tenants" in line for line in found), found
    assert not any(finding.code == "not-exported" for finding in result.findings)


def tier(name: str, count: int, form: str) -> str:
    return f"  - name: {name}\n    rules:\n" + "".join(f"      - {form.format(n)}\n" for n in range(count))


@pytest.fixture(
    params=[
        "{{name: r{0}, from: n{0}, to: any, action: drop}}",
        "{{name: r{0}, from: any, to: any, action: permit}}",
    ],
    ids=["no zone", "no action"],
)
def form(request: pytest.FixtureRequest) -> str:
    """A rule with one error: of its names, or of its words."""
    return str(request.param)


def shown(result: LoadResult) -> list[str]:
    return [str(finding) for finding in result.findings if finding.is_error and finding.code != MORE]


@pytest.mark.parametrize("more", [1, 700])
def test_so_many_errors_are_shown_and_the_last_line_says_how_many_more_there_are(
    form: str, more: int
) -> None:
    tiers = tier("t", MOST_ERRORS - 100, form) + tier("u", 99 + more, form)
    result = load(acme=f"{ACME}tiers:\n{tiers}", blue=f"{BLUE}defualt: drop\n")

    assert len(shown(result)) == MOST_ERRORS
    assert f"there are {more} more errors beside the 500 shown; mend these" in str(result.findings[-1])


def test_exactly_as_many_errors_as_are_shown_are_all(form: str) -> None:
    result = load(acme=f"{ACME}tiers:\n{tier('t', MOST_ERRORS, form)}")

    assert len(shown(result)) == MOST_ERRORS
    assert all(finding.code != MORE for finding in result.findings)


def test_a_hopeless_run_counts_to_some_thousand_errors_and_says_at_least(form: str) -> None:
    result = load(acme=f"{ACME}tiers:\n{tier('t', MOST_COUNTED + 1000, form)}")

    assert len(shown(result)) == MOST_ERRORS
    assert f"there are at least {MOST_COUNTED - MOST_ERRORS} more errors" in str(result.findings[-1])


def test_what_the_other_tenant_does_not_export_or_no_longer_is_warned_of() -> None:
    """Refused, it would keep in force what the other one takes back."""
    result = load(acme=f"{ACME}import: [{{zone: blue/db, as: theirs}}]")

    (found,) = [finding for finding in result.findings if finding.code == "not-exported"]
    assert result.configuration is not None
    assert str(found) == (
        "acme.yaml:4:10: warning: blue does not export db to acme: 'theirs' is nobody until it does (`export:`)"
    )


def test_warnings_that_are_not_shown_are_counted_too() -> None:
    zones = "".join(f"  z{n}: {{labels: {{nobody: has}}}}\n" for n in range(MOST_ERRORS + 7))
    result = load(acme=f"kind: tenant\ntenant: acme\nzones:\n{zones}")

    assert result.configuration is not None
    # One of the warnings is the inventory's.
    assert "warning: there are 8 more warnings beside the 500 shown" in str(result.findings[-1])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{A}, {R}, on-change: keep", []),
        (f"{A}, {R}, on-change: keep, through: waf", ["`on-change` changes nothing here: what goes through 'waf' is cut"]),
        (f"{A}, to: web, action: reject, on-change: drain 30", ["`on-change` changes nothing here: only a rule that allows"]),
        (f"{A}, to: web, action: drop, log: connections", []),
        (f"{A}, to: web, action: pass, log: connections, limit: 1pps", ["`log` changes nothing here: a rule that passes", "`limit` changes nothing here: a rule that passes"]),
    ],
)  # fmt: skip
def test_what_changes_nothing_in_a_rule_is_warned_of(text: str, told: list[str]) -> None:
    functions = {"more": "kind: inventory\nservice-functions: {waf: {kind: bump-in-the-wire}}\n"}

    result = load(**rule(text), **functions)

    assert result.configuration is not None
    found = [finding.message for finding in result.findings if finding.code == "no-effect"]
    assert len(found) == len(told)
    assert all(one.startswith(words) for one, words in zip(found, told, strict=True))


@pytest.mark.parametrize(
    ("asked", "fits"),
    [("{trust: high}", True), ("{trust: hihg}", False), ("{labels: {rack: r1}}", True), ("{labels: {rack: r2}}", False), ("{trust: [low, high], hosts: [hv1]}", True)],
)  # fmt: skip
def test_a_zone_whose_members_no_host_may_run_is_warned_of(asked: str, fits: bool) -> None:
    hosts = INVENTORY.replace("hv1: {bridges", "hv1: {trust: high, labels: {rack: r1}, bridges")

    result = load(inventory=hosts, **zone(f"{{labels: {{role: web}}, hosts: {asked}}}"))

    assert result.configuration is not None
    told = [str(finding) for finding in result.findings if finding.code == "no-host"]
    message = "acme.yaml:4:3: warning: members of zone 'web' may run nowhere: no host is as its `hosts` asks"
    assert told == ([] if fits else [message])


@pytest.mark.parametrize(
    "form", ["{{zones: [n{0}]}}", "{{labels: {{role: web}}, except: {{zones: [n{0}]}}}}"]
)
@pytest.mark.parametrize("step", [1, -1])
def test_how_deep_zones_and_services_may_be_does_not_depend_on_their_order(form: str, step: int) -> None:
    def chain(levels: int) -> LoadResult:
        zones = ["n0: {labels: {role: web}}", *(f"n{n + 1}: {form.format(n)}" for n in range(levels))]
        services = ["s0: [tcp/1]", *(f"s{n + 1}: [s{n}]" for n in range(levels))]
        parts = {"zones": zones[::step], "services": services[::step]}
        return load(acme="kind: tenant\ntenant: acme\n" + "".join(
            f"{key}:\n" + "".join(f"  {line}\n" for line in lines) for key, lines in parts.items()
        ))  # fmt: skip

    assert chain(16).configuration is not None
    assert [finding.code for finding in chain(17).findings if finding.is_error] == ["too-deep"] * 2


def test_a_duplicate_in_a_list_is_told_where_it_stands() -> None:
    result = load(x=INVENTORY.partition("hosts:")[0] + "endpoints:\n" + INVENTORY.split("\n")[4] + "\n")

    assert "x.yaml:3:5: there is an endpoint 'acme/web1' already; rename one" in map(str, result.findings)


def test_an_address_that_two_imported_zones_hold_is_reachable_in_two_ways() -> None:
    acme = ACME.replace("web}}}", "web}}, cidr: {cidrs: [192.0.2.0/24]}}") + (
        "import: [{zone: blue/db, as: d}, {zone: red/app, as: a}]\n"
    )
    red = "kind: tenant\ntenant: red\nzones: {app: {labels: {role: app}}, idle: {labels: {role: idle}}}\n"
    twin = (
        "kind: inventory\nendpoints:\n"
        '  - {name: a, tenant: red, iface-id: ra, mac: "52:54:00:00:00:0a", ips: [10.0.0.1], labels: {role: ROLE}}\n'
    )
    inventory = INVENTORY.replace(
        "ips: [10.0.0.1], labels: {role: web}", "ips: [10.7.0.1], labels: {role: web}"
    )
    documents = {
        "acme": acme,
        "blue": BLUE + "export: [{zone: db, to: acme}]\n",
        "red": red + "export: [{zone: app, to: acme}]\n",
        "inventory": inventory,
    }

    both = load(**documents, twin=twin.replace("ROLE", "app"))
    apart = load(**documents, twin=twin.replace("ROLE", "idle"))

    assert any(
        "10.0.0.1 is blue/db1's and red/a's, and acme could reach both" in str(f) for f in both.findings
    )
    assert apart.configuration is not None


@pytest.mark.parametrize(("ip", "is_wrong"), [("fd00::7", True), ("10.0.0.7", False)], ids=["IPv6", "IPv4"])
def test_one_mac_is_one_link_local_address_of_those_who_speak_ipv6(ip: str, is_wrong: bool) -> None:
    def twins(role: str) -> LoadResult:
        one = f'iface-id: {{0}}, mac: "52:54:00:00:00:77", ips: ["{ip}{{1}}"], labels: {{{{role: {role}}}}}'
        first, second = (one.format(*each) for each in (("t1", "1"), ("t2", "2")))
        ends = f"  - {{name: t, tenant: acme, {first}}}\n  - {{name: t, tenant: blue, {second}}}\n"
        return load(
            acme=ACME + "import: [{zone: blue/app, as: theirs}]\n",
            blue="kind: tenant\ntenant: blue\nzones: {app: {labels: {role: app}}}\nexport: [{zone: app, to: acme}]\n",
            inventory="kind: inventory\nendpoints:\n" + ends,
        )

    said = "fe80::5054:ff:fe00:77 is acme/t's and blue/t's, and acme could reach both; give one of them another MAC"
    assert any(said in str(one) for one in twins("app").findings) is is_wrong


def test_whom_a_tenant_cannot_reach_is_not_seen_by_a_link_local_address_that_another_one_has() -> None:
    ends = "".join(
        f'  - {{name: t, tenant: {owner}, iface-id: {owner}, mac: "52:54:00:00:00:77", ips: ["fd00::{number}"],'
        f" labels: {{role: {role}}}}}\n"
        for number, (owner, role) in enumerate((("blue", "db"), ("red", "idle")), start=1)
    )
    [acme, blue, red] = map(TenantName, ("acme", "blue", "red"))
    found = load(
        acme=ACME + "import: [{zone: blue/db, as: d}, {zone: red/app, as: a}]\n",
        blue=BLUE + "export: [{zone: db, to: acme}]\n",
        red="kind: tenant\ntenant: red\nzones: {app: {labels: {role: app}}}\nexport: [{zone: app, to: acme}]\n",
        inventory="kind: inventory\nendpoints:\n" + ends,
    ).configuration
    assert found is not None
    assert hidden_from(found, [(acme, blue), (acme, red)]) == {"red/t": {acme}}


def test_errors_of_form_hide_no_errors_about_names_and_lead_to_none() -> None:
    rules = [
        "{name: a, from: wbe, to: web, action: permit}",  # a wrong word, and a name
        "{name: b, from: web, to: web, services: [tcp/99999, htp], action: drop}",
        "{name: c, from: web, to: [], action: drop}",
        "{name: d, from: web, to: half, action: drop}",  # the zone is there, though it cannot be read
        "{name: e, form: web, to: web, action: drop}",
        "{name: f, from: any, to: self, action: drop}",
    ]
    result = load(
        acme="kind: tenant\ntenant: acme\nzones:\n  web: {labels: {role: web}}\n  half: {cidrs: [10.0.0.300]}\n"
        "defualt: drop\ntiers:\n  - name: t\n    rules:\n" + "".join(f"      - {rule}\n" for rule in rules)
    )

    found = sorted((one.location.line, one.code) for one in result.findings if one.is_error)
    assert found == [
        (5, "wrong-value"),
        (6, "unknown-key"),
        (10, "unknown-zone"),
        (10, "wrong-value"),
        (11, "unknown-service"),
        (11, "wrong-value"),
        (12, "wrong-value"),
        (14, "missing-key"),
        (14, "unknown-key"),
        (15, "wrong-value"),
    ]


def test_a_document_whose_every_part_is_wrong_ends_after_some_hundred_errors() -> None:
    ends = "".join(f"  - {{name: e{number}, nope: 1}}\n" for number in range(5_000))
    result = load(inventory=f"kind: inventory\nendpoints:\n{ends}")

    assert sum(finding.is_error for finding in result.findings) == MOST_ERRORS + 1
    assert "there are at least" in result.findings[-1].message
