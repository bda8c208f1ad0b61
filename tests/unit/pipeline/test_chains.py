"""Ways through appliances as flows: what they cost, what moves with one that is away, who began."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

import pytest

from support.compiled import FIRST, CompiledFleet, Port, Seen
from support.configurations import configure, endpoint, probe, rule, tenant, tier, zone
from zonewall.flows.simulate.connections import ConnTrack
from zonewall.flows.simulate.packet import Packet
from zonewall.intent.fleet import index_fleet, prepare
from zonewall.intent.numbering import Kind, Numbering
from zonewall.intent.semantics import Probe
from zonewall.pipeline.compile import compile_bridge
from zonewall.pipeline.model import BridgeProgram
from zonewall.pipeline.tables import CHAIN_PICK, CHAIN_TABLE, MODIFY, STEER, STEER_BACK
from zonewall.placement.model import Binding, BridgeKey, Link, Placement
from zonewall.policy.load import load_texts
from zonewall.policy.model import Configuration
from zonewall.values.names import BridgeName, EndpointKey, HostName, OfPort

WEB, DB = EndpointKey("acme/web"), EndpointKey("acme/db")
ASK = probe(WEB, DB, "tcp/80")
HV1, HV2 = (BridgeKey(HostName(name), BridgeName("br-int")) for name in ("hv1", "hv2"))
POLICY = """\
kind: tenant
tenant: acme
zones:
  web: {labels: {role: web}}
  db:  {labels: {role: db}}
tiers:
  - name: t
    rules:
      - {name: shop, from: web, to: db, services: [tcp/80], action: allow, through: [waf]}
"""


def documents(appliances: int, when_down: str = "drop") -> Configuration:
    """Return two hosts with one endpoint each and a function with so many appliances on the first."""
    legs = "".join(
        f"          w{number}{leg}: {{role: service, function: waf, leg: {leg}, instance: i{number}}}\n"
        for number in range(appliances)
        for leg in ("in", "out")
    )
    inventory = f"""\
kind: inventory
hosts:
  hv1:
    bridges:
      br-int:
        attachment: fabric
        ports:
          fab0: {{role: fabric}}
{legs}  hv2:
    bridges: {{br-int: {{attachment: fabric, ports: {{fab0: {{role: fabric}}}}}}}}
endpoints:
  - {{name: web, tenant: acme, iface-id: w, mac: "52:54:00:00:00:01", ips: [10.0.0.1], labels: {{role: web}}}}
  - {{name: db,  tenant: acme, iface-id: d, mac: "52:54:00:00:00:02", ips: [10.0.0.2], labels: {{role: db}}}}
