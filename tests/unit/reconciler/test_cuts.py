"""What a bridge tells of a connection that was cut becomes a record of the right ends, rule and reason."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.configurations import tenant, zone
from support.whole_controller import one_bridge
from zonewall.intent.policy import prepare
from zonewall.journal.record import Entry
from zonewall.openflow.events import PacketIn
from zonewall.pipeline.cookie import Reason
from zonewall.pipeline.model import Field
from zonewall.pipeline.registers import (
    ANSWER,
    DST_QUARANTINED,
    HAD,
    HAD_BEGUN,
    HAD_RULE,
    LABEL_RULE,
    LABEL_SRC,
    SRC_IDENTITY,
    SRC_QUARANTINED,
)
from zonewall.placement.model import BridgeKey
from zonewall.reconciler.cuts import Cuts
from zonewall.reconciler.reconciler import Reconciler
from zonewall.values.names import BridgeName, HostName, TenantName

BRIDGE = BridgeKey(HostName("hv1"), BridgeName("br-int"))
VM, FAR = (bytes.fromhex(word) for word in ("0a000001", "08080808"))
RULE = 77
MORE, LATER = 0x2000, 185


class Kept:
    """A journal that keeps what it is given."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def put(self, entries: Iterable[Entry], texts: Mapping[str, bytes] | None = None) -> None:
        self.entries.extend(entries)


class Told:
    """A controller of one bridge, which tells it of the end of a connection."""

    def __init__(self, folder: Path) -> None:
        self._journal = Kept()
        self._reconciler = Reconciler(
            one_bridge(folder / "policies"), folder / "state", b"k" * 32, self._journal
        )

    @property
    def identity(self) -> int:
        """Return the number of the endpoint's identity."""
        policy = self._reconciler.world.policy
        (number,) = (
            policy.identities[one.name]
            for one in policy.directory.all
            if one.name in policy.identities and not one.outside
        )
        return number

    def put_into_a_zone(self) -> None:
        """Have nobody any more who has the identity that the endpoint had."""
        world = self._reconciler.world
        documents = replace(
            world.configuration, tenants={TenantName("acme"): tenant("acme", zones=[zone("all")])}
        )
        policy = prepare(documents, world.policy.numbering)
        self._reconciler.world = replace(world, policy=policy)

    def record(
        self, reason: Reason, frame: bytes, values: Mapping[Field, int], label: int = 0
    ) -> dict[str, Any]:
        """Return the one record that a report makes."""
        registers: dict[int, int] = {}
        for field, value in values.items():
            number = int(field.base.removeprefix("reg"))
            registers[number] = registers.get(number, 0) | value << field.low
        event = PacketIn(1, 0, 0, bytes([reason]), 1, tuple(registers.items()), label, len(frame), frame)
        Cuts(self._reconciler).take(BRIDGE, event)
        (entry,) = self._journal.entries
        return {"endpoint": entry.endpoint, "cause": entry.cause, **json.loads(entry.details)}


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def datagram(source: bytes, destination: bytes, ports: tuple[int, int], part: int = 0) -> bytes:
    """Return a frame of UDP; ``part``: flags and offset of a fragment."""
    ip = bytes.fromhex("45000024 0000") + part.to_bytes(2, "big") + bytes.fromhex("40110000")
    return bytes(12) + b"\x08\0" + ip + source + destination + struct.pack("!HHHH", *ports, 16, 0)


@pytest.mark.parametrize("answer", [False, True])
def test_whom_isolation_cut_off_is_told_under_the_name_of_who_is_isolated(told: Told, answer: bool) -> None:
    ends = (FAR, VM) if answer else (VM, FAR)
    frame = datagram(*ends, (53, 40000) if answer else (40000, 53))
    isolated = DST_QUARANTINED if answer else SRC_QUARANTINED
    label = RULE << LABEL_RULE.low | told.identity << LABEL_SRC.low

    record = told.record(Reason.ISOLATED, frame, {isolated: 1, ANSWER: int(answer)}, label)

    assert (record["endpoint"], record["isolated"], record["rule"]) == ("acme/vm", ["acme/vm"], str(RULE))
    assert record["cause"] == "acme/vm isolated"
    assert (record["source"]["address"], record["source"]["service"]) == ("10.0.0.1", 40000)
    assert (record["destination"]["address"], record["destination"]["service"]) == ("8.8.8.8", 53)


def test_what_the_policy_refuses_of_an_isolated_end_is_not_told_as_isolation(told: Told) -> None:
    label = RULE << LABEL_RULE.low | told.identity << LABEL_SRC.low

    record = told.record(Reason.CUT, datagram(VM, FAR, (40000, 53)), {SRC_QUARANTINED: 1}, label)

    assert "isolated" not in record
    assert record["cause"] == f"rule {RULE} no longer allows it"


def test_of_fragments_the_registers_say_which_rule_and_who(told: Told) -> None:
    values = {HAD: HAD_BEGUN, HAD_RULE: RULE, SRC_IDENTITY: told.identity}

    record = told.record(Reason.CUT, datagram(VM, FAR, (40000, 53), MORE), values)

    assert (record["rule"], record["endpoint"], record["destination"]["service"]) == (
        str(RULE),
        "acme/vm",
        53,
    )


def test_a_later_fragment_has_no_ports_to_tell(told: Told) -> None:
    record = told.record(Reason.CUT, datagram(VM, FAR, (40000, 53), LATER), {}, RULE << LABEL_RULE.low)

    assert "service" not in record["source"]


def test_who_was_in_it_is_told_also_where_the_edit_that_cut_it_made_somebody_else_of_them(told: Told) -> None:
    before = told.identity
    told.put_into_a_zone()
    assert told.identity != before

    label = RULE << LABEL_RULE.low | before << LABEL_SRC.low
    record = told.record(Reason.CUT, datagram(VM, FAR, (40000, 53)), {}, label)

    assert record["endpoint"] == "acme/vm"
    assert (record["source"]["tenant"], record["source"]["endpoint"]) == ("acme", "acme/vm")
    assert "zones" not in record["source"], "it was in none when it began"
