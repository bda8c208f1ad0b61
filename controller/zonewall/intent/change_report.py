"""A comparison of two configurations in plain values, for ``plan`` (docs/commands.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zonewall.intent.changes import Beside, Change, Comparison, Ending, Section
from zonewall.intent.ends import Member
from zonewall.intent.flips import Flip, Turn
from zonewall.intent.identity import Identity
from zonewall.intent.passing import Outliving
from zonewall.intent.regions import Regions
from zonewall.intent.semantics import Probe, Verdict
from zonewall.intent.service_text import service_texts
from zonewall.intent.standing import Standing
from zonewall.policy.model import Action


def change_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return every change, those of verdicts first; what is the same in both IP versions is one row."""
    rows = [
        _row(comparison, section, change) for section in comparison.sections for change in section.changes
    ]
    merged: dict[str, dict[str, Any]] = {}
    for row in rows:
        key = str(
            {name: value for name, value in row.items() if name != "ip"}
            | {"from": _names(row["from"]), "to": _names(row["to"])}
        )
        known = merged.get(key)
        if known is None:
            merged[key] = row
        else:
            known["ip"] = sorted({*known["ip"], *row["ip"]})
            for side in ("from", "to"):
                known[side] = _united(known[side], row[side])
    return sorted(merged.values(), key=lambda row: row["kind"] != "verdict")


def interruptions(comparison: Comparison, outliving: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rules whose connections are no longer allowed, each with what becomes of them.

    ``outliving`` says it of rules that go and whose connections live on; all else is cut.
    """
    rules: dict[str, int] = {}
    for section in comparison.sections:
        for change in section.changes:
            before, after = change.before.decision, change.after.decision
            if before.verdict is Action.ALLOW and after.verdict is not Action.ALLOW:
                rules[before.rule] = rules.get(before.rule, 0) + 1
    found = []
    for rule, changes in sorted(rules.items()):
        words = outliving.get(rule, "cut")
        found.append({"rule": rule, "at": _at(comparison.old, rule), "on_change": words, "changes": changes})
    return found


def living_on(outliving: Iterable[Outliving], at_s: float) -> dict[str, str]:
    """Return what becomes of the connections of rules that go: ``keep``, or ``drain 30 s``."""
    return {
        one.rule: "keep" if one.until is None else f"drain {max(0, one.until - int(at_s))} s"
        for one in outliving
    }


def rerouted(comparison: Comparison) -> list[str]:
    """Return the rules whose live connections would go through other functions than they began with."""
    return sorted(
        {
            change.before.decision.rule
            for section in comparison.sections
            for change in section.changes
            if change.before.decision.verdict is change.after.decision.verdict is Action.ALLOW
            and change.before.treatment.through != change.after.treatment.through
        }
    )


def beside_rows(beside: Iterable[Beside]) -> list[dict[str, Any]]:
    """Return what changes beside the rules."""
    return [{"what": one.what, "before": one.before.value, "after": one.after.value} for one in beside]


def flip_rows(
    flips: Iterable[Flip], known: Mapping[Probe, bool | None], outliving: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return connections that would end otherwise, each with whether it is open, as far as that is known.

    ``outliving``: as for ``interruptions``.
    One that has ended, of ends that are there no more, is history.
    """
    return [
        {
            "connection": probe_document(flip.connection),
            "turn": flip.turn.value,
            "open": known.get(flip.connection),
            "on_change": _on_change(flip, outliving),
            "before": _verdict(flip.before),
            "after": _verdict(flip.after),
            "why": flip.why or None,
        }
        for flip in flips
        if flip.before is not None or known.get(flip.connection) is not False
    ]


def _on_change(flip: Flip, outliving: Mapping[str, str]) -> str | None:
    """Return what becomes of a connection that is no longer allowed, if it is open."""
    if flip.turn is not Turn.CUT or flip.before is None:
        return None
    return outliving.get(flip.before.rule, "cut")


def probe_document(probe: Probe) -> dict[str, Any]:
    """Return a probe as ``zonewall check`` reads it."""
    said: dict[str, Any] = {
        "tenant": probe.tenant,
        "src": str(probe.source),
        "dst": str(probe.destination),
        "proto": probe.protocol,
        "sport": probe.source_port,
        "dport": probe.destination_port,
        "icmp": None if probe.icmp is None else list(probe.icmp),
        "src_ip": None if probe.source_ip is None else str(probe.source_ip),
        "dst_ip": None if probe.destination_ip is None else str(probe.destination_ip),
        "time": None if probe.time is None else probe.time.isoformat(),
    }
    return {key: value for key, value in said.items() if value is not None}


def _row(comparison: Comparison, section: Section, change: Change) -> dict[str, Any]:
    services = comparison.new.services
    there = services.of_family(change.version)
    return {
        "kind": "verdict" if change.is_verdict else "treatment",
        "view": section.name,
        "from": [_group(section, one) for one in change.sources],
        "to": [_group(section, one) for one in change.destinations],
        "ip": [change.version],
        "services": list(service_texts(services, change.classes, there)),
        "before": _ending(comparison.old, change.before),
        "after": _ending(comparison.new, change.after),
    }


def _group(section: Section, standing: Standing) -> dict[str, Any]:
    members = section.members(standing)
    return {
        "before": _zones(standing.before),
        "after": _zones(standing.after),
        "endpoints": list(dict.fromkeys(str(one.endpoint) for one in members if one.endpoint)),
        "addresses": [_address(one) for one in members],
    }


def _zones(identity: Identity | None) -> dict[str, Any] | None:
    if identity is None:
        return None
    own = sorted(str(zone) for owner, zone in identity.zones if owner == identity.tenant)
    return {"tenant": str(identity.tenant), "outside": identity.outside, "zones": own}


def _address(member: Member) -> str:
    return str(member.address if member.prefix is None else member.prefix)


def _ending(regions: Regions, ending: Ending) -> dict[str, Any]:
    decision, treatment = ending.decision, ending.treatment
    return {
        "verdict": decision.verdict.value,
        "rule": decision.rule,
        "at": _at(regions, decision.rule),
        "monitored": decision.monitored,
        "mirror": list(treatment.mirror),
        "through": list(treatment.through),
        "log": treatment.log,
        "limit": list(treatment.limit),
    }


def _at(regions: Regions, rule: str) -> str | None:
    record = regions.records.get(rule)
    return None if record is None or record.location is None else record.location.at


def _verdict(said: Verdict | None) -> dict[str, Any] | None:
    return None if said is None else {"verdict": said.verdict.value, "rule": said.rule, "at": said.at}


def _names(groups: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return who is in the groups, without addresses; groups of addresses alone stay what they are."""
    return sorted(
        (str(group["before"]), str(group["after"]), *(group["endpoints"] or group["addresses"]))
        for group in groups
    )


def _united(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return groups of the same members with the addresses of both IP versions."""
    by_name = {name[0]: group for group in other for name in [_names([group])]}
    united = []
    for group in one:
        twin = by_name.get(_names([group])[0])
        more = [] if twin is None else [a for a in twin["addresses"] if a not in group["addresses"]]
        united.append({**group, "addresses": [*group["addresses"], *more]})
    return united