service-functions: {{waf: {{kind: bump-in-the-wire, when-down: {when_down}}}}}
"""
    read = load_texts({"inventory.yaml": inventory.encode(), "acme.yaml": POLICY.encode()})
    assert read.configuration is not None, read.findings
    return read.configuration


def compiled(appliances: int, *away: str, when_down: str = "drop") -> dict[BridgeKey, BridgeProgram]:
    """Return what both bridges hold, web on hv1 and db on hv2."""
    configuration = documents(appliances, when_down)
    ports = {(HV1, "fab0"): OfPort(1), (HV2, "fab0"): OfPort(1)}
    for number in range(appliances):
        ports[HV1, f"w{number}in"] = OfPort(100 + 2 * number)
        ports[HV1, f"w{number}out"] = OfPort(101 + 2 * number)
    bindings = {WEB: (Binding(WEB, HV1, OfPort(10)),), DB: (Binding(DB, HV2, OfPort(10)),)}
    link = Link((HV1, OfPort(1)), (HV2, OfPort(1)))
    fleet = index_fleet(
        prepare(configuration, Numbering()), Placement(bindings, ports, frozenset({link}), frozenset(away))
    )
    return {key: compile_bridge(fleet, key) for key in (HV1, HV2)}


def shop(*through: str) -> CompiledFleet:
    own = tenant(
        "acme",
        tier("t", rule("shop", "web", "db", services=["tcp/80"], through=through)),
        zones=[zone(name, labels={"role": name}) for name in ("web", "db")],
    )
    ends = [
        endpoint("acme/db", "10.0.0.2", labels={"role": "db"}, mac=0x525400000002),
        endpoint("acme/web", "10.0.0.1", labels={"role": "web"}, mac=0x525400000001),
    ]
    return CompiledFleet(configure(*ends, own, service_functions=("waf",)))


def first(fleet: CompiledFleet, asked: Probe) -> tuple[Port, Packet]:
    return fleet.entering(asked, *fleet.addresses(asked))


def answer(fleet: CompiledFleet) -> tuple[Port, Packet]:
    back = replace(
        ASK, source=ASK.destination, destination=ASK.source, source_port=80, destination_port=40000
    )
    port, frame = first(fleet, back)
    return port, frame.but(tcp_flags=0x10)


def arrived(seen: Seen) -> list[Port]:
    return [port for port, _ in seen.arrived]


def test_who_uses_no_functions_has_no_flow_for_them() -> None:
    for program in shop().programs.values():
        tables = [flow.table for flow in program.flows]
        assert not {CHAIN_PICK, STEER, STEER_BACK} & set(tables)
        assert tables.count(CHAIN_TABLE) == tables.count(MODIFY) == 1, "the one that goes on"


def test_one_more_appliance_costs_a_few_flows_where_it_is_and_fewer_elsewhere() -> None:
    sizes = [{key: len(program.flows) for key, program in compiled(count).items()} for count in (2, 3, 4)]
    growth = {key: {b[key] - a[key] for a, b in pairwise(sizes)} for key in (HV1, HV2)}
    assert growth == {HV1: {29}, HV2: {8}}


@pytest.mark.parametrize("away", ["waf/i0", "waf/i2"])
def test_an_appliance_that_goes_away_changes_only_where_connections_are_given_a_way(away: str) -> None:
    before, after = compiled(3), compiled(3, away)
    for key in (HV1, HV2):
        changed = set(before[key].flows) ^ set(after[key].flows)
        assert {flow.table.name for flow in changed} == {"chain", "chain_pick"}


def test_a_bridge_whose_functions_appliances_are_all_away_drops_or_goes_on_without_them() -> None:
    for when_down, actions in (("drop", set()), ("bypass", {"deliver"})):
        program = compiled(1, "waf/i0", when_down=when_down)[HV1]
        kept = [flow for flow in program.flows if flow.table is CHAIN_TABLE and flow.priority == 200]
        led = {getattr(flow.actions[-1], "table", None) for flow in kept}
        assert {table.name for table in led if table is not None} == actions


def test_an_answer_that_an_appliance_sees_first_comes_out_of_it_and_so_does_what_it_answers() -> None:
    fleet = shop("waf")
    assert fleet.send(*first(fleet, ASK)).through == ["waf"]
    zone_of_waf = fleet.policy.numbering.numbers[Kind.DOMAIN.word]["function:waf"]
    kept = {
        key: one
        for key, one in fleet.tracked[FIRST].entries.items()
        if key.zone & 0xFFF != zone_of_waf
    }  # fmt: skip
    assert len(kept) < len(fleet.tracked[FIRST].entries)
    fleet.tracked[FIRST] = ConnTrack(MappingProxyType(kept))

    back = fleet.send(*answer(fleet))
    assert (back.through, arrived(back)) == (["waf"], [fleet.places[WEB]])
    port, frame = first(fleet, ASK)
    forth = fleet.send(port, frame.but(tcp_flags=0x10))
    assert (forth.through, arrived(forth)) == (["waf"], [fleet.places[DB]])
    again = fleet.send(*answer(fleet))
    assert (again.through, arrived(again)) == (["waf"], [fleet.places[WEB]])
