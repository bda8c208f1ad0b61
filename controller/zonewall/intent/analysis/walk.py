"""A bank asked about whole regions of services at once: which line decides what, for two identities.

Lines become bits; the bits of the lines that both identities have a part in are all that a walk depends on,
so that pairs of identities that no rule tells apart are walked once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zonewall.intent.analysis.regions import Protocols, Region, difference, intersection, protocols_of, union
from zonewall.intent.banks import Bank, Line, Outcome
from zonewall.intent.crowds import is_outside_name
from zonewall.values.services import ServiceTerm


@dataclass(frozen=True, slots=True)
class Decision:
    """A region and the line (by its place in the bank) that decides it."""

    place: int
    region: Region


@dataclass(slots=True)
class BankWalk:
    """One bank made ready for questions.

    Attributes:
        lines: every line in the order of the sections, those of the bank's end last.
        fleeting: rules by name that hold only at times: what they decide goes on to later lines as well.
    """

    bank: Bank
    protocols: Protocols
    fleeting: frozenset[str] = frozenset()
    lines: tuple[Line, ...] = ()
    regions: tuple[Region, ...] = ()
    _starts: tuple[int, ...] = ()
    _bits: tuple[dict[str, int], ...] = ()
    _always: tuple[dict[str, int], ...] = ()

    def mask(self, side: int, identity: str) -> int:
        """Return the bits of the lines that an identity can be the source (0) or the destination (1) of."""
        kind = "outside" if is_outside_name(identity) else "inside"
        return self._bits[side].get(identity, 0) | self._always[side][kind]

    def decisions(self, mask: int, asked: Region, without: str = "") -> Iterator[Decision]:
        """Yield which of the lines in ``mask`` decide what of a region; ``without`` leaves a rule out."""
        for taken in self.takers(mask, asked, without):
            if self.lines[taken.place].outcome is not Outcome.ONWARD:
                yield taken

    def takers(self, mask: int, asked: Region, without: str = "") -> Iterator[Decision]:
        """Yield what each line in ``mask`` takes of a region, those that send it onward included."""
        pending: dict[int, Region] = {0: asked}
        for section in range(len(self._starts)):
            rest = pending.pop(section, {})
            for place in self._places(section, mask) if rest else ():
                line = self.lines[place]
                taken = intersection(rest, self.regions[place]) if line.rule != without else {}
                if not taken:
                    continue
                yield Decision(place, taken)
                if line.outcome is Outcome.ONWARD:
                    pending[line.onward] = union(pending.get(line.onward, {}), taken)
                if line.rule not in self.fleeting:
                    rest = difference(rest, taken)
                if not rest:
                    break
            if rest:
                miss = self._miss(section)
                pending[miss] = union(pending.get(miss, {}), rest)

    def places(self, mask: int) -> Iterator[int]:
        """Yield the places of the lines in ``mask``, in their order."""
        while mask:
            lowest = mask & -mask
            yield lowest.bit_length() - 1
            mask ^= lowest

    def _miss(self, section: int) -> int:
        last = len(self._starts) - 1
        miss = self.bank.sections[section].miss if section < last else None
        return last if miss is None else miss

    def _places(self, section: int, mask: int) -> Iterator[int]:
        start = self._starts[section]
        end = self._starts[section + 1] if section + 1 < len(self._starts) else len(self.lines)
        for place in self.places(mask >> start & (1 << end - start) - 1):
            yield start + place


def walk_of(
    bank: Bank, services: Iterable[ServiceTerm] = (), fleeting: frozenset[str] = frozenset()
) -> BankWalk:
    """Return a bank ready to be asked; ``services`` are others that questions will be about."""
    groups = [*(section.lines for section in bank.sections), bank.end]
    lines = tuple(line for group in groups for line in group)
    protocols = protocols_of([*services, *(term for line in lines for term in line.services)])
    starts = tuple(sum(len(group) for group in groups[:index]) for index in range(len(groups)))
    bits: tuple[dict[str, int], ...] = ({}, {})
    always: tuple[dict[str, int], ...] = ({"inside": 0, "outside": 0}, {"inside": 0, "outside": 0})
    made: dict[tuple[ServiceTerm, ...], Region] = {}
    for place, line in enumerate(lines):
        made.setdefault(line.services, protocols.region(line.services))
        for side, crowd in enumerate((line.sources, line.destinations)):
            if crowd.everybody or crowd.inside:
                always[side]["inside"] |= 1 << place
            if crowd.everybody or crowd.outside:
                always[side]["outside"] |= 1 << place
            for name in crowd.identities:
                bits[side][name] = bits[side].get(name, 0) | 1 << place
    regions = tuple(made[line.services] for line in lines)
    return BankWalk(bank, protocols, fleeting, lines, regions, starts, bits, always)
