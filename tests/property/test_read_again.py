"""Documents that are read again after an edit lead to what they would lead to from nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.compiled import from_nothing
from zonewall.flows.assembly import Assembler
from zonewall.flows.diff import diff_state
from zonewall.flows.leaving import retired
from zonewall.intent.fleet import index_fleet, prepare
from zonewall.intent.numbering import Numbering
from zonewall.intent.passing import NOTHING_PASSES, Passing, outliving_after
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.model import BridgeKey
from zonewall.policy.carried import carried_over
from zonewall.policy.load import load_texts
from zonewall.policy.model import Configuration
from zonewall.values.names import BridgeName, HostName

MANY = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
KEYS = tuple(BridgeKey(HostName(host), BridgeName("br-int")) for host in ("hv1", "hv2"))
ZONES = ("web", "db", "ops")
Documents = dict[str, dict[str, Any]]


def first_documents() -> Documents:
    hosts = {key.host: {"bridges": {key.bridge: {"attachment": "fabric"}}} for key in KEYS}
    ends = [
        {
            "name": f"e{number}", "tenant": ("acme", "beta")[number % 5 == 4], "iface-id": f"e{number}",
            "mac": f"02:00:00:00:00:{number + 1:02x}", "ips": [f"10.0.0.{number + 1}"],
            "labels": {"role": ZONES[number % 3]},
        }
        for number in range(9)
    ]  # fmt: skip
    zones = {zone: {"labels": {"role": zone}} for zone in ZONES}
    rules = [
        {
            "name": f"r{number}", "from": ZONES[number % 3], "to": ZONES[(number + 1) % 3],
            "services": [f"tcp/{100 + number}"], "action": "allow",
        }
        for number in range(6)
    ]  # fmt: skip
    base = [{"name": "no-db", "from": "*/any", "to": "acme/db", "services": ["udp/53"], "action": "drop"}]
    return {
        "inventory.yaml": {"kind": "inventory", "hosts": hosts, "endpoints": ends},
        "acme.yaml": {
            "kind": "tenant", "tenant": "acme", "zones": zones,
            "tiers": [{"name": "base", "rules": rules[:2]}, {"name": "application", "rules": rules[2:]}],
            "export": [{"zone": "web", "to": "beta"}],
        },
        "beta.yaml": {
            "kind": "tenant", "tenant": "beta", "zones": {"own": {"labels": {"role": "*"}}},
            "import": [{"zone": "acme/web", "as": "shop"}],
            "tiers": [{"name": "t", "rules": [{"name": "x", "from": "own", "to": "shop", "action": "drop"}]}],
        },
        "provider.yaml": {"kind": "provider", "before": [{"name": "base", "rules": base}]},
    }  # fmt: skip


def written(documents: Documents, comments: Mapping[str, str]) -> dict[str, bytes]:
    """Return the documents' texts, each below its comment: what stands in it then stands elsewhere."""
    return {
        name: (comments.get(name, "") + yaml.safe_dump(document, sort_keys=False)).encode()
        for name, document in documents.items()
    }


def read(texts: Mapping[str, bytes]) -> Configuration:
    result = load_texts(texts)
    assert result.configuration is not None, result.findings
    return result.configuration


def edited(data: st.DataObject, documents: Documents) -> None:
    """Change one thing in the documents."""
    acme, ends = documents["acme.yaml"], documents["inventory.yaml"]["endpoints"]
    rules = acme["tiers"][1]["rules"]
    what = data.draw(st.sampled_from(("rule", "gone", "order", "member", "address", "zone", "end", "mode")))
    place = data.draw(st.integers(0, 20))
    if what == "rule" and rules:
        rules[place % len(rules)]["services"] = [f"tcp/{place + 1}"]
    elif what == "gone" and rules:
        rules.pop(place % len(rules))
    elif what == "order":
        rules[:] = data.draw(st.permutations(rules))
    elif what == "member":
        ends[place % len(ends)]["labels"] = {"role": data.draw(st.sampled_from((*ZONES, "none")))}
    elif what == "address":
        ends[place % len(ends)]["ips"] = [f"10.0.1.{place + 1}"]
    elif what == "zone":
        acme["zones"]["more"] = {"cidrs": [f"10.0.0.{place * 4}/30"]}
    elif what == "end" and len(ends) > 3:
        ends.pop(place % len(ends))
    elif what == "mode":
        acme["mode"] = data.draw(st.sampled_from(("enforce", "monitor")))


