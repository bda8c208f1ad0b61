"""What a rejected sender is told on real bridges, and what is never answered."""

from __future__ import annotations

import socket
import struct
import time

import pytest
from topologies.frames import checksum
from topologies.lab import Machine
from topologies.probes import EchoServer, probe_tcp

from support.raw_probes import address_of
from support.service_frames import (
    ACK,
    RST,
    SYN,
    gather,
    ip_frame,
    listening,
    send,
    sums_are_right,
    tcp,
    transport,
    udp,
)
from support.service_site import ServiceSite

pytestmark = pytest.mark.net
REJECT_ALL = {"from": "any", "to": "any", "action": "reject"}
BUDGET = 10
"""Answers that one port gets in a second, and how many at once before that."""


@pytest.fixture
def rejecting(site: ServiceSite) -> ServiceSite:
    site.policy({"from": "a2", "to": "b2", "action": "allow", "services": ["tcp/80"]}, REJECT_ALL)
    return site


def is_reset(frame: bytes) -> bool:
    protocol, body = transport(frame)
    return protocol == 6 and len(body) >= 20 and bool(body[13] & RST)


def is_prohibition(frame: bytes) -> bool:
    protocol, body = transport(frame)
    return (protocol, body[:2]) in ((1, b"\x03\x0d"), (58, b"\x01\x01"))


def is_refusal(frame: bytes) -> bool:
    return is_reset(frame) or is_prohibition(frame)


def ends(frame: bytes) -> tuple[bytes, bytes]:
    return (frame[26:30], frame[30:34]) if frame[12:14] == b"\x08\x00" else (frame[22:38], frame[38:54])


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("peer", ["a2", "b1"])
def test_a_rejected_connection_is_reset_with_right_numbers_and_checksums(
    rejecting: ServiceSite, family: int, peer: str
) -> None:
    a1, other = rejecting.machines["a1"], rejecting.machines[peer]
    with listening(a1, other) as (at_sender, at_other):
        send(a1, [tcp(a1, other, 22, SYN, family, seq=7000)])
        (reset,) = gather(at_sender, is_reset, 1)
        assert not [frame for frame in at_other.drain() if transport(frame)[0] == 6]
    _, body = transport(reset)
    assert struct.unpack_from("!HHIIBB", body) == (22, 40000, 0, 7001, 0x50, RST | ACK)
    assert sums_are_right(reset)
    assert reset[:12] == bytes.fromhex((a1.mac + other.mac).replace(":", ""))
    assert ends(reset)[1] == ends(tcp(other, a1, 1, SYN, family))[1]


@pytest.mark.parametrize("family", [4, 6])
def test_a_rejected_datagram_is_answered_administratively_prohibited_with_the_packet_quoted(
    rejecting: ServiceSite, family: int
) -> None:
    a1, b1 = rejecting.machines["a1"], rejecting.machines["b1"]
    asked = udp(a1, b1, 53, b"who is there", family)
    with listening(a1) as (capture,):
        send(a1, [asked])
        (answer,) = gather(capture, is_prohibition, 1)
    assert sums_are_right(answer)
    assert asked[14:] in answer


def test_the_caller_sees_a_refusal_and_not_a_timeout(rejecting: ServiceSite) -> None:
    assert probe_tcp(rejecting.machines["a1"], address_of(rejecting.machines["b1"], 4), 22) == "reject"
    assert probe_tcp(rejecting.machines["a1"], address_of(rejecting.machines["b1"], 6), 22) == "reject"


def test_an_outside_caller_is_answered_on_its_own_vlan(rejecting: ServiceSite) -> None:
    stranger, b1 = rejecting.strangers["stranger"], rejecting.machines["b1"]
    assert probe_tcp(stranger, address_of(b1, 4), 22) == "reject"


