"""A packet's whole way on paper goes through the appliance that its connection takes, as on the bridges."""

from __future__ import annotations

from zonewall.flows.journey import Journey, Out, Traveller
from zonewall.flows.simulate.packet import packet
from zonewall.flows.simulate.tables import FlowTables
from zonewall.intent.fleet import index_fleet, prepare
from zonewall.intent.numbering import Numbering
from zonewall.pipeline.compile import compile_bridge
from zonewall.placement.model import Binding, BridgeKey, Link, Placement
from zonewall.policy.load import load_texts
from zonewall.values.names import BridgeName, EndpointKey, HostName, OfPort

HV1, HV2 = (BridgeKey(HostName(name), BridgeName("br-int")) for name in ("hv1", "hv2"))
WEB, DB = EndpointKey("acme/web"), EndpointKey("acme/db")
PORTS = {"fab0": 1, "eth1": 2, "one-in": 3, "one-out": 4, "two-in": 5, "two-out": 6, "arm0": 7}
INVENTORY = b"""\
kind: inventory
hosts:
  hv1:
    bridges:
      br-int:
        attachment: fabric
        ports:
          fab0: {role: fabric}
          eth1: {role: uplink, vlans: {100: acme}, function: fw}
          one-in:  {role: service, function: waf, leg: in, instance: one}
          one-out: {role: service, function: waf, leg: out, instance: one}
          two-in:  {role: service, function: waf, leg: in, instance: two}
          two-out: {role: service, function: waf, leg: out, instance: two}
          arm0: {role: service, function: arm, leg: only}
  hv2:
    bridges: {br-int: {attachment: fabric, ports: {fab0: {role: fabric}}}}
endpoints:
  - {name: web, tenant: acme, iface-id: w, mac: "52:54:00:00:00:01", ips: [10.0.0.1]}
  - {name: db,  tenant: acme, iface-id: d, mac: "52:54:00:00:00:02", ips: [10.0.0.2]}
service-functions:
  waf: {kind: bump-in-the-wire}
  arm: {kind: one-armed}
  fw: {kind: vlan-pair, out: 900, back: 901}
"""
POLICY = b"""\
kind: tenant
tenant: acme
tiers:
  - name: t
    rules:
      - {name: r, from: any, to: any, action: allow, through: [waf, fw, arm]}
"""


UNDERLAY = INVENTORY.replace(b"attachment: fabric", b"attachment: underlay").replace(
    b"fab0: {role: fabric}}", b"eth1: {role: uplink, vlans: {100: acme}, function: fw}}"
)
ONLY_FIREWALL = POLICY.replace(b"[waf, fw, arm]", b"[fw]")


def travel(
    web: BridgeKey, db: BridgeKey, inventory: bytes = INVENTORY, policy: bytes = POLICY
) -> tuple[Journey, Journey]:
    """Return the ways of a first packet from web to db and of its answer."""
    read = load_texts({"inventory.yaml": inventory, "acme.yaml": policy})
    assert read.configuration is not None, read.findings
    ports = {(HV1, name): OfPort(number) for name, number in PORTS.items()}
    ports[HV2, "fab0"] = OfPort(1)
    ports[HV2, "eth1"] = OfPort(2)
    bindings = {WEB: (Binding(WEB, web, OfPort(10)),), DB: (Binding(DB, db, OfPort(11)),)}
    link = Link((HV1, OfPort(1)), (HV2, OfPort(1)))
    fleet = index_fleet(
        prepare(read.configuration, Numbering()), Placement(bindings, ports, frozenset({link}))
    )
    held = {key: FlowTables(compile_bridge(fleet, key)) for key in (HV1, HV2)}
    asked = packet(
        eth_src=0x525400000001, eth_dst=0x525400000002, eth_type=0x0800, ipv4_src=0x0A000001,
        ipv4_dst=0x0A000002, ip_proto=17, udp_src=4000, udp_dst=53,
    )  # fmt: skip
    answered = packet(
        eth_src=0x525400000002, eth_dst=0x525400000001, eth_type=0x0800, ipv4_src=0x0A000002,
        ipv4_dst=0x0A000001, ip_proto=17, udp_src=53, udp_dst=4000,
    )  # fmt: skip
    forth = Traveller(fleet, held.__getitem__)
    there = forth.go((web, 10), asked)
    back = Traveller(fleet, held.__getitem__, _tracked=forth._tracked)
    return there, back.go((db, 11), answered)


def passed(journey: Journey) -> list[tuple[str, str]]:
    return [(one.kind.name, one.name) for one in journey.departures]


def test_through_appliances_of_every_kind_and_back_in_the_opposite_order_wherever_the_ends_are() -> None:
    for web, db in ((HV1, HV2), (HV2, HV1), (HV2, HV2), (HV1, HV1)):
        there, back = travel(web, db)
        assert (there.errors, back.errors) == ((), ())
        functions = [(Out.FUNCTION.name, name) for name in ("waf", "fw", "arm")]
        assert passed(there) == [*functions, (Out.ENDPOINT.name, str(DB))]
        assert passed(back) == [*functions[::-1], (Out.ENDPOINT.name, str(WEB))]


def test_over_an_underlay_the_clients_host_sends_both_directions_through_its_own_uplink() -> None:
    for web, db in ((HV1, HV2), (HV2, HV1), (HV2, HV2), (HV1, HV1)):
        there, back = travel(web, db, UNDERLAY, ONLY_FIREWALL)
        assert (there.errors, back.errors) == ((), ())
        for journey, end in ((there, DB), (back, WEB)):
            assert passed(journey) == [(Out.FUNCTION.name, "fw"), (Out.ENDPOINT.name, str(end))]
            assert {one.bridge for one in journey.departures if one.kind is Out.FUNCTION} == {web}


def test_over_an_underlay_what_has_no_appliance_beside_its_client_does_not_pass() -> None:
    for web, passes in ((HV1, True), (HV2, False)):
        there, _ = travel(web, HV1, UNDERLAY, POLICY)
        assert there.arrives is passes
