"""``ovn/acl_sequences.jsonl``: OVN's access lists, tiers and all, as successive configurations.

Of each direction (``from-lport``: the source's, ``to-lport``: the destination's) the higher priority is asked
first; an allow of the source's side passes on to the destination's. The sequences about Ethernet types are no
matter of verdicts on IP connections, and stand in no configuration.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from conformance.case import ALLOWED, DROPPED, REJECTED, Case, Expectation, directory
from support.configurations import configure, endpoint, probe, rule, tenant, tier, zone
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Rule, Tier, Zone

TENANT = "switch"
ENTRY_PORTS = ("sw0-p1-rej", "sw0-p2-rej")

_VERDICTS = {"A": ALLOWED, "D": DROPPED, "R": REJECTED}

Json = dict[str, Any]


def cases() -> list[Case]:
    """Return each step of the tiered sequence, and the refusals as one case."""
    with (directory() / "ovn" / "acl_sequences.jsonl").open(encoding="utf-8") as lines:
        sequences = {one["id"]: one for one in map(json.loads, lines)}
    return [*_tiered(sequences["ovn/tiered-acls"]), _refusals(sequences["ovn/acl-reject"])]


def _endpoints(sequence: Json) -> list[EndpointDeclaration]:
    return [
        endpoint(
            f"{TENANT}/{one['id']}",
            *(one[key] for key in ("ip", "ip6") if key in one),
            mac=int(one["mac"].replace(":", ""), 16),
        )
        for one in sequence["endpoints"]
    ]


def _tiered(sequence: Json) -> Iterator[Case]:
    asked = sequence["probe"]
    icmp_type, icmp_code = asked["icmp"]
    first_packet = probe(
        f"{TENANT}/{asked['src']}", f"{TENANT}/{asked['dst']}", f"icmp/{icmp_type}/{icmp_code}"
    )
    for step in sequence["steps"]:
        own = tenant(
            TENANT,
            *(_tier_numbered(step["acls"], number) for number in range(4)),
            zones=_destinations(step["acls"]),
            default=step["default"],
        )
        yield Case(
            f"{sequence['id']}/{step['step']}",
            configure(*_endpoints(sequence), own),
            (Expectation(first_packet, _VERDICTS[step["expect"]]),),
            sequence["id"],
        )


def _tier_numbered(lists: list[Json], number: int) -> Tier:
    entries = sorted(
        (one for one in lists if one["tier"] == number), key=lambda one: one["priority"], reverse=True
    )
    rules = [
        rule(f"p{one['priority']}", "any", _zone_name(_address_of(one)), one["action"]) for one in entries
    ]
    return tier(f"tier{number}", *rules)


def _destinations(lists: list[Json]) -> list[Zone]:
    return [
        zone(_zone_name(address), cidrs=[address]) for address in sorted({_address_of(one) for one in lists})
    ]


def _address_of(entry: Json) -> str:
    key, _, address = entry["match"].partition(" == ")
    if key != "ip4.dst":
        raise ValueError(f"the match {entry['match']!r} is not translated")
    return str(address)


def _zone_name(address: str) -> str:
    return f"at-{address.replace('.', '-')}"


def _refusals(sequence: Json) -> Case:
    tiers = [_side(sequence, side) for side in ("from-lport", "to-lport")]
    own = tenant(TENANT, *tiers, zones=[zone("ports", endpoints=ENTRY_PORTS)], default="allow")
    expectations = [
        Expectation(
            probe(
                f"{TENANT}/{check['src']}",
                f"{TENANT}/{check['dst']}",
                f"{check['proto'].removesuffix('6')}/{check['port']}",
                src_ip=_address(sequence, check, "src"),
                dst_ip=_address(sequence, check, "dst"),
            ),
            _VERDICTS[check["expect"]],
        )
        for check in sequence["checks"]
    ]
    return Case(sequence["id"], configure(*_endpoints(sequence), own), tuple(expectations), sequence["id"])


def _side(sequence: Json, side: str) -> Tier:
    entries = sorted(
        (one for one in sequence["acls"] if one["dir"] == side), key=lambda one: one["priority"], reverse=True
    )
    return tier(side, *(_entry(number, one, side) for number, one in enumerate(entries)))


def _entry(number: int, entry: Json, side: str) -> Rule:
    action = entry["action"].removesuffix("-related")
    if action == "allow" and side == "from-lport":
        action = "pass"
    sources, destinations = ("ports", "any") if side == "from-lport" else ("any", "ports")
    services: tuple[str, ...] = ()
    if entry["match"] != "ip":
        key, _, port = entry["match"].partition(" == ")
        services = (f"{key.removesuffix('.dst')}/{port}",)
    return rule(
        f"r{number}",
        sources,
        destinations,
        action,
        services=services,
        log="connections" if entry.get("log") else "none",
    )


def _address(sequence: Json, check: Json, end: str) -> str:
    key = "ip6" if check["proto"].endswith("6") else "ip"
    return str(next(one[key] for one in sequence["endpoints"] if one["id"] == check[end]))
