"""``zonewall status``: what the running controller knows and enforces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from zonewall.api.control import ask
from zonewall.cli.options import OptionsFile, Output, OutputForm, SocketFile, StateFolder, control_socket


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def status(
        options: OptionsFile = None,
        state: StateFolder = None,
        socket: SocketFile = None,
        output: OutputForm = Output.TEXT,
    ) -> None:
        """Show hosts, bridges, endpoints and what is wrong; exit 1 if something is not as it should be."""
        document = ask(control_socket(options, state, socket), "/status")
        if output is Output.JSON:
            print(json.dumps(document, indent=2))
        else:
            _show(document)
        wrong = [bridge for bridge in document["bridges"] if bridge["state"] != "in-force"]
        if wrong or document["configuration"]["refused"] or _state(document):
            raise typer.Exit(1)


def _show(document: dict[str, Any]) -> None:
    console = Console()
    console.print(_table("hosts", document["hosts"], ("host", "database", "ovs_version", "problem")))
    columns = ("bridge", "state", "flows", "drift_repaired", "error")
    console.print(_table("bridges", document["bridges"], columns))
    for text in _of_bridges(document["bridges"]):
        console.print(text, style="red", markup=False)
    for bridge in document["bridges"]:
        _show_foreign(console, bridge)
    places = [
        {"endpoint": endpoint["endpoint"], **place}
        for endpoint in document["endpoints"]
        for place in endpoint["places"] or [{"state": "absent"}]
    ]
    console.print(_table("endpoints", places, ("endpoint", "bridge", "ofport", "state", "reason")))
    for link in document["links"]:
        console.print(f"link {link}")
    _show_unknown(console, document)
    for one in document["appliances"]:
        if one["reason"]:
            console.print(f"[red]appliance away[/] {one['appliance']}: {one['reason']}")
    for one in document["mirror_targets_that_sent"]:
        console.print(f"[red]mirror target sends[/] {one['port']} as {one['mac']}; it was dropped")
    for one in document["limits_not_set"]:
        console.print(f"[yellow]limit not set[/] {one['limit']} on {one['host']}; there, run as root:")
        console.print(f"  {one['command']}", markup=False, soft_wrap=True)
    trial = document["configuration"].get("trial")
    if trial:
        text = f"{trial['directory']} is on trial; goes back in {trial['goes_back_in_s']} s unless confirmed"
        console.print(text, style="yellow", markup=False)
    for one in document.get("faults", ()):
        text = f"fault of zonewall, {one['times']} times, the last {one['last_s_ago']} s ago: {one['fault']}"
        console.print(text, style="red", markup=False, soft_wrap=True)
    for text in _state(document):
        console.print(text, style="red", markup=False, soft_wrap=True)
    if document["configuration"]["refused"]:
        console.print("[red]the configuration on disk is refused; the last good one is in force[/]")
        console.print(document["configuration"]["refused"], markup=False, soft_wrap=True)


def _of_bridges(bridges: list[dict[str, Any]]) -> Iterator[str]:
    for bridge in bridges:
        for row in bridge.get("set_aside", ()):
            text = f"set aside on {bridge['bridge']}: {row['rule'] or 'no rule'}, {row['flow']}"
            text += f": {row['reason']}; closed meanwhile, tried again in {row['retry_in_s']} s"
            if row.get("flows_with_it"):
                text += f"; with it {row['flows_with_it']} flows that come later in that table"
                text += f", of {', '.join(row['rules_with_it'])}" if row["rules_with_it"] else ""
            yield text
        if bridge.get("dropped"):
            yield f"{bridge['bridge']} sends more than can be taken: {bridge['dropped']} messages dropped"


def _state(document: dict[str, Any]) -> list[str]:
    """Return what is not in force, or not on disk, because of the state folder."""
    found = [f"not written: {text}" for text in document.get("not_written", ())]
    behind = document["configuration"].get("behind")
    return [*found, f"learnt, or an answer to an alert, and not in force: {behind}"] if behind else found


def _show_unknown(console: Console, document: dict[str, Any]) -> None:
    for port in document["unknown_ports"]:
        console.print(f"[yellow]unknown port[/] {port['port']}: {port['reason']}")
    for one in document.get("unknown_ports_not_shown", ()):
        console.print(f"[yellow]unknown ports[/] at {one['bridge']}: {one['ports']} more, not shown")


def _show_foreign(console: Console, bridge: dict[str, Any]) -> None:
    """Name the first flows of others that were found, where they are to be reported."""
    found, where = bridge.get("foreign", ()), f"not zonewall's on {bridge['bridge']}"
    for row in found:
        text = f"{where}: a flow in table {row['table']}, priority {row['priority']}, cookie {row['cookie']}"
        console.print(text, style="yellow", markup=False)
    more = bridge.get("foreign_flows", 0) - len(found)
    if found and more > 0:
        console.print(f"{where}: {more} more flows", style="yellow", markup=False)


def _table(title: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.replace("_", " "))
    for row in rows:
        table.add_row(*("" if row.get(column) is None else str(row[column]) for column in columns))
    return table
