"""``zonewall journal``: the records, and whether their chain holds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from zonewall.cli.journal_view import as_json, as_text, open_journal
from zonewall.cli.options import JournalFile, OptionsFile, Output, OutputForm, StateFolder
from zonewall.cli.times import parse_time, to_us
from zonewall.errors import ZonewallError
from zonewall.journal.answers import missing_texts
from zonewall.journal.keeping import JournalReader, Query
from zonewall.journal.record import Break, Head, Kind, Record, breaks

FOLLOW_S = 0.5


def register(app: typer.Typer) -> None:
    """Add the verb, and ``verify`` below it."""
    journal = typer.Typer(invoke_without_command=True, help=show.__doc__)
    journal.callback()(show)
    journal.command()(verify)
    app.add_typer(journal, name="journal")


def show(  # noqa: PLR0917 - typer reads the options here
    context: typer.Context,
    vm: Annotated[str | None, typer.Option(help="Only of this endpoint, tenant/name.")] = None,
    host: Annotated[str | None, typer.Option(help="Only of this host.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    kind: Annotated[list[Kind] | None, typer.Option(help="Only of these kinds.")] = None,
    since: Annotated[str | None, typer.Option(help="From then on: 2026-11-24T12:00:00Z, or -10m.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to then.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only so many of the newest.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what is written from now on.")] = False,
    options: OptionsFile = None,
    state: StateFolder = None,
    journal: JournalFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Show what happened, oldest first: who is where, which policy, who asked for what."""
    if context.invoked_subcommand is not None:
        return
    now = datetime.now(UTC)
    query = Query(
        endpoint=vm,
        host=host,
        tenant=tenant,
        kinds=frozenset(kind or ()),
        since_us=None if since is None else to_us(parse_time(since, now)),
        until_us=None if until is None else to_us(parse_time(until, now)),
        most=last,
        newest_first=last is not None,
    )
    reader = open_journal(options, state, journal)
    write = as_text if output is Output.TEXT else as_json
    for record in _records(reader, query, follow):
        print(write(record), flush=follow)


def verify(
    expect: Annotated[
        str | None, typer.Option(metavar="NUMBER:DIGEST", help="An end noted elsewhere (status, log).")
    ] = None,
    options: OptionsFile = None,
    state: StateFolder = None,
    journal: JournalFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Check every record against the one before it, and every document; exit 1 where something is wrong."""
    reader = open_journal(options, state, journal)
    wanted = _head(expect) if expect is not None else None
    found, head, gaps, seen = _check(reader, wanted)
    if wanted is not None and not seen:
        found.append(
            Break(wanted.sequence, "the record that was noted elsewhere is not there, or another now")
        )
    if output is Output.JSON:
        wrong = [{"record": one.sequence, "reason": one.reason} for one in found]
        print(json.dumps({"records": head.sequence, "head": str(head), "gaps": gaps, "breaks": wrong}))
    else:
        for one in found:
            print(f"record {one.sequence}: {one.reason}")
        print(f"{head.sequence} records, {gaps} gap(s) reported, {len(found)} break(s); the end is {head}")
    if found:
        raise typer.Exit(1)


def _check(reader: JournalReader, wanted: Head | None) -> tuple[list[Break], Head, int, bool]:
    """Return breaks, the end, how many gap records there are, and whether the wanted end was met."""
    found: list[Break] = []
    head, gaps, seen = Head(), 0, wanted is None or wanted.sequence == 0
    for record in reader.select(Query()):
        found += breaks(head, [record])
        head = Head(record.sequence, record.digest)
        gaps += record.entry.kind is Kind.GAP and not record.entry.written
        seen |= head == wanted
        if record.entry.kind is Kind.POLICY:
            found += [Break(record.sequence, reason) for reason in missing_texts(reader, record)]
    return found, head, gaps, seen


def _head(text: str) -> Head:
    number, _, digest = text.partition(":")
    if not number.isdecimal() or len(digest) != 64:
        raise ZonewallError(f"--expect {text!r}: write it as status and the log show it, NUMBER:DIGEST")
    return Head(int(number), digest)


def _records(reader: JournalReader, query: Query, follow: bool) -> Iterator[Record]:
    latest = query.after if not follow else reader.head().sequence
    found = list(reader.select(query)) if query.newest_first else reader.select(query)
    for record in reversed(found) if isinstance(found, list) else found:
        latest = max(latest, record.sequence)
        yield record
    while follow:
        time.sleep(FOLLOW_S)
        more = Query(query.endpoint, query.tenant, query.host, query.kinds, after=latest)
        for record in reader.select(more):
            latest = record.sequence
            yield record
