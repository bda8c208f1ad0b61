"""The frames that find out whether an appliance works: through it with a nonce, or a question to it.

A probe through an appliance is a frame of an Ethernet type that IEEE Std 802 leaves to experiments; a
question is an ARP probe (RFC 5227, 2.1.1) whose sender's hardware address is the nonce, which the answer
repeats.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass

NONCE_BYTES = 16
ARP_NONCE_BYTES = 5
_ETH_PROBE = b"\x88\xb5"
_ETH_ARP = b"\x08\x06"
_TAG = b"\x81\x00"
_WORD = b"zonewall probe\x00\x01"
_ARP_HEAD = b"\x00\x01\x08\x00\x06\x04"
_SHORTEST = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """What came out of a leg as a probe: the VLAN it came on, 0 for none, and its nonce."""

    vlan: int
    nonce: bytes


def card_of(instance: str, side: str) -> bytes:
    """Return the MAC that probes have on one side of an appliance: the same ever, so that it may learn it."""
    return b"\x02" + hashlib.sha256(f"{instance} {side}".encode()).digest()[:5]


def build_through(source: bytes, destination: bytes, nonce: bytes, vlan: int) -> bytes:
    """Return a frame that an appliance should let through as it is."""
    frame = destination + source + _tag(vlan) + _ETH_PROBE + _WORD + nonce
    return frame.ljust(_SHORTEST, b"\x00")


def build_question(address: ipaddress.IPv4Address, nonce: bytes, vlan: int = 0) -> bytes:
    """Return an ARP probe for an appliance's own address."""
    sender = b"\x02" + nonce
    body = _ARP_HEAD + b"\x00\x01" + sender + bytes(4) + bytes(6) + address.packed
    return (b"\xff" * 6 + sender + _tag(vlan) + _ETH_ARP + body).ljust(_SHORTEST, b"\x00")


def parse_answer(frame: bytes) -> Answer | None:
    """Return what came back, None for anything else."""
    vlan, at = 0, 12
    if frame[12:14] == _TAG:
        vlan, at = int.from_bytes(frame[14:16], "big") & 0xFFF, 16
    kind, body = frame[at : at + 2], frame[at + 2 :]
    if kind == _ETH_PROBE and body.startswith(_WORD):
        nonce = body[len(_WORD) : len(_WORD) + NONCE_BYTES]
        return Answer(vlan, nonce) if len(nonce) == NONCE_BYTES else None
    if kind == _ETH_ARP and body[:8] == _ARP_HEAD + b"\x00\x02" and len(body) >= 28:
        # Whose address it answers for is told by the nonce, which was sent with a question for one address.
        return Answer(vlan, body[18:24][1:])
    return None


def _tag(vlan: int) -> bytes:
    return _TAG + vlan.to_bytes(2, "big") if vlan else b""
