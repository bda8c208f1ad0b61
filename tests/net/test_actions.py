"""Reject, mirror and redirect with real connections: on one host, between two, in both families."""

from __future__ import annotations

import errno
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from topologies.lab import Capture, Machine
from topologies.probes import ALLOWED_S, EchoServer, probe_tcp

from support.demo_site import SharedSite
from support.packets import parse
from support.raw_probes import Knock, address_of, captures, mark, send

pytestmark = pytest.mark.net
BOTH = pytest.mark.parametrize("family", [4, 6])
PAIRS = pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("acme-web1", "acme-db2"),
        ("acme-web1", "acme-db1"),
        ("acme-web2", "acme-db1"),
        ("acme-web2", "acme-db2"),
    ],
    ids=["hv1", "hv1-to-hv2", "hv2", "hv2-to-hv1"],
)
CHAINS = pytest.mark.parametrize(
    ("port", "through"),
    [(6001, ["waf1"]), (6002, ["waf2"]), (6003, ["waf1", "waf2"])],
    ids=["waf1", "waf2", "both"],
)
TEXT = bytes(range(256)) * 40
SETTLE_S = 20.0


@pytest.fixture(scope="module", autouse=True)
def _servers(shared_site: SharedSite) -> Iterator[None]:
    servers = [
        EchoServer(shared_site.machines[name], (5432, 6001, 6002, 6003)) for name in ("acme-db1", "acme-db2")
    ]
    for server in servers:
        server.start()
    yield
    for server in servers:
        server.stop()


def talk(source: Machine, address: str, port: int) -> None:
    """Open a connection, have 10 KB echoed, and close it."""
    with source.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as caller:
        caller.settimeout(20.0)
        caller.connect((address, port))
        caller.sendall(TEXT)
        got = b""
        while len(got) < len(TEXT):
            got += caller.recv(65536)
        assert got == TEXT


def of_port(capture: Capture, port: int) -> Counter[bytes]:
    """Return how often each frame of a TCP or UDP port was caught."""
    found = Counter[bytes]()
    for frame in capture.drain():
        one = parse(frame)
        if one["ip_proto"] in (6, 17) and port in (one["tcp_src"], one["tcp_dst"]):
            found[frame] += 1
    return found


def both_ends(ends: dict[str, Capture], port: int) -> Counter[bytes]:
    """Return every frame of a port that arrived at either end."""
    return sum((of_port(capture, port) for capture in ends.values()), Counter[bytes]())


