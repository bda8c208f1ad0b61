"""``zonewall counters`` and ``zonewall top``: what each rule has judged, and what it judges now."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from zonewall.api.control import ask
from zonewall.cli.options import OptionsFile, Output, OutputForm, SocketFile, StateFolder, control_socket
from zonewall.policy.written import parse_duration_s


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(counters)
    app.command()(top)


def counters(
    unused: Annotated[str | None, typer.Option(help="Only rules that nothing hit for so long: 90d.")] = None,
    zones: Annotated[bool, typer.Option("--zones", help="By pairs of zones instead of rules.")] = False,
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: SocketFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Show packets and bytes that each rule has judged on all bridges."""
    document = ask(control_socket(options, state, socket), "/look/counters")
    rows = document["rules"]
    if unused is not None:
        try:
            since = document["at"] - parse_duration_s(unused)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        rows = [row for row in rows if (row["last_hit"] or 0.0) < since and row["since"] < since]
    if zones:
        rows = _by_zones(rows)
    if output is Output.JSON:
        print(json.dumps(rows, indent=2))
        return
    head = ("from", "to") if zones else ("rule", "action", "place")
    _show(rows, (*head, "packets", "bytes", "last_hit"))


def top(
    seconds: Annotated[float, typer.Option(min=0.1, max=60.0, help="How long to count.")] = 1.0,
    last: Annotated[int, typer.Option(min=1, help="How many rules to show.")] = 20,
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: SocketFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Show the rules that judge most at the moment."""
    place = control_socket(options, state, socket)
    before = ask(place, "/look/counters")
    time.sleep(seconds)
    after = ask(place, "/look/counters")
    lasted = max(after["at"] - before["at"], 0.001)
    known = {row["rule"]: row for row in before["rules"]}
    rows = []
    for row in after["rules"]:
        was = known.get(row["rule"], {"packets": 0, "bytes": 0})
        packets, size = row["packets"] - was["packets"], row["bytes"] - was["bytes"]
        rates = {"packets_s": round(packets / lasted, 1), "bits_s": round(size * 8 / lasted)}
        rows.append({"rule": row["rule"], "action": row["action"], **rates})
    rows = sorted((row for row in rows if row["packets_s"]), key=lambda row: -row["packets_s"])[:last]
    if output is Output.JSON:
        print(json.dumps(rows, indent=2))
    else:
        _show(rows, ("rule", "action", "packets_s", "bits_s"))


def _by_zones(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add rules up by what they are written from and to."""
    pairs: dict[tuple[str, str], dict[str, Any]] = defaultdict(
        lambda: {"packets": 0, "bytes": 0, "last_hit": None}
    )
    for row in rows:
        pair = pairs[", ".join(row["from"]), ", ".join(row["to"])]
        pair["packets"] += row["packets"]
        pair["bytes"] += row["bytes"]
        pair["last_hit"] = max(filter(None, (pair["last_hit"], row["last_hit"])), default=None)
    return [{"from": one, "to": other, **pair} for (one, other), pair in sorted(pairs.items())]


def _show(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    table = Table()
    for column in columns:
        table.add_column(column.replace("_s", "/s").replace("_", " "))
    for row in rows:
        table.add_row(*(_cell(column, row[column]) for column in columns))
    Console().print(table)


def _cell(column: str, value: Any) -> str:
    if column == "last_hit":
        return "never" if value is None else datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return "" if value is None else str(value)
