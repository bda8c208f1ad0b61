"""What the policy says happens to real packets: stateful, in both families, per tenant, by identity."""

from __future__ import annotations

import socket
from itertools import product

import pytest
from topologies.lab import Machine

from support.packets import build
from support.raw_probes import ACK, SYN_ACK, Knock, arrived, captures, ip_packet, mark, outcome, send
from support.site import Site

pytestmark = pytest.mark.net
BOTH = pytest.mark.parametrize("family", [4, 6])


def echo(family: int) -> tuple[str, int]:
    return ("icmp", 8) if family == 4 else ("icmpv6", 128)


def test_every_pair_protocol_and_port_fares_as_the_evaluator_says(site: Site) -> None:
    knocks = []
    own = [m for name, m in site.machines.items() if name.startswith("acme")]
    for source, destination, family in product(own, own, (4, 6)):
        if source is destination:
            continue
        services = [("tcp", port) for port in (22, 80, 7999, 8000, 8050, 8099, 8100)]
        services += [("udp", port) for port in (4999, 5000, 5009, 5010)]
        services += [("sctp", 2905), ("sctp", 2906), echo(family), (echo(family)[0], 13)]
        knocks += [Knock(source, destination, proto, port, family) for proto, port in services]
    judged = [answer["verdict"] == "allow" for answer in site.judge(knock.probe() for knock in knocks)]
    came = outcome(knocks)
    wrong = [k.probe() for k, does, should in zip(knocks, came, judged, strict=True) if does != should]
    assert not wrong
    assert 100 < sum(came) < len(came) - 100


@BOTH
@pytest.mark.parametrize("port", [7999, 8000, 8099, 8100])
def test_a_port_range_ends_where_it_is_written(site: Site, family: int, port: int) -> None:
    knock = Knock(site.machines["acme-db1"], site.machines["acme-web1"], "tcp", port, family)
    assert outcome([knock]) == [8000 <= port <= 8099]


@pytest.fixture
def web1(site: Site) -> Machine:
    return site.machines["acme-web1"]


@pytest.fixture
def web2(site: Site) -> Machine:
    return site.machines["acme-web2"]


@BOTH
@pytest.mark.parametrize("proto", ["tcp", "udp", "sctp"])
def test_answers_pass_while_their_connection_lives_and_nothing_else_back(
    site: Site, family: int, proto: str
) -> None:
    batch, web = site.machines["acme-batch1"], site.machines["acme-web2"]
    port = {"tcp": 8001, "udp": 5001, "sctp": 2905}[proto]
    asked = ip_packet(batch, web, proto, port, family=family)
    sport = asked[f"{proto}_src"]
    answer = build(ip_packet(web, batch, proto, sport, family=family, sport=port, flags=SYN_ACK))
    # User space tracks SCTP by addresses alone: there an answer comes from the service's port, to any.
    other = {"sport": port + 1} if proto == "sctp" else {"sport": port}
    unasked = build(ip_packet(web, batch, proto, sport + 5000, family=family, flags=SYN_ACK, **other))

    assert arrived(web, batch, [unasked]) == [False]
    assert arrived(batch, web, [build(asked)]) == [True]
    assert arrived(web, batch, [answer]) == [True]
    assert arrived(web, batch, [unasked]) == [False]


@BOTH
def test_two_machines_may_begin_sctp_associations_with_each_other_both_ways(
    site: Site, family: int, web1: Machine, web2: Machine
) -> None:
    for source, destination in ((web1, web2), (web2, web1), (web1, web2)):
        first = ip_packet(source, destination, "sctp", 2905, family=family)
        answer = ip_packet(destination, source, "sctp", first["sctp_src"], family=family, sport=2905)
        refused = ip_packet(source, destination, "sctp", 2906, family=family)
        assert arrived(source, destination, [build(first), build(refused)]) == [True, False]
        assert arrived(destination, source, [build(answer)]) == [True]


@BOTH
def test_a_tcp_segment_without_syn_begins_nothing(site: Site, family: int) -> None:
    db, web = site.machines["acme-db1"], site.machines["acme-web1"]
    segment = build(ip_packet(db, web, "tcp", 8002, family=family, flags=ACK))
    assert arrived(db, web, [segment]) == [False]


@BOTH
def test_what_no_rule_decides_is_dropped(site: Site, family: int) -> None:
    db, batch = site.machines["acme-db1"], site.machines["acme-batch1"]
    assert outcome([Knock(db, batch, proto, 80, family) for proto in ("tcp", "udp", "sctp")]) == [False] * 3


@BOTH
def test_tenants_with_the_same_addresses_never_meet(site: Site, family: int) -> None:
    # acme/web1 and blue/app1 are twins down to the MAC, and so are acme/web2 and blue/app2.
    acme1, acme2 = site.machines["acme-web1"], site.machines["acme-web2"]
    blue1, blue2 = site.machines["blue-app1"], site.machines["blue-app2"]
    knocks = [("tcp", 80), ("tcp", 8000), ("tcp", 9000), ("udp", 9000), ("udp", 5000), echo(family)]
    for mine, peer, twins in (
        (acme1, acme2, (blue1, blue2)),
        (blue1, blue2, (acme1, acme2)),
        (acme2, acme1, (blue1, blue2)),
        (blue2, blue1, (acme1, acme2)),
    ):
        frames = [Knock(mine, peer, proto, port, family).frame() for proto, port in knocks]
        with captures(peer, *twins) as caught:
            mark(mine, peer, caught[peer.short_name])
            send(mine, frames)
            mark(mine, peer, caught[peer.short_name])
            assert set(frames) & set(caught[peer.short_name].drain())
            for twin in twins:
                assert not set(frames) & set(caught[twin.short_name].drain())


@BOTH
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
def test_two_programs_talk_over_an_allowed_port(site: Site, family: int, kind: int, web1: Machine) -> None:
    port = 8003 if kind == socket.SOCK_STREAM else 5003
    client = site.machines["acme-db1"]
    inet = socket.AF_INET if family == 4 else socket.AF_INET6
    with web1.socket(inet, kind) as server, client.socket(inet, kind) as caller:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("", port))
        server.settimeout(5.0)
        caller.settimeout(5.0)
        if kind == socket.SOCK_STREAM:
            server.listen()
        caller.connect((web1.ips[0 if family == 4 else 1], port))
        caller.send(b"question")
        peer = server.accept()[0] if kind == socket.SOCK_STREAM else server
        data, address = peer.recvfrom(64)
        assert data == b"question"
        if kind == socket.SOCK_STREAM:
            peer.send(b"answer")
            peer.close()
        else:
            server.sendto(b"answer", address)
        assert caller.recv(64) == b"answer"


def test_the_machines_of_a_tenant_ping_each_other_where_a_rule_says_so(site: Site) -> None:
    batch = site.machines["acme-batch1"]
    assert batch.ping("10.0.0.2", count=2) >= 1
    assert batch.ping("fd00::2", count=2) >= 1
    assert batch.ping("10.0.0.3", timeout_s=0.5) == 0