def until_equal(
    ends: dict[str, Capture], copies: Capture, port: int
) -> tuple[Counter[bytes], Counter[bytes]]:
    """Return what arrived at the ends and at the listener, once both are the same or it is too late."""
    deadline = time.monotonic() + SETTLE_S
    while (real := both_ends(ends, port)) != (seen := of_port(copies, port)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return real, seen


# Reject


@BOTH
@pytest.mark.parametrize("destination", ["acme-db1", "acme-db2"])
def test_a_rejected_tcp_connection_is_refused_at_once(
    site: SharedSite, family: int, destination: str
) -> None:
    batch = site.machines["acme-batch1"]
    address = address_of(site.machines[destination], family)
    inet = socket.AF_INET if family == 4 else socket.AF_INET6
    with batch.socket(inet, socket.SOCK_STREAM) as caller:
        caller.settimeout(3.0)
        with pytest.raises(ConnectionRefusedError):
            caller.connect((address, 5432))


@BOTH
@pytest.mark.parametrize("destination", ["acme-db1", "acme-db2"])
def test_a_rejected_datagram_is_answered_with_administratively_prohibited(
    site: SharedSite, family: int, destination: str
) -> None:
    batch = site.machines["acme-batch1"]
    address = address_of(site.machines[destination], family)
    inet = socket.AF_INET if family == 4 else socket.AF_INET6
    with batch.socket(inet, socket.SOCK_DGRAM) as caller, captures(batch) as caught:
        caller.settimeout(20.0)
        caller.connect((address, 5432))
        caller.send(b"a question")
        with pytest.raises(OSError) as told:
            caller.recv(64)
        icmp = [parse(f) for f in caught[batch.short_name].drain() if parse(f)["ip_proto"] in (1, 58)]
    assert told.value.errno == (errno.EHOSTUNREACH if family == 4 else errno.EACCES)
    wanted = (3, 13) if family == 4 else (1, 1)
    assert wanted in [(one["icmpv4_type"], one["icmpv4_code"]) for one in icmp]


@BOTH
def test_what_is_rejected_does_not_arrive_and_what_is_dropped_is_not_answered(
    site: SharedSite, family: int
) -> None:
    batch, db = site.machines["acme-batch1"], site.machines["acme-db1"]
    refused, dropped = Knock(batch, db, "tcp", 5432, family), Knock(db, batch, "tcp", 5432, family)
    frames = {batch: refused.frame(), db: dropped.frame()}
    with captures(batch, db) as caught:
        for source, peer in ((batch, db), (db, batch)):
            send(source, [frames[source]])
            mark(source, peer, caught[peer.short_name])
        assert frames[batch] not in caught[db.short_name].drain()
        assert frames[db] not in caught[batch.short_name].drain()
        back = [parse(frame) for frame in caught[db.short_name].drain()]
        assert not [one for one in back if one["tcp_dst"] == parse(frames[db])["tcp_src"]]


# Mirror


@BOTH
@PAIRS
@pytest.mark.parametrize("ids", ["ids1", "ids2"])
def test_an_ids_sees_every_packet_of_a_connection_once_and_byte_for_byte(
    site: SharedSite, family: int, source: str, destination: str, ids: str
) -> None:
    client, server = site.machines[source], site.machines[destination]
    with captures(client, server) as ends, site.sinks[ids].capture() as copies:
        talk(client, address_of(server, family), 5432)
        real, seen = until_equal(ends, copies, 5432)
    assert seen == real
    assert sum(seen.values()) > 10
    assert set(seen.values()) == {1}


@BOTH
def test_what_no_rule_mirrors_is_not_copied(site: SharedSite, family: int) -> None:
    client, server = site.machines["acme-web1"], site.machines["acme-db1"]
    with captures(server) as ends, site.sinks["ids1"].capture() as copies:
        send(client, [Knock(client, server, "tcp", 5433, family).frame()])
        talk(client, address_of(server, family), 6001)
        mark(client, server, ends[server.short_name])
        assert not copies.drain()


def test_whatever_an_ids_port_sends_is_dropped(site: SharedSite) -> None:
    web = site.machines["acme-web1"]
    batch = site.machines["acme-batch1"]
    frame = Knock(batch, web, "tcp", 80).frame()
    with captures(web) as caught, site.sinks["ids1"].socket(socket.AF_PACKET, socket.SOCK_RAW) as card:
        card.bind(("eth0", 0))
        card.send(frame)
        mark(batch, web, caught[web.short_name])
        assert frame not in caught[web.short_name].drain()


# Redirect


@BOTH
@CHAINS
@PAIRS
def test_both_directions_of_a_redirected_connection_pass_through_its_appliances(
    site: SharedSite, family: int, port: int, through: list[str], source: str, destination: str
) -> None:
    client, server = site.machines[source], site.machines[destination]
    nothing = Counter[bytes]()
    with captures(client, server) as ends, ExitStack() as stack:
        legs = {
            (name, leg): stack.enter_context(Capture(appliance, leg))
            for name, appliance in site.appliances.items()
            for leg in ("in", "out")
        }
        talk(client, address_of(server, family), port)
        deadline = time.monotonic() + SETTLE_S
        while True:
            passed = {"in": of_port(ends[destination], port), "out": of_port(ends[source], port)}
            wanted = {(name, leg): passed[leg] if name in through else nothing for name, leg in legs}
            seen = {key: of_port(capture, port) for key, capture in legs.items()}
            if seen == wanted or time.monotonic() > deadline:
                break
            time.sleep(0.05)
    assert seen == wanted
    assert sum(passed["in"].values()) > 5


@CHAINS
def test_what_an_appliance_refuses_does_not_arrive(site: SharedSite, port: int, through: list[str]) -> None:
    web1, web2 = site.machines["acme-web1"], site.machines["acme-web2"]
    last = site.appliances[through[-1]]
    last.nft(
        "table bridge test {\n chain pass {\n type filter hook forward priority 0;\n"
        f"  ip saddr 10.0.0.1 tcp dport {port} drop\n }}\n}}\n"
    )
    try:
        assert probe_tcp(web1, "10.0.0.3", port, 0.5) == "drop"
        assert probe_tcp(web2, "10.0.0.3", port, ALLOWED_S) == "allow"
    finally:
        last.nft("delete table bridge test\n")
    assert probe_tcp(web1, "10.0.0.3", port, ALLOWED_S) == "allow"


def test_while_an_appliance_is_away_what_should_pass_through_it_is_dropped(site: SharedSite) -> None:
    web = site.machines["acme-web1"]
    site.appliances["waf1"].set_alive(alive=False)
    try:
        assert probe_tcp(web, "10.0.0.3", 6001, 0.5) == "drop"
        assert probe_tcp(web, "10.0.0.3", 6002, ALLOWED_S) == "allow"
    finally:
        site.appliances["waf1"].set_alive(alive=True)
    assert probe_tcp(web, "10.0.0.3", 6001, ALLOWED_S) == "allow"
