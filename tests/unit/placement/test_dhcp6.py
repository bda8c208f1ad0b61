"""What a DHCPv6 server grants and a client gives up, read from frames: only whole, good messages count."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zonewall.placement.dhcp import Grant, parse_grant
from zonewall.placement.dhcp6 import parse_given_up, parse_grants_6
from zonewall.values.addresses import MacAddress

MAC = 0x525400000001
LINK_LOCAL = "fe80::5054:ff:fe00:1"
ADVERTISE, REQUEST, RENEW, REPLY, RELEASE, DECLINE = 2, 3, 5, 7, 8, 9
NO_ADDRESSES, NO_BINDING = 2, 3


def option(kind: int, body: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("!HH", kind, len(body) if length is None else length) + body


def status(code: int) -> bytes:
    return option(13, struct.pack("!H", code) + b"as a person would say it")


def lease(address: str = "fd00::9", valid: int = 3600, preferred: int = 1800, more: bytes = b"") -> bytes:
    return option(5, ipaddress.IPv6Address(address).packed + struct.pack("!II", preferred, valid) + more)


def ia_na(*inside: bytes, t1: int = 900, t2: int = 1440) -> bytes:
    return option(3, struct.pack("!III", 1, t1, t2) + b"".join(inside))


def ia_ta(*inside: bytes) -> bytes:
    return option(4, struct.pack("!I", 1) + b"".join(inside))


WHO = (
    option(1, b"\x00\x03\x00\x01" + MAC.to_bytes(6, "big")),
    option(2, b"\x00\x03\x00\x01\x52\x54\x00\x00\x00\x02"),
)


def message(kind: int, *options: bytes, who: Iterable[bytes] = WHO) -> bytes:
    return bytes([kind]) + b"abc" + b"".join(who) + b"".join(options)


def frame(
    body: bytes,
    *,
    ports: tuple[int, int] = (547, 546),
    to: str = LINK_LOCAL,
    mac: int = MAC,
    next_header: int = 17,
    version: int = 6,
    ethertype: int = 0x86DD,
    length: int | None = None,
    size: int | None = None,
) -> bytes:
    udp = struct.pack("!HHHH", *ports, 8 + len(body) if size is None else size, 0) + body
    head = struct.pack("!IHBB", version << 28, len(udp) if length is None else length, next_header, 64)
    addresses = ipaddress.IPv6Address("fe80::2").packed + ipaddress.IPv6Address(to).packed
    ethernet = mac.to_bytes(6, "big") + bytes.fromhex("525400000002") + ethertype.to_bytes(2, "big")
    return ethernet + head + addresses + udp


def answer(*options: bytes, kind: int = REPLY, who: Iterable[bytes] = WHO, **words: Any) -> bytes:
    return frame(message(kind, *options, who=who), **words)


def granted(address: str = "fd00::9", seconds: int | None = 3600) -> Grant:
    return Grant(MacAddress(MAC), ipaddress.IPv6Address(address), seconds)


def test_a_reply_grants_each_address_in_it_for_its_valid_lifetime() -> None:
    assert parse_grants_6(answer(ia_na(lease()))) == (granted(),)
    assert parse_grants_6(answer(ia_na(lease()), option(23, bytes(16))) + bytes(20)) == (granted(),)
    several = answer(ia_na(lease("fd00::9"), lease("fd00::a", 60, 60)), ia_ta(lease("fd00::b")))
    assert parse_grants_6(several) == (granted(), granted("fd00::a", 60), granted("fd00::b"))


def test_a_reply_to_a_solicitation_that_asked_for_speed_grants_too() -> None:
    assert parse_grants_6(answer(option(14), ia_na(lease()))) == (granted(),)


def test_a_lifetime_may_have_no_end_and_none_takes_the_address_away() -> None:
    assert parse_grants_6(answer(ia_na(lease(valid=0xFFFFFFFF)))) == (granted(seconds=None),)
    assert parse_grants_6(answer(ia_na(lease(valid=0, preferred=0)))) == (granted(seconds=0),)


def test_a_good_status_is_no_hindrance_and_a_renewal_may_come_to_the_granted_address() -> None:
    assert parse_grants_6(answer(ia_na(lease(more=status(0)), status(0)), status(0))) == (granted(),)
    assert parse_grants_6(answer(ia_na(lease()), to="fd00::9")) == (granted(),)
    assert parse_grants_6(answer(ia_na(lease(), t1=0, t2=0))) == (granted(),)


def test_one_refused_association_takes_nothing_from_another() -> None:
    mixed = answer(
        ia_na(status(NO_ADDRESSES)), ia_na(lease("fd00::a", 9, 9), lease("fd00::9", more=status(4)))
    )
    assert parse_grants_6(mixed) == (granted("fd00::a", 9),)


HOSTILE = {
    "advertise": answer(ia_na(lease()), kind=ADVERTISE),
    "request": answer(ia_na(lease()), kind=REQUEST),
    "from a client's port": answer(ia_na(lease()), ports=(546, 547)),
    "from any port": answer(ia_na(lease()), ports=(1024, 546)),
    "no UDP": answer(ia_na(lease()), next_header=6),
    "extension header": answer(ia_na(lease()), next_header=0),
    "fragment": answer(ia_na(lease()), next_header=44),
    "IPv4": answer(ia_na(lease()), version=4),
    "other ethertype": answer(ia_na(lease()), ethertype=0x0800),
    "to a group": answer(ia_na(lease()), mac=0x3333_0000_0001, to="ff02::1"),
    "to a group address": answer(ia_na(lease()), to="ff02::1"),
    "to no MAC": answer(ia_na(lease()), mac=0),
    "MAC and address of two": answer(ia_na(lease()), to="fe80::5054:ff:fe00:2"),
    "more said than there is": answer(ia_na(lease()), length=400),
    "datagram longer than packet": answer(ia_na(lease()), size=400),
    "datagram of no length": answer(ia_na(lease()), size=0),
    "no server": answer(ia_na(lease()), who=WHO[:1]),
    "no client": answer(ia_na(lease()), who=WHO[1:]),
    "two servers": answer(ia_na(lease()), who=(*WHO, WHO[1])),
    "empty server": answer(ia_na(lease()), who=(WHO[0], option(2))),
    "refused": answer(ia_na(lease()), status(NO_BINDING)),
    "association refused": answer(ia_na(lease(), status(NO_ADDRESSES))),
    "status cut short": answer(ia_na(lease(), option(13, b"\x00"))),
    "address refused": answer(ia_na(lease(more=status(1)))),
    "option cut short at the end": answer(ia_na(lease()), option(23, b"abc", length=9)),
    "stray byte at the end": answer(ia_na(lease()), b"\x00"),
    "association cut short": answer(option(3, bytes(8))),
    "address reaches out of its association": answer(ia_na(option(5, bytes(24), length=40))),
    "address cut short": answer(ia_na(option(5, ipaddress.IPv6Address("fd00::9").packed + bytes(4)))),
    "option in an address cut short": answer(ia_na(lease(more=b"\x00\x0d\x00"))),
    "preferred for longer than valid": answer(ia_na(lease(valid=10, preferred=20))),
    "T1 after T2": answer(ia_na(lease(), t1=20, t2=10)),
    "an address in no association": answer(lease()),
    "a prefix": answer(option(25, struct.pack("!III", 1, 9, 9) + lease())),
    "multicast": answer(ia_na(lease("ff02::9"))),
    "unspecified": answer(ia_na(lease("::"))),
    "loopback": answer(ia_na(lease("::1"))),
    "link-local": answer(ia_na(lease("fe80::9"))),
    "mapped": answer(ia_na(lease("::ffff:10.0.0.1"))),
    "nothing": b"",
    "no message": frame(b""),
    "no address": answer(),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_anything_else_grants_nothing(name: str) -> None:
    assert parse_grants_6(HOSTILE[name]) == ()


def test_a_message_that_is_cut_anywhere_grants_nothing() -> None:
    whole = answer(ia_na(lease()))
    assert [at for at in range(len(whole)) if parse_grants_6(whole[:at])] == []


def given_up(kind: int, *options: bytes, **words: Any) -> bytes:
    return answer(
        *options, kind=kind, **{"ports": (546, 547), "to": "ff02::1:2", "mac": 0x3333_0001_0002, **words}
    )


@pytest.mark.parametrize("kind", [RELEASE, DECLINE])
def test_a_client_gives_up_what_it_releases_or_declines(kind: int) -> None:
    addresses = (ipaddress.IPv6Address("fd00::9"), ipaddress.IPv6Address("fd00::a"))
    said = given_up(kind, ia_na(lease("fd00::9", 0, 0), lease("fd00::a", 5, 5), t1=9, t2=1))
    assert parse_given_up(said) == addresses


@pytest.mark.parametrize(
    "said",
    [
        given_up(RENEW, ia_na(lease())),
        given_up(REPLY, ia_na(lease())),
        given_up(RELEASE, ia_na(lease()), ports=(546, 546)),
        given_up(RELEASE, ia_na(lease()))[:-1],
        given_up(RELEASE, ia_na()),
    ],
)
def test_whatever_else_a_client_says_gives_nothing_up(said: bytes) -> None:
    assert parse_given_up(said) == ()


def test_neither_reader_takes_the_others_frames() -> None:
    assert parse_grant(answer(ia_na(lease()))) is None
    assert parse_given_up(answer(ia_na(lease()))) == ()
    assert parse_grants_6(given_up(RELEASE, ia_na(lease()))) == ()


@given(st.binary(max_size=400), st.integers(0, 180), st.integers(0, 60))
@settings(max_examples=300)
def test_no_bytes_whatever_break_the_readers(noise: bytes, at: int, skipped: int) -> None:
    for whole in (answer(ia_na(lease()), ia_ta(lease())), given_up(RELEASE, ia_na(lease()))):
        for said in (noise, whole[:at] + noise, whole[:at] + noise + whole[at + skipped :]):
            for one in parse_grants_6(said):
                assert one.address.version == 6
                assert not one.address.is_multicast
            parse_given_up(said)
