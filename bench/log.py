"""Records of connections: how many a second the controller takes, from a bridge's messages to the disk."""

from __future__ import annotations

import struct
import tempfile
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from unittest import mock

from bench.harness import Figure, Options
from zonewall.flows.wire_match import encode_match
from zonewall.openflow.parse import parse_flow_removed, parse_flow_updates
from zonewall.pipeline.cookie import Category, cookie
from zonewall.pipeline.packet_fields import IP_PROTO, IPV4_DST, IPV4_SRC, TCP_DST, TCP_SRC
from zonewall.pipeline.registers import DST_IDENTITY, RULE, SRC_IDENTITY
from zonewall.pipeline.tables import LOG_ROWS
from zonewall.placement.model import BridgeKey
from zonewall.reconciler import connection_log
from zonewall.reconciler.connection_log import ConnectionLog
from zonewall.reconciler.reconciler import Reconciler
from zonewall.store.journal_writer import JournalWriter
from zonewall.values.names import BridgeName, HostName

CONNECTIONS, FEWER = 50_000, 5_000
BRIDGE = BridgeKey(HostName("hv1"), BridgeName("br-int"))
DOCUMENTS = """\
kind: inventory
hosts: {hv1: {bridges: {br-int: {attachment: fabric}}}}
endpoints:
  - {name: web1, tenant: acme, iface-id: web1, mac: "52:54:00:00:00:01", ips: [10.0.0.1]}
  - {name: db1, tenant: acme, iface-id: db1, mac: "52:54:00:00:00:02", ips: [10.0.0.2]}
---
kind: tenant
tenant: acme
tiers:
  - name: all
    rules:
      - {name: logged, from: any, to: any, action: allow, log: connections}
"""


def figures(options: Options) -> Iterator[Figure]:
    """Yield the figures of this group."""
    count = FEWER if options.quick else CONNECTIONS
    rates = tuple(_rate(count) for _ in range(1 if options.quick else 3))
    note = f"{connection_log.MOST_PER_S:,} beginnings and ends a second are taken, so that nothing else waits"
    yield Figure("log/connections, both records on disk", "1/s", rates, note=note)


def _rate(count: int) -> float:
    """Return connections a second: the bridge's messages parsed, both records of each written."""
    told = [(_begun(number), _ended(number)) for number in range(count)]
    with tempfile.TemporaryDirectory(prefix="zonewall-bench-") as folder:
        policies, state = Path(folder) / "policies", Path(folder) / "state"
        policies.mkdir()
        state.mkdir()
        (policies / "all.yaml").write_text(DOCUMENTS)
        writer = JournalWriter(state / "journal.db")
        writer.start()
        with mock.patch.object(connection_log, "MOST_PER_S", 1 << 62):
            log = ConnectionLog(Reconciler(policies, state, b"k" * 32, writer), state / "connections.json")
            began = time.perf_counter()
            for begun, ended in told:
                log.told(BRIDGE, parse_flow_updates(begun))
                log.removed(BRIDGE, parse_flow_removed(1, ended))
            writer.durable().result(600)
            took = time.perf_counter() - began
        writer.stop()
    return count / took


def _match(number: int) -> bytes:
    fields = encode_match(
        (
            (IP_PROTO, 6, None), (IPV4_SRC, int(ip_address("10.0.0.1")), None),
            (IPV4_DST, int(ip_address("10.0.0.2")), None), (TCP_SRC, number % 60_000 + 1024, None),
            (TCP_DST, 80 + number // 60_000, None), (RULE, 1, None), (SRC_IDENTITY, 1, None),
            (DST_IDENTITY, 2, None),
        )
    )  # fmt: skip
    size = 4 + len(fields)
    return struct.pack("!HH", 1, size) + fields + bytes(-size % 8)


def _begun(number: int) -> bytes:
    """Return what a flow monitor says of a new row (OpenFlow 1.5.1, 7.3.5.17.2)."""
    match = _match(number)
    head = struct.pack("!HHB5xH4xQ", 24 + len(match), 1, LOG_ROWS.number, 1, cookie(Category.CONNECTION))
    return head + match


def _ended(number: int) -> bytes:
    """Return the message about a row that has ended (OpenFlow 1.5.1, 7.4.2)."""
    age = struct.pack("!III", 0x80020008, 3, 0) + struct.pack("!III", 0x80020208, 2, 0)
    counted = struct.pack("!IQ", 0x80020808, 12) + struct.pack("!IQ", 0x80020A08, 3000)
    statistics = age + counted
    head = struct.pack("!BBHHHQ", LOG_ROWS.number, 0, 1, 300, 0, cookie(Category.CONNECTION))
    return head + _match(number) + struct.pack("!HH", 0, 4 + len(statistics)) + statistics
