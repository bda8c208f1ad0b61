"""Names to small numbers, the same after every restart: a value that goes in and comes out.

Numbers of one kind are given in the order asked for, and never twice: a name that is gone keeps its number,
so that a connection's label or a cookie on a bridge can never be read as somebody else's. Meters of limits
stand in neither: what nobody has any more is given again once no other is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

from zonewall.errors import CompileError


class Kind(Enum):
    """What is numbered: name, first number, last number."""

    TENANT = ("tenant", 1, 4094)
    DOMAIN = ("domain", 1, 2047)  # tracking domains: the low 11 bits of a conntrack zone
    BRIDGE_ON_HOST = ("bridge-on-host", 0, 15)  # its high 4 bits; between them: fragments wait there
    DESTINATION = ("destination", 1, 4094)  # fabric destinations: bridges, service legs, mirror targets
    BANK = ("bank", 1, 32767)  # the field's highest bit is the side of a staged change
    IDENTITY = ("identity", 1, 0x7FFFFFFF)
    OUTSIDE = ("outside", 0x80000001, 0xFFFFFFFF)
    RULE = ("rule", 1, 0xFFFFFFFF)
    CONJUNCTION = ("conjunction", 1, 0xFFFFFFFF)
    ENDPOINT = ("endpoint", 2, 0xFFFFFFFF)
    CHAIN = ("chain", 1, 4095)
    LIMIT = ("limit", 32769, 40960)  # meters of rules and tenants; above them those of a rule's ports
    PRIORITY = ("priority", 1, 65000)

    def __init__(self, word: str, first: int, last: int) -> None:
        """Name the parts: ``word`` is the kind's name in a numbering file."""
        self.word = word
        self.first = first
        self.last = last


@dataclass(frozen=True, slots=True)
class Numbering:
    """Numbers by kind and name, as written in a numbering file."""

    numbers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @staticmethod
    def from_plain(document: Any) -> Numbering:
        """Read a numbering out of parsed JSON or YAML.

        Raises:
            ValueError: it is no mapping of kinds to mappings of names to numbers, or names have one number,
                or one that their kind cannot have.
        """
        if not isinstance(document, dict):
            raise ValueError("a numbering is a mapping of kinds")
        for kind, names in document.items():
            if not isinstance(kind, str) or not isinstance(names, dict):
                raise ValueError(f"{kind!r} is no kind of a numbering")
            for name, number in names.items():
                if not isinstance(name, str) or not isinstance(number, int) or isinstance(number, bool):
                    raise ValueError(f"{kind}: {name!r} has no number")
            _check_numbers(kind, names)
        return Numbering(document)

    def to_plain(self) -> dict[str, dict[str, int]]:
        """Return what a numbering file holds, sorted."""
        return {kind: dict(sorted(names.items())) for kind, names in sorted(self.numbers.items()) if names}


_NO_NAMES: Mapping[str, int] = MappingProxyType({})


class NumberingBuilder:
    """Gives numbers while a configuration is compiled; confined to one compile."""

    def __init__(self, numbering: Numbering) -> None:
        """Start from what was given before; a kind's names are copied once it gets another one."""
        self._numbers: dict[str, Mapping[str, int]] = dict(numbering.numbers)
        self._own: dict[str, dict[str, int]] = {}
        self._next: dict[str, int] = {}
        self._spare: dict[str, list[int]] = {}

    def number(self, kind: Kind, name: str, scope: str = "") -> int:
        """Return the name's number, a new one if it has none.

        ``scope`` keeps counts apart within a kind (bridges of one host); it becomes part of the kind.

        Raises:
            CompileError: the kind's numbers are used up.
        """
        word = kind.word
        key = f"{word}/{scope}" if scope else word
        names = self._numbers.get(key, _NO_NAMES)
        known = names.get(name)
        if known is not None:
            return known
        first, last = kind.first, kind.last
        upcoming = self._next.get(key)
        if upcoming is None:
            upcoming = max(names.values(), default=first - 1) + 1
        if upcoming > last:
            spare = self._spare.get(key)
            if not spare:
                raise CompileError(
                    f"no {word} number is left for {name}: {last - first + 1} is the most there can be"
                )
            upcoming = spare.pop()
        else:
            self._next[key] = upcoming + 1
        self._names_to_change(key)[name] = upcoming
        return upcoming

    def number_all(self, kind: Kind, names: Sequence[str]) -> None:
        """Number names, all that there are of the kind now: those of others go to them if none are left.

        Raises:
            CompileError: there are more than the kind has numbers.
        """
        known = self._numbers.get(kind.word, _NO_NAMES)
        added = len(names) - sum(map(known.__contains__, names))
        if added > kind.last - max(known.values(), default=kind.first - 1):
            wanted = set(names)
            kept = {name: number for name, number in known.items() if name in wanted}
            self._numbers[kind.word] = self._own[kind.word] = kept
            self._next[kind.word] = kind.last + 1
            free = set(range(kind.first, kind.last + 1)).difference(kept.values())
            self._spare[kind.word] = sorted(free, reverse=True)
        for name in names:
            self.number(kind, name)

    def numbers_of(self, kind: Kind) -> Mapping[str, int]:
        """Return the names of a kind without scopes, with their numbers."""
        return self._numbers.get(kind.word, {})

    def give_block(self, kind: Kind, offsets: Mapping[str, int]) -> None:
        """Give names numbers at these offsets of an aligned block that begins beyond all numbers given.

        Where the kind has no room for that, nothing is given.
        """
        word, first, last = kind.word, kind.first, kind.last
        names = self._numbers.get(word, _NO_NAMES)
        size = 1 << max(offsets.values(), default=0).bit_length()
        base = -(-(max(names.values(), default=first - 1) + 1) // size) * size
        if base + size - 1 <= last:
            self._names_to_change(word).update((name, base + offset) for name, offset in offsets.items())
            self._next.pop(word, None)

    def mapping(self, kind: Kind, scope: str) -> dict[str, int]:
        """Return the names and numbers of a scope."""
        return dict(self._numbers.get(f"{kind.word}/{scope}", {}))

    def replace_mapping(self, kind: Kind, scope: str, names: Mapping[str, int]) -> None:
        """Set a scope's names and numbers as a whole (priorities, which may be used again)."""
        key = f"{kind.word}/{scope}"
        self._numbers[key] = self._own[key] = dict(names)

    def freeze(self) -> Numbering:
        """Return the numbering as it now is; kinds that got no other name are the very objects of before."""
        self._own = {}
        return Numbering(dict(self._numbers))

    def _names_to_change(self, key: str) -> dict[str, int]:
        """Return a kind's names, no longer those of a numbering."""
        if key not in self._own:
            self._numbers[key] = self._own[key] = dict(self._numbers.get(key, _NO_NAMES))
        return self._own[key]


_RANGES = {kind.word: (kind.first, kind.last) for kind in Kind}


def _check_numbers(kind: str, names: Mapping[str, int]) -> None:
    """Refuse numbers that could be read as another name's, or would not fit where they go."""
    first, last = _RANGES.get(kind.partition("/")[0], (0, 0xFFFFFFFF))
    numbers = set(names.values())
    if len(numbers) == len(names) and (not numbers or (first <= min(numbers) and max(numbers) <= last)):
        return
    owners: dict[int, str] = {}
    for name, number in names.items():
        other = owners.setdefault(number, name)
        if other is not name:
            raise ValueError(f"{kind}: {other!r} and {name!r} have one number, {number}")
        if not first <= number <= last:
            raise ValueError(f"{kind}: {name!r} has the number {number}, and may have {first} to {last}")
