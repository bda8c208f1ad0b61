"""``zonewall where`` and ``zonewall history``: where an endpoint was, then and all along."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from zonewall.cli.journal_view import as_json, as_text, open_journal, place_text
from zonewall.cli.options import JournalFile, OptionsFile, Output, OutputForm, StateFolder, Vm
from zonewall.cli.times import from_us, parse_time, to_us
from zonewall.journal.answers import Standing, standing_at
from zonewall.journal.keeping import Query

EXIT_UNKNOWN = 1


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(where)
    app.command()(history)


def where(
    vm: Vm,
    at: Annotated[str, typer.Option(help="When: 2026-11-24T12:00:00Z, or -10m.")] = "now",
    options: OptionsFile = None,
    state: StateFolder = None,
    journal: JournalFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Say where a VM was at a time, and since when; exit 1 if the journal does not know it."""
    when = parse_time(at, datetime.now(UTC))
    found = standing_at(open_journal(options, state, journal), vm, to_us(when))
    if output is Output.JSON:
        print(json.dumps(standing_document(found)))
    else:
        _say(found)
    if found.record is None:
        raise typer.Exit(EXIT_UNKNOWN)


def history(
    vm: Vm,
    options: OptionsFile = None,
    state: StateFolder = None,
    journal: JournalFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Show everything that ever happened to a VM; exit 1 if the journal does not know it."""
    known = False
    for record in open_journal(options, state, journal).select(Query(endpoint=vm)):
        known = True
        print(as_text(record) if output is Output.TEXT else as_json(record))
    if not known:
        print(
            f"{vm}: the journal has nothing of it; write it as tenant/name"
        ) if output is Output.TEXT else None
        raise typer.Exit(EXIT_UNKNOWN)


def standing_document(found: Standing) -> dict[str, Any]:
    """Return how an endpoint stood, as JSON shows it."""
    return {
        "endpoint": found.endpoint,
        "state": found.state,
        "place": None if found.place is None else dict(found.place),
        "places": [dict(place) for place in found.places],
        "quarantine": found.quarantine or None,
        "since": None if found.since is None else from_us(found.since.entry.at_us),
        "record": None if found.record is None else found.record.sequence,
        "cause": None if found.record is None else found.record.entry.cause,
        "controller_stopped": found.silent,
    }


def _say(found: Standing) -> None:
    if found.record is None:
        print(f"{found.endpoint}: the journal knows nothing of it until then; write it as tenant/name")
        return
    since = "" if found.since is None else f", there since {from_us(found.since.entry.at_us)}"
    print(f"{found.endpoint}: {found.state}{since}")
    for place in found.places:
        print(f"  {place_text(place)}")
    if found.quarantine:
        print(f"  isolated: {found.quarantine}")
    print(f"  says record {found.record.sequence} of {from_us(found.record.entry.at_us)}", end="")
    print("; no controller was running at the time asked for" if found.silent else "")
