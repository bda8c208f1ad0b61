"""DHCPv6 as bridges carry it: requests reach servers only, answers come from servers only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.compiled import HERE, SECOND, UPLINKS, CompiledFleet, Port, Seen
from support.configurations import configure, endpoint, rule, tenant, tier
from zonewall.flows.simulate.packet import Packet, packet
from zonewall.pipeline.cookie import Reason
from zonewall.pipeline.model import ToController
from zonewall.placement.learnt import AddressBook, laid_over
from zonewall.placement.model import BindingState
from zonewall.policy.inventory import PortDeclaration, PortRole
from zonewall.policy.model import Configuration, Provider
from zonewall.values.addresses import link_local_address
from zonewall.values.names import EndpointKey, TenantName

ASKS, OTHER, SERVER, THIEF = (EndpointKey(f"acme/{name}") for name in ("asks", "other", "server", "thief"))
MACS = {ASKS: 0x525400000001, OTHER: 0x525400000002, SERVER: 0x525400000003, THIEF: 0x525400000004}
EVERYBODY = 0x333300010002
SERVERS = 0xFF02 << 112 | 0x10002


def shop(*, serves: bool = True) -> Configuration:
    """Return one that asks for an address, two that have some, and a server, all on two bridges."""
    roles = ("dhcp-server",) if serves else ()
    ends = [
        endpoint(ASKS, mac=MACS[ASKS]),
        endpoint(OTHER, "10.0.0.2", "fd00::2", mac=MACS[OTHER]),
        endpoint(SERVER, "10.0.0.3", "fd00::3", mac=MACS[SERVER], roles=roles),
        endpoint(THIEF, "10.0.0.4", "fd00::4", mac=MACS[THIEF]),
    ]
    own = tenant("acme", tier("t", rule("all", "any", "any")))
    named = Provider(multicast=frozenset({"mdns", "dhcpv6"}))
    return laid_over(configure(*ends, own, provider=named), AddressBook())


def request(
    source: EndpointKey,
    *,
    port: int = 546,
    address: int | None = None,
    to: int = SERVERS,
    mac: int = EVERYBODY,
) -> Packet:
    own = int(link_local_address(MACS[source])) if address is None else address
    return packet(
        eth_type=0x86DD, eth_src=MACS[source], eth_dst=mac, ipv6_src=own, ipv6_dst=to,
        ip_proto=17, udp_src=port, udp_dst=547,
    )  # fmt: skip


def reply(source: EndpointKey, to: EndpointKey, port: int = 547) -> Packet:
    return packet(
        eth_type=0x86DD, eth_src=MACS[source], eth_dst=MACS[to], ip_proto=17, udp_src=port, udp_dst=546,
        ipv6_src=int(link_local_address(MACS[source])), ipv6_dst=int(link_local_address(MACS[to])),
    )  # fmt: skip


def arrived(seen: Seen) -> list[Port]:
    return sorted(port for port, _ in seen.arrived if port[1] not in UPLINKS)


def told(seen: Seen) -> list[int]:
    """Return the reasons of the copies that the controller was sent."""
    return [
        action.userdata[0]
        for _, flow in seen.trail
        for action in flow.actions
        if isinstance(action, ToController)
    ]


@pytest.mark.parametrize("source", [ASKS, OTHER, THIEF])
@pytest.mark.parametrize("port", [546, 40000])
def test_a_request_reaches_the_server_and_nobody_else(source: EndpointKey, port: int) -> None:
    fleet = CompiledFleet(shop())
    seen = fleet.send(fleet.places[source], request(source, port=port))
    assert [to for to, _ in seen.arrived] == [fleet.places[SERVER]]


def test_where_nobody_serves_a_request_reaches_nobody() -> None:
    fleet = CompiledFleet(shop(serves=False))
    assert fleet.send(fleet.places[ASKS], request(ASKS)).arrived == []
    assert fleet.send(fleet.places[OTHER], request(OTHER)).arrived == []


@pytest.mark.parametrize(
    "frame",
    [
        request(ASKS, address=int(link_local_address(MACS[OTHER]))),
        request(ASKS, address=0xFD << 120 | 9),
        request(ASKS, address=0),
        request(ASKS, to=0xFF05 << 112 | 0x10003),
        request(ASKS, to=0xFD << 120 | 3, mac=MACS[THIEF]),
    ],
    ids=[
        "another's address",
        "no address of its own",
        "from nowhere",
        "another group",
        "to one that is no server",
    ],
)
def test_a_forged_request_reaches_nobody(frame: Packet) -> None:
    fleet = CompiledFleet(shop())
    assert fleet.send(fleet.places[ASKS], frame).arrived == []


def test_only_who_may_be_granted_addresses_is_heard_by_the_controller() -> None:
    fleet = CompiledFleet(shop())
    assert told(fleet.send(fleet.places[ASKS], request(ASKS))) == [Reason.GIVEN_UP]
    assert told(fleet.send(fleet.places[OTHER], request(OTHER))) == []


def test_a_servers_answer_reaches_the_client_and_a_copy_the_controller() -> None:
    fleet = CompiledFleet(shop())
    for client in (ASKS, OTHER):
        seen = fleet.send(fleet.places[SERVER], reply(SERVER, client))
        assert arrived(seen) == [fleet.places[client]]
        assert told(seen) == [Reason.DHCP]


@pytest.mark.parametrize("source", [THIEF, OTHER])
@pytest.mark.parametrize("port", [547, 40000])
def test_an_answer_from_anybody_else_reaches_nobody(source: EndpointKey, port: int) -> None:
    fleet = CompiledFleet(shop())
    seen = fleet.send(fleet.places[source], reply(source, ASKS, port))
    assert (arrived(seen), told(seen)) == ([], [])


def test_an_isolated_client_may_still_ask_and_hear_the_answer_and_an_isolated_server_says_nothing() -> None:
    client = CompiledFleet(shop(), states={ASKS: BindingState.QUARANTINED})
    assert arrived(client.send(client.places[ASKS], request(ASKS))) == [client.places[SERVER]]
    assert arrived(client.send(client.places[SERVER], reply(SERVER, ASKS))) == [client.places[ASKS]]
    server = CompiledFleet(shop(), states={SERVER: BindingState.QUARANTINED})
    assert server.send(server.places[SERVER], reply(SERVER, ASKS)).arrived == []


@pytest.mark.parametrize("serves", [True, False])
def test_an_uplink_answers_only_where_the_inventory_says_so(serves: bool) -> None:
    fleet = CompiledFleet(shop(serves=False))
    inventory = fleet.configuration.inventory
    vlans = {fleet.vlans[TenantName("acme")]: TenantName("acme")}
    host = inventory.hosts[SECOND.host]
    ports = {
        **host.bridges[SECOND.bridge].ports,
        "up-1": PortDeclaration("up-1", PortRole.UPLINK, HERE, vlans=vlans, dhcp=serves),
    }
    bridge = replace(host.bridges[SECOND.bridge], ports=ports)
    hosts = {**inventory.hosts, SECOND.host: replace(host, bridges={SECOND.bridge: bridge})}
    configuration = replace(fleet.configuration, inventory=replace(inventory, hosts=hosts))
    fleet.carry(
        replace(fleet.policy, configuration=configuration),
        replace(fleet.placement, ports={**fleet.placement.ports, (SECOND, "up-1"): 60001}),  # type: ignore[dict-item]
    )
    tag = tuple(vlans)
    asked = fleet.send(fleet.places[ASKS], request(ASKS))
    assert [port for port, _ in asked.arrived] == ([(SECOND, 60001)] if serves else [])
    answer = packet(
        vlans=tag, eth_type=0x86DD, eth_src=0x00005E00AA01, eth_dst=MACS[ASKS], ip_proto=17, udp_src=547,
        udp_dst=546, ipv6_src=0xFE80 << 112 | 1, ipv6_dst=int(link_local_address(MACS[ASKS])),
    )  # fmt: skip
    seen = fleet.send((SECOND, 60001), answer)
    assert (arrived(seen), told(seen)) == (([fleet.places[ASKS]], [Reason.DHCP]) if serves else ([], []))


def solicitation(source: EndpointKey, to: EndpointKey) -> Packet:
    return packet(
        eth_type=0x86DD, eth_src=MACS[source], eth_dst=0x3333FF000000 | MACS[to] & 0xFFFFFF, ip_proto=58,
        icmpv6_type=135, ipv6_src=int(link_local_address(MACS[source])),
        ipv6_dst=0xFF02 << 112 | 0x1FF << 24 | MACS[to] & 0xFFFFFF,
        nd_target=int(link_local_address(MACS[to])), nd_sll=MACS[source],
    )  # fmt: skip


def test_the_server_can_ask_for_the_clients_link_layer_address_before_it_has_any_other() -> None:
    fleet = CompiledFleet(shop())
    assert arrived(fleet.send(fleet.places[SERVER], solicitation(SERVER, ASKS))) == [fleet.places[ASKS]]
    assert arrived(fleet.send(fleet.places[ASKS], solicitation(ASKS, SERVER))) == [fleet.places[SERVER]]
