"""A plan for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

MOST_NAMES = 6
MOST_ROWS = 200


def plan_text(document: dict[str, Any]) -> None:
    """Print a plan."""
    console = Console(highlight=False, soft_wrap=True)
    say = console.print
    say(f"{document['old']} → {document['new']}", markup=False)
    for what in ("tenants", "endpoints"):
        for word, names in document[what].items():
            if names:
                say(f"{what} {word}: {_some(names)}", markup=False)
    rows = document["verdicts"]
    verdicts = sum(row["kind"] == "verdict" for row in rows)
    say(f"verdicts: {verdicts} change(s); treatment: {len(rows) - verdicts} change(s)")
    for row in rows[:MOST_ROWS]:
        say(f"  {_row(row)}", markup=False)
    if len(rows) > MOST_ROWS:
        say(f"  … and {len(rows) - MOST_ROWS} more; --output json has all")
    for one in document["beside"]:
        say(f"  {one['what']}: {one['before']} → {one['after']}", markup=False)
    _connections(console, document["connections"])
    _interruptions(console, document)
    _bridges(console, document)
    for one in document["parted"]:
        console.print("[yellow]warning:[/] ", end="")
        say(f"{one['text']}; if the controller reaches that host this way, it would lose it", markup=False)
    if document["parted"]:
        say("a controller takes that by `zonewall apply DIR --even-if-cut-off` only")
    for line in document["refused"]:
        console.print("[red]refused:[/] ", end="")
        console.print(line, markup=False)
    if not document["changes"]:
        say("nothing changes")


def _row(row: dict[str, Any]) -> str:
    before, after = row["before"], row["after"]
    head = f"{_groups(row['from'])} → {_groups(row['to'])}, {', '.join(row['services'])}"
    family = "" if len(row["ip"]) > 1 else f" (IPv{row['ip'][0]})"
    if row["kind"] == "verdict":
        return f"{head}{family}: {_ending(before)} → {_ending(after)}"
    names = ("monitored", "mirror", "through", "log", "limit")
    told = (f"{name}: {before[name]} → {after[name]}" for name in names if before[name] != after[name])
    return f"{head}{family}: {after['verdict']} as before; {'; '.join(told)}, by {after['rule']}"


def _ending(ending: dict[str, Any]) -> str:
    at = f" ({ending['at']})" if ending["at"] else ""
    return f"{ending['verdict']} by {ending['rule']}{at}"


def _groups(groups: list[dict[str, Any]]) -> str:
    return "; ".join(_group(group) for group in groups)


def _group(group: dict[str, Any]) -> str:
    before, after = group["before"], group["after"]
    zones = [_zones(one) for one in (before, after)]
    label = zones[1] if zones[0] == zones[1] else " ⇒ ".join(zones)
    return f"{label}[{_some(group['endpoints'] or group['addresses'])}]"


def _zones(one: dict[str, Any] | None) -> str:
    if one is None:
        return "nobody"
    words = "+".join(one["zones"]) or ("outside" if one["outside"] else "no zone")
    return f"{one['tenant']}/{words}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _connections(console: Console, known: dict[str, Any]) -> None:
    if known["known"] is None:
        console.print(
            "connections: unknown which would end otherwise; say --journal, --connections or --appctl"
        )
        return
    for one in known["sources"]:
        console.print(f"connections of {_source(one)}", markup=False)
    turned = known["flips"]
    cut = sum(one["on_change"] == "cut" for one in turned)
    console.print(f"connections: {known['known']} known, {cut} would be cut, {len(turned) - cut} otherwise")
    for one in turned[:MOST_ROWS]:
        asked = one["connection"]
        what = f"{asked['src']} → {asked['dst']} proto {asked['proto']} dport {asked.get('dport', '-')}"
        rule = one["after"] or {"rule": one["why"]}
        state = {True: " (open)", False: " (ended)"}.get(one["open"], "")
        turn = one["on_change"] or one["turn"]
        console.print(f"  {turn}{state}: {what}, by {rule['rule']}", markup=False)


def _source(one: dict[str, Any]) -> str:
    """Return what somebody knows, and what not."""
    said: str = f"{one['source']} {one['name']}: {one['connections']}, {one['open']} open"
    if one["unclear"]:
        said += f"; {one['unclear']} record(s) say too little"
    if not one["complete"]:
        said += "; older records are not read"
    if one["source"] == "journal":
        said += "; it has those of rules with `log: connections` alone"
    return said


def _interruptions(console: Console, document: dict[str, Any]) -> None:
    for rule in document["rerouted"]:
        console.print(f"rerouted: live connections of {rule} go through other functions", markup=False)
    if not document["interrupted"]:
        console.print("traffic interrupted: none; everything that passes goes on passing")
        return
    console.print("traffic interrupted: only what is no longer allowed, of these rules:")
    for one in document["interrupted"]:
        at = f" ({one['at']})" if one["at"] else ""
        console.print(f"  {one['rule']}{at}: on-change: {one['on_change']}", markup=False)


def _bridges(console: Console, document: dict[str, Any]) -> None:
    if not document["placement"]:
        console.print("flows: unknown without a placement; say --placement FILE")
        return
    columns = ("bridge", "added", "changed", "removed", "kept", "flows", "budget")
    table = Table(title="flows", title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column == "bridge" else "right")
    for row in document["bridges"]:
        table.add_row(*(str(row[column]) for column in columns))
    console.print(table)