def test_a_forged_sender_is_not_answered_and_neither_is_whom_it_poses_as(rejecting: ServiceSite) -> None:
    a1, a2, b1 = (rejecting.machines[name] for name in ("a1", "a2", "b1"))
    with listening(a1, a2, b1) as captures:
        send(a1, [tcp(a2, b1, 22, SYN), tcp(a1, b1, 23, SYN)])
        (own,) = gather(captures[0], is_reset, 1)  # of the second one: a port's packets are answered in order
        assert transport(own)[1][:2] == struct.pack("!H", 23)
        assert [frame for one in captures[1:] for frame in one.drain() if is_refusal(frame)] == []


def test_resets_icmp_errors_and_later_fragments_are_never_answered(rejecting: ServiceSite) -> None:
    a1, b1 = rejecting.machines["a1"], rejecting.machines["b1"]
    quoted = udp(b1, a1, 53, b"")[14:]
    later = bytearray(udp(a1, b1, 53, b"x" * 1400))
    later[20:22], later[24:26] = struct.pack("!H", 185), b"\0\0"
    later[24:26] = struct.pack("!H", checksum(bytes(later[14:34])))
    never = [
        tcp(a1, b1, 22, RST),
        tcp(a1, b1, 22, RST | ACK, 6),
        ip_frame(a1, b1, 1, b"\x03\x03\0\0\0\0\0\0" + quoted),
        ip_frame(a1, b1, 1, b"\x0b\x00\0\0\0\0\0\0" + quoted),
        ip_frame(a1, b1, 58, b"\x01\x04\0\0\0\0\0\0" + udp(b1, a1, 53, b"", 6)[14:], 6),
        bytes(later),
    ]
    with listening(a1) as (capture,):
        send(a1, [*never, tcp(a1, b1, 23, SYN)])
        (own,) = gather(capture, is_refusal, 1)  # of the last one: a port's packets are answered in order
        assert transport(own)[1][:2] == struct.pack("!H", 23)


def test_two_ends_that_are_both_rejected_do_not_answer_each_other_for_ever(rejecting: ServiceSite) -> None:
    a1, b1 = rejecting.machines["a1"], rejecting.machines["b1"]
    with listening(a1, b1) as (here, there):
        send(a1, [tcp(a1, b1, 40000, SYN)])
        send(b1, [tcp(b1, a1, 40000, SYN)])
        assert [len(gather(end, is_refusal, 1)) for end in (here, there)] == [1, 1]


def test_a_port_that_floods_spends_its_own_budget_and_nobody_elses(rejecting: ServiceSite) -> None:
    a1, a2, b1 = (rejecting.machines[name] for name in ("a1", "a2", "b1"))
    with listening(a1, a2) as (flooder, other):
        began = time.monotonic()
        send(a1, [udp(a1, b1, 1000 + number, b"") for number in range(400)], every_s=0.001)
        send(a2, [tcp(a2, b1, 22, SYN)])
        assert len(gather(other, is_reset, 1)) == 1
        answers = len([frame for frame in flooder.drain() if is_refusal(frame)])
        most = BUDGET + BUDGET * (time.monotonic() - began) + 2
        time.sleep(1.1)  # the next test finds the budget full again
    assert 1 <= answers <= most


def test_a_connection_whose_rule_becomes_reject_is_reset_in_its_middle(site: ServiceSite) -> None:
    a1, b1 = site.machines["a1"], site.machines["b1"]
    allow = {"from": "a1", "to": "b1", "action": "allow"}
    site.policy(allow)
    server = EchoServer(b1, [80])
    server.start()
    try:
        caller = _connected(a1, address_of(b1, 4))
        site.policy({**allow, "action": "reject"})
        with caller, pytest.raises(ConnectionResetError):
            _talk(caller)
    finally:
        server.stop()


def _connected(machine: Machine, host: str) -> socket.socket:
    caller = machine.socket(socket.AF_INET, socket.SOCK_STREAM)
    caller.settimeout(20)
    caller.connect((host, 80))
    caller.sendall(b"hello")
    assert caller.recv(64) == b"hello"
    return caller


def _talk(caller: socket.socket) -> None:
    for _ in range(20):
        caller.send(b"still there?")
        caller.recv(64)
