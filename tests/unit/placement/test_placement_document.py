"""docs/placement.md draws the table that the code carries out."""

from __future__ import annotations

from pathlib import Path

from zonewall.placement.binding_events import EffectKind, Timing
from zonewall.placement.binding_record import State
from zonewall.placement.migration import ROWS
from zonewall.placement.model import BindingState

DOCUMENT = (Path(__file__).parents[3] / "docs" / "placement.md").read_text()


def drawn_table() -> str:
    """Return the table: a line an event, a column a state, in each cell the states that may follow."""
    lines = [
        "| event | " + " | ".join(f"in {each.value}" for each in State) + " |",
        "| --- |" + " --- |" * len(State),
    ]
    for event, row in ROWS.items():
        cells = []
        for before in State:
            after = [each.value for each in State if each in row.then[before]]
            cells.append("·" if after == [before.value] else ", ".join(after))
        lines.append(f"| {event.__name__} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def test_the_document_draws_the_table_of_the_code() -> None:
    assert drawn_table() in DOCUMENT, f"put this into docs/placement.md:\n{drawn_table()}"


def test_the_document_says_what_every_event_does() -> None:
    missing = [
        event.__name__
        for event, row in ROWS.items()
        if f"- **{event.__name__}**: {row.means}" not in DOCUMENT
    ]

    assert missing == []


def test_the_document_names_every_state_binding_and_effect() -> None:
    words = [each.value for kind in (State, BindingState, EffectKind) for each in kind]

    assert [word for word in words if f"`{word}`" not in DOCUMENT] == []


def test_the_document_gives_the_times_of_the_code() -> None:
    timing = Timing()

    assert f"{timing.window_s:g} seconds" in DOCUMENT
    assert f"{timing.settle_s:g} seconds" in DOCUMENT
    assert f"{timing.hold_s:g} seconds" in DOCUMENT