def plugged(configuration: Configuration) -> FleetState:
    fleet = FleetState.start(configuration)
    for number, endpoint in enumerate(configuration.inventory.endpoints.values()):
        where = KEYS[number % 2]
        said = {"iface-id": str(endpoint.iface_id)}
        fleet, _ = fleet.port_seen(where.host, where.bridge, endpoint.name, number + 1, said, 0.0)
    for key in KEYS:
        fleet, _ = fleet.confirm(key, fleet.placement(), 0.1)
    return fleet


@MANY
@given(data=st.data())
def test_documents_read_again_are_prepared_and_assembled_as_from_nothing(data: st.DataObject) -> None:
    documents = first_documents()
    known = read(written(documents, {}))
    fleet = plugged(known)
    policy = prepare(known, Numbering())
    indexed = index_fleet(policy, fleet.placement())
    assembler = Assembler()
    held = {key: assembler.state(indexed, key) for key in KEYS}
    for _ in range(4):
        edited(data, documents)
        comments = data.draw(st.dictionaries(st.sampled_from(sorted(documents)), st.just("# moved\n")))
        fresh = read(written(documents, comments))
        carried = carried_over(known, fresh)
        assert carried == fresh
        assert str(carried) == str(fresh), "places are those of the new documents"
        before = (known, frozenset[str]())
        assert outliving_after(before, (carried, frozenset()), (), 0.0) == outliving_after(
            before, (fresh, frozenset()), (), 0.0
        )
        fleet, plain_fleet = fleet.configure(carried, 1.0)[0], fleet.configure(fresh, 1.0)[0]
        assert fleet.bindings == plain_fleet.bindings
        plain = prepare(fresh, policy.numbering)
        policy = prepare(carried, policy.numbering, before=policy)
        assert policy.numbering == plain.numbering
        assert policy.directory == plain.directory
        assert {**policy.records} == {**plain.records}
        indexed = index_fleet(policy, fleet.placement(), before=indexed)
        nothing = index_fleet(plain, fleet.placement())
        assert indexed.here == nothing.here
        assert indexed.members == nothing.members
        for key in KEYS:
            wanted, compiled = assembler.state(indexed, key), from_nothing(nothing, key)
            assert {flow.key: flow for flow in wanted.flows.values()} == compiled.flows
            assert wanted.meters == compiled.meters
            change = diff_state(held[key], wanted)
            table = {flow.key: flow for flow in held[key].flows.values()}
            assert retired(held[key].flows, wanted.flows) == retired(table, compiled.flows)
            table.update({flow.key: flow for flow in change.flows.put})
            for gone in change.flows.delete:
                del table[gone]
            assert table == compiled.flows
            held[key] = wanted
        known = carried


def test_what_has_not_changed_is_the_same_object() -> None:
    documents = first_documents()
    known = read(written(documents, {}))
    assert carried_over(known, read(written(documents, {}))) is known
    documents["acme.yaml"]["tiers"][1]["rules"][1]["services"] = ["tcp/4321"]
    carried = carried_over(known, read(written(documents, {})))
    before, now = known.tenants["acme"], carried.tenants["acme"]  # type: ignore[index]
    assert carried.inventory is known.inventory
    assert carried.provider is known.provider
    assert now.zones is before.zones
    assert now.tiers[0] is before.tiers[0]
    same = [one is other for one, other in zip(now.tiers[1].rules, before.tiers[1].rules, strict=True)]
    assert same == [True, False, True, True]


def test_what_stands_elsewhere_is_equal_and_says_where_it_stands() -> None:
    documents = first_documents()
    known = read(written(documents, {}))
    carried = carried_over(known, read(written(documents, {"acme.yaml": "# one line more\n"})))
    rules = [configuration.tenants["acme"].tiers[0].rules[0] for configuration in (known, carried)]  # type: ignore[index]
    assert rules[0] == rules[1]
    assert rules[1].location == replace(rules[0].location, line=rules[0].location.line + 1)


def test_a_rule_that_ends_and_then_does_not_is_placed_as_from_nothing() -> None:
    known = read(written(first_documents(), {}))
    policy = prepare(known, Numbering())
    for passing in (Passing({"acme/base/r1": 1000}), Passing({"acme/base/r0": 2000}), NOTHING_PASSES):
        plain = prepare(known, policy.numbering, passing=passing)
        policy = prepare(known, policy.numbering, passing=passing, before=policy)
        assert policy.placed == plain.placed
        assert policy.numbering == plain.numbering
