"""What outsiders can cause to be told without end is told seldom: a thing once a minute, so many in all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

EVERY_S = 60.0
MOST = 100
MOST_OF_ONE = 20


class Seldom:
    """Says what is to be told; remembers a bounded number of things, whoever they are of."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._since = float("-inf")
        self._told: dict[tuple[str, Hashable], None] = {}
        self._of: dict[str, int] = {}
        self.untold = 0
        """What was not told, all together."""

    def is_due(self, who: str, what: Hashable, now: float) -> bool:
        """Say whether something is to be told of somebody at ``now``, in seconds of a clock that never jumps.

        Once in a minute, and of one no more than 20 things, and 100 in all.
        """
        if now - self._since >= EVERY_S:
            self._since, self._told, self._of = now, {}, {}
        of_one = self._of.get(who, 0)
        if (who, what) in self._told or of_one >= MOST_OF_ONE or len(self._told) >= MOST:
            self.untold += 1
            return False
        self._told[who, what] = None
        self._of[who] = of_one + 1
        return True


class Lately:
    """The last word of each of so many, such as why an address was refused."""

    def __init__(self, most: int = MOST) -> None:
        """Keep those of ``most``."""
        self._most = most
        self.words: dict[str, str] = {}

    def note(self, who: str, word: str) -> None:
        """Take a word; the one that has been silent for longest makes room."""
        self.words.pop(who, None)
        self.words[who] = word
        while len(self.words) > self._most:
            del self.words[next(iter(self.words))]


class Names:
    """Ports by name, of bridges that no database describes; one that lies can name as many as it likes."""

    def __init__(self, most: int = 10_000) -> None:
        """Bear ``most`` of each bridge."""
        self._most = most
        self._known: defaultdict[Hashable, set[str]] = defaultdict(set)

    def admit(self, owner: Hashable, name: str, *, gone: bool) -> bool:
        """Say whether the port is one of those that are borne; one that is gone makes room."""
        known = self._known[owner]
        if gone:
            known.discard(name)
        elif name not in known:
            if len(known) >= self._most:
                return False
            known.add(name)
        return True

    def forget(self, owner: Hashable) -> None:
        """Forget a bridge's names."""
        self._known.pop(owner, None)
