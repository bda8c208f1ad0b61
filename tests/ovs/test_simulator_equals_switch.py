"""What the simulator says of flow tables, a real switch does: the same frames, the same connections."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.injected_switch import InjectedSwitch, injected_switch
from support.packets import build, parse
from support.random_flows import IP4, LABEL_LOW, MACS, OUT, R0, R1_HIGH, TABLES, V4, packets, programs
from zonewall.flows.render import render_group, render_numeric
from zonewall.flows.simulate import (
    Connection,
    ConnTrack,
    Endpoint,
    FlowTables,
    Packet,
    Tuple,
    packet,
    simulate,
    simulate_datagram,
)
from zonewall.pipeline import packet_fields as f
from zonewall.pipeline.model import (
    BridgeProgram,
    Ct,
    Flow,
    Goto,
    Move,
    Output,
    PopField,
    PushField,
    Resubmit,
    SetField,
)

pytestmark = pytest.mark.ovs
COUNT = int(os.environ.get("ZONEWALL_CONFIGURATIONS", "0"))
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InjectedSwitch]:
    with injected_switch(tmp_path_factory.mktemp("switch")) as running:
        yield running


def shown_end(key: Tuple, src: Endpoint, dst: Endpoint) -> str:
    version = ipaddress.IPv4Address if key.family == 0x0800 else ipaddress.IPv6Address
    addresses = f"src={version(src.address)},dst={version(dst.address)}"
    if key.protocol in (1, 58):
        return f"({addresses},id={src.icmp_id},type={src.port >> 8},code={src.port & 0xFF})"
    return f"({addresses},sport={src.port},dport={dst.port})"


def shown(connection: Connection) -> str:
    """Return the line of ``dpctl/dump-conntrack``."""
    key = connection.original
    parts = [
        PROTOCOLS[key.protocol],
        f"orig={shown_end(key, key.src, key.dst)}",
        f"reply={shown_end(key, key.dst, key.src)}",
        f"zone={key.zone}" if key.zone else "",
        f"mark={connection.mark}" if connection.mark else "",
        f"labels={connection.label:#x}" if connection.label else "",
    ]
    return ",".join(filter(None, parts))


def hold_against(switch: InjectedSwitch, program: BridgeProgram, frames: list[Packet]) -> None:
    """Send the packets one after the other through both; stop where either outcome would be right."""
    flows = FlowTables(program, switch.ports)
    switch.program(
        [render_numeric(flow) for flow in program.flows], [render_group(g) for g in program.groups]
    )
    connections = ConnTrack()
    for number, one in enumerate(frames):
        expected = simulate(flows, one, connections)
        if expected.ambiguous or any("not modelled" in error for error in expected.errors):
            return
        left = switch.inject(one["in_port"], build(one))
        by_port = sorted(expected.sent, key=lambda sent: sent.port)
        seen = [(port, parse(frame)) for port, frame in left]
        assert seen == [(s.port, s.packet) for s in by_port], f"packet {number}, {one}: {expected.trail}"
        connections = expected.connections
        remembered = {shown(connection) for connection in connections.entries.values()}
        assert switch.connections() == remembered, f"packet {number}, {one}: {expected.trail}"


@settings(
    max_examples=max(60, COUNT // 5),
    deadline=None,
    derandomize=COUNT == 0,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(program=programs(), frames=st.lists(packets(), min_size=4, max_size=8))
def test_generated_tables_send_the_same_frames_and_keep_the_same_connections(
    switch: InjectedSwitch, program: BridgeProgram, frames: list[Packet]
) -> None:
    hold_against(switch, program, frames)


def between(src: int, dst: int, in_port: int, **fields: Any) -> Packet:
    """Return an IPv4 packet between two of three addresses."""
    return packet(
        in_port=in_port,
        eth_src=MACS[src % 2],
        eth_dst=MACS[dst % 2],
        eth_type=f.ETH_IPV4,
        nw_ttl=64,
        ipv4_src=V4[src],
        ipv4_dst=V4[dst],
        **fields,
    )


TRACK, JUDGE, VERDICT, DELIVER = TABLES
UDP_443 = (IP4, (f.IP_PROTO, 17, None), (f.UDP_DST, 443, None), (R0, 1, None), (R1_HIGH, 2, None))
FIREWALL = BridgeProgram(
    (
        Flow(TRACK, 2, (IP4, (f.IN_PORT, 1, None)), (SetField(R0, 1), SetField(R1_HIGH, 2), Ct(5, JUDGE))),
        Flow(TRACK, 2, (IP4, (f.IN_PORT, 2, None)), (SetField(R0, 2), SetField(R1_HIGH, 1), Ct(5, JUDGE))),
        Flow(JUDGE, 9, ((f.CT_STATE, f.CT_TRK | f.CT_INV, f.CT_TRK | f.CT_INV),), ()),
        Flow(
            JUDGE,
            5,
            (IP4, (f.CT_STATE, f.CT_TRK | f.CT_RPL, f.CT_TRK | f.CT_RPL | f.CT_INV)),
            (
                PushField(R0),
                PushField(R1_HIGH),
                PopField(R0),
                PopField(R1_HIGH),
                Resubmit(VERDICT, True),
                Goto(DELIVER),
            ),
        ),
        Flow(JUDGE, 1, (IP4,), (Resubmit(VERDICT), Goto(DELIVER))),
        Flow(VERDICT, 7, UDP_443, (SetField(OUT, 7),)),
        Flow(
            DELIVER,
            1,
            (IP4, (OUT, 7, None), (f.IN_PORT, 1, None)),
            (Ct(5, None, True, (Move(R0, LABEL_LOW),)), Output(2)),
        ),
        Flow(
            DELIVER,
            1,
            (IP4, (OUT, 7, None), (f.IN_PORT, 2, None)),
            (Ct(5, None, True, (Move(R0, LABEL_LOW),)), Output(1)),
        ),
    )
)


def test_answers_and_errors_are_judged_as_their_connection(switch: InjectedSwitch) -> None:
    ask = between(0, 1, 1, ip_proto=17, udp_src=5000, udp_dst=443)
    answer = between(1, 0, 2, ip_proto=17, udp_src=443, udp_dst=5000)
    other = between(1, 0, 2, ip_proto=17, udp_src=444, udp_dst=5000)
    quoted = packet(
        eth_type=f.ETH_IPV4, nw_ttl=64, ip_proto=17, ipv4_src=V4[0], ipv4_dst=V4[1], udp_src=5000, udp_dst=443
    )
    error = Packet(between(1, 0, 2, ip_proto=1, icmpv4_type=3, icmpv4_code=3).values, quoted=quoted)
    flows = FlowTables(FIREWALL)

    hold_against(switch, FIREWALL, [answer, error, ask, ask, answer, other, error, ask])

    after = simulate(flows, ask).connections
    assert simulate(flows, answer).ports == ()
    assert [simulate(flows, one, after).ports for one in (answer, other, error)] == [(1,), (), (1,)]


TRACK_ALL = BridgeProgram(
    (
        Flow(TRACK, 1, (IP4,), (Ct(5, JUDGE),)),
        *(
            Flow(JUDGE, 1, (IP4, (f.CT_STATE, f.CT_TRK | state, 0xFF)), (Ct(5, None, True), Output(port)))
            for port, state in (
                (3, f.CT_NEW),
                (4, f.CT_EST),
                (5, f.CT_EST | f.CT_RPL),
                (2, f.CT_REL | f.CT_RPL),
            )
        ),
    )
)
TCP_TALKS = {
    "opened and closed": (
        (0, 0x02),
        (0, 0x02),
        (1, 0x12),
        (0, 0x10),
        (0, 0x11),
        (1, 0x11),
        (0, 0x10),
        (0, 0x02),
    ),
    "taken up in its middle": ((0, 0x10), (0, 0x10), (1, 0x10), (0, 0x18), (0, 0x04)),
    "begun by an answer": ((1, 0x12), (0, 0x10), (1, 0x12)),
    "never sent by a TCP": ((0, 0x00), (0, 0x03), (0, 0x01), (0, 0x06)),
    "reset": ((0, 0x02), (1, 0x14), (0, 0x02)),
}


@pytest.mark.parametrize("talk", TCP_TALKS)
def test_tcp_is_tracked_as_the_switch_tracks_it(switch: InjectedSwitch, talk: str) -> None:
    ends = ({"tcp_src": 5000, "tcp_dst": 80}, {"tcp_src": 80, "tcp_dst": 5000})
    frames = [
        between(side, 1 - side, 1, ip_proto=6, tcp_flags=flags, **ends[side])
        for side, flags in TCP_TALKS[talk]
    ]

    hold_against(switch, TRACK_ALL, frames)


@pytest.mark.parametrize("kind", [0, 3, 4, 5, 8, 9, 10, 11, 13, 15, 17])
def test_icmp_that_nobody_asked_for_begins_what_the_switch_says(switch: InjectedSwitch, kind: int) -> None:
    frames = [between(0, 1, 1, ip_proto=1, icmpv4_type=kind)] * 2

    hold_against(switch, TRACK_ALL, frames)


def test_all_sctp_between_two_addresses_is_one_connection(switch: InjectedSwitch) -> None:
    first = between(0, 1, 1, ip_proto=132, sctp_src=5000, sctp_dst=80)
    elsewhere = between(1, 0, 1, ip_proto=132, sctp_src=81, sctp_dst=6000)

    hold_against(switch, TRACK_ALL, [first, first, elsewhere, first])

    begun = simulate(FlowTables(TRACK_ALL), first).connections
    assert simulate(FlowTables(TRACK_ALL), elsewhere, begun).ports == (5,)


def test_a_fragment_whose_rest_never_comes_is_held(switch: InjectedSwitch) -> None:
    alone = between(0, 1, 1, ip_proto=17, udp_src=5000, udp_dst=80, ip_frag=1)
    rest = alone.but(udp_src=0, udp_dst=0, ip_frag=3)
    switch.program([render_numeric(flow) for flow in TRACK_ALL.flows])

    assert switch.inject(1, build(alone)) == []
    assert simulate(FlowTables(TRACK_ALL), alone).ports == ()
    assert simulate_datagram(FlowTables(TRACK_ALL), (rest, alone)).ports == (3, 3)


def test_a_packet_whose_address_is_changed_between_two_commits_makes_two_connections(
    switch: InjectedSwitch,
) -> None:
    commit = Ct(5, None, True)
    actions = (commit, SetField(f.IPV4_DST, V4[2]), commit, commit, Output(2))
    program = BridgeProgram((Flow(TRACK, 1, (IP4,), actions),))
    ask = between(0, 1, 1, ip_proto=17, udp_src=5000, udp_dst=443)

    hold_against(switch, program, [ask, ask])

    assert len(simulate(FlowTables(program), ask).connections.entries) == 2
