"""What OVN's tests expect of a reject: addresses, ports, numbers, quoted headers, checksums."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from zonewall.flows.refusal import checksum, refuse

FOLDER = Path(os.environ.get("ZONEWALL_CONFORMANCE", Path(__file__).parents[2] / "../shared/conformance"))
VECTORS: list[dict[str, Any]] = json.loads((FOLDER / "ovn/reject_vectors.json").read_text())["vectors"]


def name(vector: dict[str, Any]) -> str:
    return f"{vector['port']} {vector['kind']}"


@pytest.mark.parametrize("vector", VECTORS, ids=name)
def test_a_rejected_packet_is_answered_like_the_vector(vector: dict[str, Any]) -> None:
    asked, expected = bytes.fromhex(vector["in"]), bytes.fromhex(vector["reply"])
    answer = refuse(asked)
    assert answer is not None
    assert answer[:14] == expected[:14], "Ethernet addresses swapped, same type"
    if answer[12:14] == b"\x08\x00":
        assert checksum(answer[14:34]) == 0
        assert answer[26:34] == expected[26:34], "IP addresses swapped"
        assert answer[23] == expected[23]
        mine, theirs = answer[34:], expected[34:]
    else:
        assert answer[22:54] == expected[22:54], "IPv6 addresses swapped"
        assert answer[20] == expected[20]
        mine, theirs = answer[54:], expected[54:]
    if answer[12:14] == b"\x08\x00" and answer[23] == 1:
        assert mine[0] == 3
        assert checksum(mine) == 0
        assert theirs[8:] in mine[8:] or mine[8:] in theirs[8:], "the original header is quoted"
    elif answer[12:14] == b"\x86\xdd" and answer[20] == 58:
        assert mine[:2] == theirs[:2]
        assert mine[8 : 8 + 40] == theirs[8 : 8 + 40]
    elif (answer[23] if answer[12:14] == b"\x08\x00" else answer[20]) == 6:
        assert mine[:12] == theirs[:12], "ports swapped, sequence numbers"
        assert mine[13] == theirs[13], "flags"
        pseudo = answer[26:34] + struct.pack("!HH", 6, len(mine))
        if answer[12:14] == b"\x86\xdd":
            pseudo = answer[22:54] + struct.pack("!II", len(mine), 6)
        assert checksum(pseudo + mine) == 0
    else:
        assert mine == theirs


def test_a_reset_is_never_answered() -> None:
    resets = [vector for vector in VECTORS if "TCP" in vector["kind"] or "SCTP" in vector["kind"]]
    assert resets
    for vector in resets:
        answer = refuse(bytes.fromhex(vector["in"]))
        assert answer is not None
        assert refuse(answer) is None


def test_an_icmp_error_is_never_answered() -> None:
    errors = [vector for vector in VECTORS if "ICMP" in vector["kind"]]
    assert errors
    for vector in errors:
        answer = refuse(bytes.fromhex(vector["in"]))
        assert answer is not None
        assert refuse(answer) is None
