"""Datagrams too big for one frame, from the kernel's own sockets, over real bridges and the fabric."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from topologies.lab import Machine

from support.cut_records import wait_for_cuts
from support.demo_site import acme
from support.site import Site

pytestmark = pytest.mark.net
BOTH = pytest.mark.parametrize("family", [4, 6])
BIG = bytes(range(250)) * 16
"""4,000 bytes."""

PATIENCE_S = 2.0
SILENCE_S = 0.4


@contextmanager
def sockets(family: int, *machines: Machine) -> Iterator[list[socket.socket]]:
    """Open a UDP socket on each machine."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    opened = [machine.socket(kind, socket.SOCK_DGRAM) for machine in machines]
    for one in opened:
        one.settimeout(PATIENCE_S)
    try:
        yield opened
    finally:
        for one in opened:
            one.close()


def address(machine: Machine, family: int) -> str:
    return machine.ips[family == 6]


def received(one: socket.socket, patience_s: float = PATIENCE_S) -> bytes | None:
    one.settimeout(patience_s)
    try:
        return one.recvfrom(65535)[0]
    except TimeoutError:
        return None


@BOTH
@pytest.mark.parametrize("server", ["acme-web2", "acme-web1"])
def test_big_datagrams_pass_as_a_connections_first_and_later_and_back(
    site: Site, family: int, server: str
) -> None:
    client, web = site.machines["acme-batch1"], site.machines[server]  # on one host, and across the fabric
    with sockets(family, client, web) as (caller, listener):
        listener.bind(("", 5003))
        target = (address(web, family), 5003)
        for _ in range(3):
            caller.sendto(BIG, target)
            data, peer = listener.recvfrom(65535)
            assert data == BIG
            listener.sendto(BIG[::-1], peer)
            assert received(caller) == BIG[::-1]
            listener.sendto(b"small", peer)
            assert received(caller) == b"small"


@BOTH
def test_big_datagrams_to_a_port_that_no_rule_names_never_arrive(site: Site, family: int) -> None:
    client, web = site.machines["acme-batch1"], site.machines["acme-web2"]
    with sockets(family, client, web, web) as (caller, denied, allowed), web.capture() as seen:
        denied.bind(("", 4999))
        allowed.bind(("", 5004))
        for _ in range(3):
            caller.sendto(BIG, (address(web, family), 4999))
        assert received(denied, SILENCE_S) is None
        fragments = [frame for frame in seen.drain() if len(frame) > 1000]
        assert fragments == []
        caller.sendto(BIG, (address(web, family), 5004))
        assert received(allowed) == BIG


@BOTH
def test_big_datagrams_end_with_the_rule_that_let_them_through(site: Site, family: int) -> None:
    client, web = site.machines["acme-batch1"], site.machines["acme-web2"]
    stop = {"name": "stop", "from": "batch", "to": "web", "services": ["udp/5005"], "action": "drop"}
    with sockets(family, client, web) as (caller, listener):
        listener.bind(("", 5005))
        target = (address(web, family), 5005)
        caller.sendto(BIG, target)
        data, peer = listener.recvfrom(65535)
        assert data == BIG
        try:
            site.change(acme=acme(stop))
            caller.sendto(BIG, target)
            listener.sendto(BIG, peer)
            assert (received(listener, SILENCE_S), received(caller, SILENCE_S)) == (None, None)
            here = (address(client, family), caller.getsockname()[1])
            told = wait_for_cuts(
                site, 1, lambda one: (one["source"]["address"], one["source"]["service"]) == here
            )
            ends = [
                (one["by"], one["destination"]["endpoint"], one["destination"]["service"]) for one in told
            ]
            assert ends == [("acme/application/stop", "acme/web2", 5005)]
        finally:
            site.change(acme=acme())
        caller.sendto(BIG, target)
        assert received(listener) == BIG


@BOTH
def test_a_big_ping_is_answered(site: Site, family: int) -> None:
    web, other = site.machines["acme-web1"], site.machines["acme-web2"]
    said = web.run("ping", "-c3", "-i0.2", "-W2", "-s4000", address(other, family))
    assert "3 packets transmitted, 3 received" in said, said
