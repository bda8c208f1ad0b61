"""An edit of a few items of a long list: found by comparing two texts, and parsed without the rest of them.

A YAML parser reads from left to right, and what it makes of a list's item depends on the text of the item
and on how far it is indented. So the items that an edit touches are parsed alone, before a mark in the place
of the item that follows: where mark and all come out as one list, the whole text would give the same items,
and everything else of it stays. Whatever is not sure to be so is left to a reading of the whole text.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from zonewall.policy.files import MAX_FILE_BYTES
from zonewall.policy.findings import Location
from zonewall.policy.last_read import Listed
from zonewall.policy.yamltree import MAX_ITEMS, MAX_NODES, Scalar, Sequence, Tree, read_trees

KEY = "endpoints"
"""Under this key a fragment's items stand in its tree."""
_MARK = "~mark~"
_OPENING = f"{KEY}: ["


@dataclass(frozen=True, slots=True)
class Shift:
    """What follows ``old`` has moved to ``new``: line and column, both from 1."""

    old: tuple[int, int]
    new: tuple[int, int]

    def __bool__(self) -> bool:
        """Say whether anything has moved."""
        return self.old != self.new

    def __call__(self, at: Location) -> Location:
        """Return where something stands now."""
        if (at.line, at.column) < self.old:
            return at
        column = at.column + (self.new[1] - self.old[1] if at.line == self.old[0] else 0)
        return Location(at.file, at.line + self.new[0] - self.old[0], column)


NOWHERE = Shift((1 << 60, 1), (1 << 60, 1))
"""Nothing follows."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """Items that were parsed alone; ``moved`` says where in the text something of them stands."""

    tree: Tree
    items: Sequence
    mark: tuple[int, int] | None
    first: tuple[int, int]

    def place(self, line: int, column: int) -> tuple[int, int]:
        """Return where in the text a place of the fragment is."""
        first = self.items.items[0]
        if line != first.line:
            return line + self.first[0] - first.line, column
        return self.first[0], column + self.first[1] - first.column


@dataclass(frozen=True, slots=True)
class Edit:
    """Items ``first`` to ``last`` (not included) of a list are others now."""

    first: int
    last: int
    fragment: Fragment
    starts: tuple[int, ...]
    shift: Shift


@dataclass(frozen=True, slots=True)
class Difference:
    """Two texts that are the same up to ``begin``, and from ``end`` (in the old one) on."""

    old: str
    new: str
    begin: int
    end: int

    @property
    def grown(self) -> int:
        """Return by how many characters the new text is longer."""
        return len(self.new) - len(self.old)


def difference(old: str, new: str) -> Difference:
    """Return in what two texts differ, as one piece."""
    same = _same_length(old, new)
    return Difference(old, new, same, len(old) - _same_ending(old, new, same))


def find_edit(file: str, texts: Difference, listed: Listed, place: Callable[[int], Location]) -> Edit | None:
    """Return what of a list is another between two texts, if that is surely all in which they differ.

    Args:
        file: for locations.
        texts: what was before is valid, and has no anchors.
        listed: the list in the text before.
        place: says where an item stands there.
    """
    starts, in_brackets, old = listed.starts, listed.in_brackets, texts.old
    first = bisect_right(starts, texts.begin) - 1
    if first < 0 or len(texts.new) > min(MAX_FILE_BYTES // 4, MAX_NODES):
        return None
    last = bisect_left(starts, texts.end, first + 1)
    if last < len(starts) and (_begin(old, starts[last], in_brackets) or 0) < texts.end:
        last += 1
    is_followed = last < len(starts)
    begin = _begin(old, starts[first], in_brackets)
    end = _begin(old, starts[last], in_brackets) if is_followed else len(old)
    if begin is None or end is None or (in_brackets and not is_followed):
        return None
    if is_followed and starts[first] - begin != starts[last] - end:
        return None
    indent = None if in_brackets else starts[first] - begin - len("- ")
    before = _parsed(file, old[begin:end], place(first), indent, is_followed)
    after = _parsed(file, texts.new[begin : end + texts.grown], place(first), indent, is_followed)
    if before is None or after is None or len(before.items.items) != last - first:
        return None
    if len(starts) + len(after.items.items) > MAX_ITEMS:
        return None
    inside = after.items.starts or []
    inner = starts[first] - inside[0]
    shift = NOWHERE
    if before.mark is not None and after.mark is not None:
        shift = Shift(before.place(*before.mark), after.place(*after.mark))
    return Edit(first, last, after, tuple(start + inner for start in inside), shift)


def _begin(text: str, start: int, in_brackets: bool) -> int | None:
    """Return where the text of an item begins: with its line, which has nothing before its dash."""
    if in_brackets:
        return start if text[start] == "{" else None
    line = text.rfind("\n", 0, start) + 1
    lead = text[line:start]
    return line if lead.endswith("- ") and lead[:-2].strip(" ") == "" else None


def _parsed(file: str, text: str, first: Location, indent: int | None, is_followed: bool) -> Fragment | None:
    """Return the items of a text that stand where another list's item began; None if that is not sure."""
    in_brackets = indent is None
    opening, closing = (_OPENING, "]") if in_brackets else (f"{KEY}:\n", "\n")
    dash = "" if indent is None else " " * indent + "- "
    if not text.startswith(dash or "{"):
        return None
    before = f"{opening}{text}{dash}"
    whole = f'{before}"{_MARK}"{closing}' if is_followed else f"{opening}{text}"
    trees, findings = read_trees(file, whole.encode())
    if findings or len(trees) != 1 or trees[0].has_anchors or list(trees[0].root.entries) != [KEY]:
        return None
    items = trees[0].root.entries[KEY][1]
    if not isinstance(items, Sequence) or items.in_brackets is not in_brackets or not items.starts:
        return None
    # Tags, comments or spaces before the first item or the mark move it; a text may have a mark of its own.
    if items.starts[0] != len(opening) + len(dash):
        return None
    place = None
    if is_followed:
        last = items.items.pop()
        if not isinstance(last, Scalar) or last.text != _MARK or items.starts.pop() != len(before):
            return None
        place = (last.line, last.column)
    if not items.items:
        return None
    return Fragment(trees[0], items, place, (first.line, first.column))


def _same_length(one: str, other: str) -> int:
    """Return how many characters two texts have alike at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _same_ending(one: str, other: str, but: int) -> int:
    """Return how many characters two texts have alike at their end, beyond the first ``but``."""
    low, high = 0, min(len(one), len(other)) - but
    while low < high:
        middle = (low + high + 1) // 2
        if one[len(one) - middle : len(one) - low] == other[len(other) - middle : len(other) - low]:
            low = middle
        else:
            high = middle - 1
    return low
