"""Every line of a bank at its place: a priority and a conjunction number that it keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from zonewall.errors import CompileError
from zonewall.intent.banks import Bank, Line
from zonewall.intent.numbering import Kind, NumberingBuilder
from zonewall.intent.passing import Passing, sections_with_outliving
from zonewall.intent.priority import allocate_priorities
from zonewall.values.sameness import differing


@dataclass(frozen=True, slots=True)
class PlacedLine:
    """A line of a bank with its numbers."""

    line: Line
    priority: int
    rule: int
    conjunction: int
    ends_at: int = 0


def place_lines(
    builder: NumberingBuilder,
    banks: Mapping[str, Bank],
    passing: Passing,
    before: Mapping[str, tuple[tuple[PlacedLine, ...], ...]],
) -> dict[str, tuple[tuple[PlacedLine, ...], ...]]:
    """Give every line a priority and a conjunction number."""
    places: dict[str, tuple[tuple[PlacedLine, ...], ...]] = {}
    moments = passing.ends, {one.rule: one.until or 0 for one in passing.outliving}
    for name, bank in sorted(banks.items()):
        known = before.get(name, ())
        found = sections_with_outliving(bank, bank_sections(bank), passing)
        places[name] = tuple(
            _placed(builder, f"{name}/{index}", lines, moments, known[index] if index < len(known) else ())
            for index, lines in enumerate(found)
        )
    return places


def _placed(
    builder: NumberingBuilder,
    scope: str,
    lines: Sequence[Line],
    moments: tuple[Mapping[str, int], Mapping[str, int]],
    before: tuple[PlacedLine, ...],
) -> tuple[PlacedLine, ...]:
    """Return a section's lines in their places; those of before that stay are taken as they are.

    Raises:
        CompileError: there are more than places; it says in which bank.
    """
    ends, until = moments
    ends_anyhow = ends or until or any(map(attrgetter("ends_at"), before))
    if before and len(lines) == len(before) and not ends_anyhow:
        kept_all = _exchanged(builder, scope, lines, before)
        if kept_all is not None:
            return kept_all
    keys = [line.key for line in lines]
    priorities: Mapping[str, int] = {}
    if before and keys == [placed.line.key for placed in before]:
        kept: Sequence[PlacedLine | None] = before
    else:
        try:
            priorities = allocate_priorities(keys, builder.mapping(Kind.PRIORITY, scope))
        except CompileError as error:
            raise CompileError(f"{scope.rpartition('/')[0]}: {error}") from None
        builder.replace_mapping(Kind.PRIORITY, scope, priorities)
        by_key = {placed.line.key: placed for placed in before}
        kept = [by_key.get(key) for key in keys]
    section = []
    for line, key, known in zip(lines, keys, kept, strict=True):
        placed = known
        ends_at = 0
        if ends or until:
            ends_at = until.get(line.rule, 0) if line.outlives else ends.get(line.rule, 0)
        priority = priorities[key] if priorities or placed is None else placed.priority
        if (
            placed is None
            or (placed.line is not line and placed.line != line)
            or placed.ends_at != ends_at
            or placed.priority != priority
        ):
            rule = builder.number(Kind.RULE, line.rule)
            conjunction = builder.number(Kind.CONJUNCTION, f"{scope}/{key}")
            placed = PlacedLine(line, priority, rule, conjunction, ends_at)
        section.append(placed)
    return tuple(section)


def _exchanged(
    builder: NumberingBuilder, scope: str, lines: Sequence[Line], before: tuple[PlacedLine, ...]
) -> tuple[PlacedLine, ...] | None:
    """Return a section in which lines were exchanged in their places; None: it is more than that."""
    section = list(before)
    for place in differing(lines, [placed.line for placed in before]):
        line, known = lines[place], before[place]
        if line.key != known.line.key:
            return None
        if known.line != line:
            rule = builder.number(Kind.RULE, line.rule)
            section[place] = PlacedLine(line, known.priority, rule, known.conjunction)
    return tuple(section)


def bank_sections(bank: Bank) -> list[tuple[Line, ...]]:
    """Return the bank's sections' lines, the lines of its end as the last."""
    return [*(section.lines for section in bank.sections), bank.end]
