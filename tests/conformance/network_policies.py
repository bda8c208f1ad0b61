"""``policy/*.jsonl``: Kubernetes network policies, once by label selection and once as flat lists.

By labels, "both sides must allow" is two tiers: ``egress`` decides by the source and passes what it allows,
``ingress`` decides by the destination. A form that no case here uses is refused, never guessed.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from conformance.case import ALLOWED, BLOCKED, DROPPED, REJECTED, Case, Expectation, directory
from support.configurations import PROTOCOLS, at, endpoint, peer, tenant, zone
from support.configurations import configure as assemble
from zonewall.intent.semantics import Probe
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Action, Configuration, Rule, Selector, Tier, Zone
from zonewall.values.names import EndpointKey, ZoneName
from zonewall.values.services import ServiceTerm, merge_ranges

SUITES = ("policy/k8s_e2e.jsonl", "policy/cyclonus.jsonl")
TENANT = "cluster"
ANYBODY = ZoneName("any")

_VERDICTS = {"A": ALLOWED, "D": DROPPED, "R": REJECTED, "X": BLOCKED}

Json = dict[str, Any]


def cases() -> list[Case]:
    """Return every state of both suites in both forms."""
    return [case for suite in SUITES for state in _states(suite) for case in _both_forms(state)]


def _states(suite: str) -> Iterator[Json]:
    with (directory() / suite).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _both_forms(state: Json) -> Iterator[Case]:
    endpoints = tuple(_endpoint(one) for one in state["endpoints"])
    expectations = tuple(_expectations(state))
    forms: dict[str, Callable[[], Configuration]] = {
        "policies": lambda: _by_selection(state, endpoints),
        "flat_rules": lambda: _as_flat_list(state, endpoints),
    }
    for form, translate in forms.items():
        yield Case(f"{state['id']}/{form}", translate(), expectations, f"{state['group']}/{form}")


def _name(identifier: str) -> str:
    return identifier.replace("/", "-")


def _endpoint(one: Json) -> EndpointDeclaration:
    if one.get("external") or one.get("host_network"):
        raise ValueError(f"{one['id']}: outside and host addresses are not translated")
    labels = {f"pod/{key}": value for key, value in one["labels"].items()}
    labels |= {f"ns/{key}": value for key, value in one["ns_labels"].items()}
    return endpoint(
        f"{TENANT}/{_name(one['id'])}",
        one["ip"],
        mac=int(one["mac"].replace(":", ""), 16),
        labels=labels | {"namespace": one["namespace"]},
    )


def _expectations(state: Json) -> Iterator[Expectation]:
    for matrix in state["matrices"]:
        for source, row in zip(matrix["ids"], matrix["rows"], strict=True):
            for destination, letter in zip(matrix["ids"], row, strict=True):
                if letter != "-":
                    yield Expectation(
                        Probe(
                            EndpointKey(f"{TENANT}/{_name(source)}"),
                            EndpointKey(f"{TENANT}/{_name(destination)}"),
                            PROTOCOLS[matrix["proto"]],
                            source_port=40000,
                            destination_port=matrix["port"],
                        ),
                        _VERDICTS[letter],
                    )
    if state.get("checks"):
        raise ValueError(f"{state['id']}: single checks are not translated")


@dataclass
class _Zones:
    """Zones by what they select, named in the order in which they are first needed."""

    known: dict[str, tuple[Zone, ...]] = field(default_factory=dict)

    def named(self, parts: Iterable[Selector]) -> ZoneName:
        """Return the zone of everybody whom one of the selectors selects."""
        alternatives = tuple(parts)
        key = repr(alternatives)
        if key not in self.known:
            name = f"z{len(self.known)}"
            members = tuple(Zone(ZoneName(f"{name}-{n}"), one, at()) for n, one in enumerate(alternatives))
            union = zone(name, zones=[one.name for one in members])
            self.known[key] = (union, *members)
        return self.known[key][0].name

    def all(self) -> list[Zone]:
        """Return every zone and those that it unites."""
        return [one for zones in self.known.values() for one in zones]


def _by_selection(state: Json, endpoints: tuple[EndpointDeclaration, ...]) -> Configuration:
    zones = _Zones()
    tiers = [
        Tier(direction, tuple(_numbered(_direction(state, direction, zones))), at())
        for direction in ("egress", "ingress")
    ]
    own = tenant(TENANT, *tiers, zones=zones.all(), default=state["default_action"])
    return assemble(*endpoints, own)


def _direction(state: Json, direction: str, zones: _Zones) -> Iterator[Rule]:
    """Yield what any policy allows, then the isolation of those whom one selects."""
    goes_on = Action.PASS if direction == "egress" else Action.ALLOW
    policies = [policy for policy in state["policies"] if policy["direction"] == direction]
    for policy in policies:
        if policy["stage"] != "isolation":
            raise ValueError(f"{state['id']}: stage {policy['stage']} is not translated")
        subject = zones.named(map(_selector, policy["applies_to"]))
        for one in policy["rules"]:
            if one["action"] != "allow":
                raise ValueError(f"{state['id']}: {one['action']} in an isolation stage is not translated")
            peers = ANYBODY if one["peers"] is None else zones.named(map(_selector, one["peers"]))
            for owners, services in _ports(state, one["ports"]):
                yield _directed(direction, subject, peers, owners, services, goes_on, zones)
    for policy in policies:
        if policy["isolate"]:
            subject = zones.named(map(_selector, policy["applies_to"]))
            yield _directed(direction, subject, ANYBODY, None, (), Action.DROP, zones)


def _directed(
    direction: str,
    subject: ZoneName,
    peers: ZoneName,
    owners: tuple[str, ...] | None,
    services: tuple[ServiceTerm, ...],
    action: Action,
    zones: _Zones,
) -> Rule:
    """Return the rule; ``owners`` are the destinations that have a port by the name which the policy uses."""
    source, destination = (subject, peers) if direction == "egress" else (peers, subject)
    if owners is not None:
        within = None if destination == ANYBODY else (destination,)
        destination = zones.named([Selector(endpoints=owners, zones=within)])
    return Rule("r", (peer(source),), (peer(destination),), services, action, at())


def _ports(
    state: Json, ports: list[Json] | None
) -> Iterator[tuple[tuple[str, ...] | None, tuple[ServiceTerm, ...]]]:
    """Yield services, each with the endpoints that they are about (None: all)."""
    if ports is None:
        yield None, ()
        return
    plain = tuple(_term(port) for port in ports if "port_name" not in port)
    if plain:
        yield None, plain
    for port in ports:
        if "port_name" in port:
            yield from _named_port(state, port)


def _named_port(state: Json, port: Json) -> Iterator[tuple[tuple[str, ...], tuple[ServiceTerm, ...]]]:
    owners: dict[tuple[str, int], list[str]] = {}
    for one in state["endpoints"]:
        for open_port in one["ports"]:
            if open_port["name"] == port["port_name"] and port.get("proto") in (None, open_port["proto"]):
                owners.setdefault((open_port["proto"], open_port["port"]), []).append(_name(one["id"]))
    for (protocol, number), names in sorted(owners.items()):
        yield tuple(names), (ServiceTerm(PROTOCOLS[protocol], ((number, number),)),)


def _term(port: Json) -> ServiceTerm:
    unknown = port.keys() - {"proto", "port", "end_port"}
    if unknown:
        raise ValueError(f"a port with {sorted(unknown)} is not translated")
    if "port" not in port:
        return ServiceTerm(PROTOCOLS[port["proto"]])
    first = int(port["port"])
    return ServiceTerm(PROTOCOLS[port["proto"]], merge_ranges([(first, int(port.get("end_port", first)))]))


def _selector(selector: Json) -> Selector:
    unknown = selector.keys() - {"ns_match", "pod_match", "ns_names", "cidr", "except"}
    if unknown:
        raise ValueError(f"a selector with {sorted(unknown)} is not translated")
    if "cidr" in selector:
        return Selector(
            cidrs=(ipaddress.ip_network(selector["cidr"], strict=False),),
            excluded=Selector(
                cidrs=tuple(ipaddress.ip_network(one, strict=False) for one in selector["except"])
            ),
        )
    labels: dict[str, tuple[str, ...]] = {}
    absent: list[tuple[str, tuple[str, ...]]] = []
    if "ns_names" in selector:
        labels["namespace"] = tuple(selector["ns_names"])
    for prefix, match in (("ns", selector.get("ns_match")), ("pod", selector.get("pod_match"))):
        _add_match(labels, absent, prefix, match or {"labels": {}, "exprs": []})
    if len(absent) > 1:
        raise ValueError("two negative expressions in one selector are not translated")
    return Selector(labels=labels, excluded=Selector(labels=dict(absent)) if absent else None)


def _add_match(
    labels: dict[str, tuple[str, ...]], absent: list[tuple[str, tuple[str, ...]]], prefix: str, match: Json
) -> None:
    wanted = [(key, (value,)) for key, value in match["labels"].items()]
    for one in match["exprs"]:
        values = tuple(one.get("values") or ("*",))
        if one["op"] in ("In", "Exists"):
            wanted.append((one["key"], values))
        else:
            absent.append((f"{prefix}/{one['key']}", values))
    for key, values in wanted:
        if f"{prefix}/{key}" in labels:
            raise ValueError(f"two expressions about {key} are not translated")
        labels[f"{prefix}/{key}"] = values


def _as_flat_list(state: Json, endpoints: tuple[EndpointDeclaration, ...]) -> Configuration:
    zones = _Zones()
    rules = [
        Rule(
            "r",
            (peer(_list_zone(zones, one["src"])),),
            (peer(_list_zone(zones, one["dst"])),),
            _flat_service(one),
            Action(one["action"]),
            at(),
        )
        for one in state["flat_rules"]
    ]
    tiers = Tier("flat", tuple(_numbered(rules)), at())
    return assemble(*endpoints, tenant(TENANT, tiers, zones=zones.all(), default="allow"))


def _list_zone(zones: _Zones, identifiers: list[str] | None) -> ZoneName:
    if identifiers is None:
        return ANYBODY
    return zones.named([Selector(endpoints=tuple(map(_name, identifiers)))])


def _flat_service(one: Json) -> tuple[ServiceTerm, ...]:
    if one["sport"] is not None or one["icmp"] is not None:
        raise ValueError("flat rules with source ports or ICMP types are not translated")
    if one["proto"] is None:
        return ()
    return (
        ServiceTerm(PROTOCOLS[one["proto"]], merge_ranges([tuple(one["dport"])] if one["dport"] else [])),
    )


def _numbered(rules: Iterable[Rule]) -> Iterator[Rule]:
    for number, one in enumerate(rules):
        yield Rule(
            f"r{number}",
            one.sources,
            one.destinations,
            one.services,
            one.action,
            at(number + 1, "rules.yaml"),
        )
