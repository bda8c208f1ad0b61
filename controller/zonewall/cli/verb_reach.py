"""``zonewall reach``: whom an endpoint could talk to at a time, by which policy."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from zonewall.cli.journal_view import open_journal
from zonewall.cli.options import JournalFile, OptionsFile, Output, OutputForm, StateFolder, Vm
from zonewall.cli.times import from_us, parse_time, to_us
from zonewall.cli.verb_where import standing_document
from zonewall.errors import ZonewallError
from zonewall.journal.answers import PolicyThen, Standing, policy_at, standing_at
from zonewall.journal.keeping import JournalReader
from zonewall.journal.reach import Reachable, reach
from zonewall.policy.membership import is_member
from zonewall.values.names import EndpointKey

DELIVERED = frozenset({"active", "migrating", "leaving"})


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("reach")(show)


def show(
    vm: Vm,
    at: Annotated[str, typer.Option(help="When: 2026-11-24T12:00:00Z, or -10m.")] = "now",
    options: OptionsFile = None,
    state: StateFolder = None,
    journal: JournalFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Say what a VM could talk to at a time, and who to it, by the policy that was in force then."""
    when = parse_time(at, datetime.now(UTC))
    reader = open_journal(options, state, journal)
    then = policy_at(reader, to_us(when))
    key = EndpointKey(vm)
    if key not in then.configuration.inventory.endpoints:
        raise ZonewallError(f"{vm}: no endpoint of the configuration of that time; write it as tenant/name")
    standing = standing_at(reader, vm, to_us(when))
    found = list(reach(then.configuration, key, when, _peers(then, standing)))
    standings = _standings(reader, found, to_us(when))
    if output is Output.JSON:
        print(json.dumps(_document(then, standing, found, standings), indent=2))
    else:
        _say(then, standing, found, standings)


def _peers(then: PolicyThen, standing: Standing) -> frozenset[str] | None:
    """Return whom the endpoint could talk to at most: an isolated one, the remediation zone only."""
    if not standing.quarantine:
        return None
    remediation = then.configuration.provider.remediation
    if remediation is None:
        return frozenset()
    tenant, zone = then.configuration.tenants[remediation[0]], remediation[1]
    members = then.configuration.inventory.endpoints.values()
    return frozenset(str(one.key) for one in members if is_member(tenant, tenant.zones[zone].selector, one))


def _standings(reader: JournalReader, found: list[Reachable], at_us: int) -> dict[str, Standing]:
    names = {name for one in found for name in one.peers if _is_endpoint(name)}
    return {name: standing_at(reader, name, at_us) for name in sorted(names)}


def _document(
    then: PolicyThen, standing: Standing, found: list[Reachable], standings: dict[str, Standing]
) -> dict[str, Any]:
    return {
        "endpoint": standing_document(standing),
        "policy": _policy(then),
        "reach": [
            {
                "direction": "out" if one.outgoing else "in",
                "peers": [{"peer": name, "state": _state(standings.get(name))} for name in one.peers],
                "services": list(one.services),
                "rule": one.rule,
                "at": one.at,
                "monitored": one.monitored,
            }
            for one in found
        ],
    }


def _policy(then: PolicyThen) -> dict[str, Any]:
    entry = then.record.entry
    return {
        "record": then.record.sequence,
        "in_force_since": from_us(entry.at_us),
        "configuration": entry.said.get("configuration"),
        "cause": entry.cause,
    }


def _say(
    then: PolicyThen, standing: Standing, found: list[Reachable], standings: dict[str, Standing]
) -> None:
    policy = _policy(then)
    print(f"policy: configuration {str(policy['configuration'])[:12]}, in force since ", end="")
    print(f"{policy['in_force_since']} (record {policy['record']})")
    place = standing.place
    where = "at no place" if place is None else f"at {place.get('host')}/{place.get('bridge')}"
    print(f"{standing.endpoint}: {standing.state}, {where}")
    if standing.quarantine:
        print(f"isolated ({standing.quarantine}): only the remediation zone, whatever the rules allow")
    for outgoing, title in ((True, "may begin connections to"), (False, "may be reached by")):
        print(f"{title}:")
        lines = [one for one in found if one.outgoing is outgoing]
        for one in lines:
            peers = ", ".join(_peer(name, standings.get(name)) for name in one.peers)
            watched = " (only watched: would be dropped)" if one.monitored else ""
            print(f"  {peers}: {', '.join(one.services)}  by {one.rule} {one.at or ''}{watched}".rstrip())
        if not lines:
            print("  nobody")


def _peer(name: str, standing: Standing | None) -> str:
    state = _state(standing)
    return name if state is None or state in DELIVERED else f"{name} ({state})"


def _state(standing: Standing | None) -> str | None:
    return None if standing is None else standing.state


def _is_endpoint(name: str) -> bool:
    """Say whether a peer is an endpoint, ``tenant/name``, and no prefix."""
    return "/" in name and not name.rpartition("/")[2].isdecimal()
