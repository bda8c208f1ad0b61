"""ClassBench's filter sets as policies: flows, against what plain prefix expansion of port ranges takes.

Both ends are outside addresses: every prefix is a zone, every filter a rule, judged between two uplinks of
one tenant. Needs the sets themselves (``ZONEWALL_CLASSBENCH``: a directory of ``*.rules``); they are test
data and no part of the project.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path

from bench.fleets import BRIDGE, HERE
from bench.harness import Figure, Options, count
from zonewall.intent.fleet import Fleet, index_fleet, prepare
from zonewall.intent.numbering import Numbering
from zonewall.pipeline.compile import compile_bridge
from zonewall.pipeline.cookie import Category, category_of
from zonewall.pipeline.tables import VERDICT_TABLE
from zonewall.placement.model import BridgeKey, Placement
from zonewall.policy.inventory import (
    Attachment,
    BridgeDeclaration,
    HostDeclaration,
    Inventory,
    PortDeclaration,
    PortRole,
)
from zonewall.policy.model import Action, Configuration, Peer, Provider, Rule, Selector, Tenant, Tier, Zone
from zonewall.values.names import HostName, OfPort, TenantName, ZoneName
from zonewall.values.services import PortRange, ServiceTerm, merge_ranges, range_to_masks

TENANT = TenantName("bench")
HOST = HostName("hv000")
LARGEST = 2_000
DEFAULT_ROWS = 1
"""What nothing decides is dropped by a row of the tenant's default; it is none of the filters'."""


def figures(options: Options) -> Iterator[Figure]:
    """Yield flows of the verdict table for each set, the sets of thousands of filters left out."""
    folder = os.environ.get("ZONEWALL_CLASSBENCH")
    for path in sorted(Path(folder).glob("*.rules")) if folder else ():
        filters = [_filter(line) for line in path.read_text(encoding="ascii").splitlines()]
        if len(filters) > LARGEST:
            continue
        program = compile_bridge(*_fleet(filters))
        rows = [flow for flow in program.flows if flow.table is VERDICT_TABLE]
        of_filters = sum(category_of(flow.cookie) is Category.RULE for flow in rows) - DEFAULT_ROWS
        expanded = sum(_expanded(one[2]) * _expanded(one[3]) for one in filters)
        name = f"filter_sets/{path.stem}"
        yield count(
            f"{name}: flows of the filters", of_filters, target=expanded,
            peer="prefix expansion", peer_value=float(expanded),
        )  # fmt: skip
        yield count(f"{name}: verdict flows in all", len(rows))


_Filter = tuple[str, str, PortRange, PortRange, int | None]


def _filter(line: str) -> _Filter:
    source, destination, source_ports, ports, protocol = line.removeprefix("@").split("\t")[:5]
    number, mask = (int(part, 16) for part in protocol.split("/"))
    return source, destination, _range(source_ports), _range(ports), number if mask else None


def _range(text: str) -> PortRange:
    first, last = (int(part) for part in text.split(":"))
    return first, last


def _expanded(ports: PortRange) -> int:
    return len(range_to_masks(ports))


def _fleet(filters: list[_Filter]) -> tuple[Fleet, BridgeKey]:
    """Return the filters as a tenant with two uplinks on one bridge."""
    prefixes = sorted({prefix for one in filters for prefix in one[:2]})
    names = {prefix: ZoneName(f"z{number}") for number, prefix in enumerate(prefixes)}
    zones = {
        name: Zone(name, Selector(cidrs=(ipaddress.ip_network(prefix),)), HERE)
        for prefix, name in names.items()
    }
    rules = tuple(_rule(number, one, names) for number, one in enumerate(filters, 1))
    tenant = Tenant(TENANT, HERE, zones, (Tier("filters", rules, HERE),))
    ports = {
        name: PortDeclaration(name, PortRole.UPLINK, HERE, vlans={100: TENANT}) for name in ("up0", "up1")
    }
    bridge = BridgeDeclaration(BRIDGE, Attachment.FABRIC, ports, HERE)
    host = HostDeclaration(HOST, HOST, HOST, {BRIDGE: bridge}, HERE)
    configuration = Configuration(Inventory({HOST: host}, {}, {}, {}), Provider(), {TENANT: tenant})
    key = BridgeKey(HOST, BRIDGE)
    placement = Placement({}, {(key, "up0"): OfPort(1), (key, "up1"): OfPort(2)})
    return index_fleet(prepare(configuration, Numbering()), placement), key


def _rule(number: int, one: _Filter, names: dict[str, ZoneName]) -> Rule:
    source, destination, source_ports, ports, protocol = one
    services: tuple[ServiceTerm, ...] = ()
    if protocol is not None:
        services = (ServiceTerm(protocol, merge_ranges([ports]), merge_ranges([source_ports])),)
    ends = (Peer("zone", names[source]),), (Peer("zone", names[destination]),)
    action = Action.ALLOW if number % 3 else Action.DROP
    return Rule(f"f{number}", *ends, services, action, HERE)
