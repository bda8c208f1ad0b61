"""When documents that change have come to rest, and which of them are half written; no clock, no files.

Times are monotonic seconds. They come from what writers leave between one file and the next (decision 0033).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

BELIEVED_S = 0.006
"""One document that is whole, with nothing else under way, is read at once; what was read is believed if
nothing has happened for so long. Of thousands of rules reading takes as long."""
QUIET_S = 0.05
"""As long is waited where several documents change, one has gone, or somebody waits for a processor."""
SETTLE_S = 0.2
"""Documents that do not come to rest are read all the same after this time."""
HELD_S = 1.0
"""So long others wait for a document that somebody writes; then they are read without it."""
LONGEST_S = 2.0
"""So long others wait, whoever writes what."""
MOST_OTHERS = 10_000
"""So many files that are no documents are remembered while somebody writes them."""

EVERYTHING = "*"
"""Stands for whichever documents there are; no document has this name, as each ends in .yaml."""


class Sign(Enum):
    """What was seen of a file."""

    MADE = (
        "it was made: empty, by who is going to write it, or whole, as another name of a file that has none"
    )
    WRITING = "it was written to, and not closed since"
    WHOLE = "whoever wrote it has closed it, or it was moved into place"
    TOUCHED = "its owner, mode or times changed"
    GONE = "it was removed or moved away"


@dataclass(frozen=True, slots=True)
class Taken:
    """What is to be read now.

    Attributes:
        unfinished: documents that somebody writes; what they said before counts.
        is_any: whether others have changed.
    """

    unfinished: frozenset[str]
    is_any: bool


@dataclass(slots=True)
class Settling:
    """What has changed and was not read yet.

    Attributes:
        begun: when the first change was seen; None where all was read.
    """

    begun: float | None = None
    _last: float = 0.0
    _changed: set[str] = field(default_factory=set)
    _gone: set[str] = field(default_factory=set)
    _written: dict[str, float] = field(default_factory=dict)
    """Documents that somebody writes, and since when."""
    _others: dict[str, float] = field(default_factory=dict)
    """The same of files that are no documents."""
    _made: set[str] = field(default_factory=set)
    """Of these what was made, and nobody has written to."""
    _left_out: set[str] = field(default_factory=set)
    """Documents that somebody writes and nobody waits for any more."""
    _reading: set[str] = field(default_factory=set)
    _without: frozenset[str] = frozenset()
    """What the reading under way leaves as it was."""
    _since: set[str] = field(default_factory=set)
    """What has changed since that began."""
    _is_taken: bool = False
    _restless: set[str] = field(default_factory=set)
    """What has changed again and again while it was read."""
    _is_said: bool = False
    """Somebody has said that what has changed is whole, and nothing has changed since."""

    def note(self, name: str, sign: Sign, at: float, *, is_document: bool = True) -> None:
        """Take a sign of a file by its name relative to the directory."""
        under_way = self._written if is_document else self._others
        if sign in (Sign.MADE, Sign.WRITING):
            if len(self._others) > MOST_OTHERS:
                self._others.clear()
            under_way.setdefault(name, at)
        elif sign is not Sign.TOUCHED:
            under_way.pop(name, None)
        if is_document:
            self._note_document(name, sign, at)
        elif self.begun is not None:
            self._last = at

    def _note_document(self, name: str, sign: Sign, at: float) -> None:
        (self._gone.add if sign is Sign.GONE else self._gone.discard)(name)
        if sign is not Sign.TOUCHED:
            (self._made.add if sign is Sign.MADE else self._made.discard)(name)
        if name not in self._written:
            self._left_out.discard(name)
        if name not in self._left_out:
            self._stir(name, at)

    def note_all(self, at: float, *, is_lost: bool = False) -> None:
        """Take that any document may have changed; ``is_lost``: who writes what is no longer known."""
        if is_lost:
            self.forget(lambda _: True)
        self._stir(EVERYTHING, at)

    def say_whole(self, at: float) -> None:
        """Take somebody's word that no other document follows; what is being written is waited for still.

        What is being read now counts, and all is read once more: it may have been read before the word.
        """
        self._changed.add(EVERYTHING)  # as no change since reading began: many words must not prevent it
        self._last, self._is_said = at, True
        if self.begun is None:
            self.begun = at

    def forget(self, is_elsewhere: Callable[[str], bool]) -> None:
        """Take that nothing is known of who writes some files, by name: their folders are others now."""
        for known in (self._written, self._others):
            for name in [name for name in known if is_elsewhere(name)]:
                del known[name]
                self._made.discard(name)
                self._left_out.discard(name)

    def _stir(self, name: str, at: float) -> None:
        self._changed.add(name)
        if name not in self._without:
            self._since.add(name)
        self._last = at
        self._is_said = False
        if self.begun is None:
            self.begun = at

    def is_written(self, name: str) -> bool:
        """Return whether somebody writes a file, document or not."""
        return name in self._written or name in self._others

    def due(self, *, is_crowded: bool = False) -> float | None:
        """Return when documents are to be read if nothing else is seen; None: not before something is.

        ``is_crowded``: more want to run than there are processors; who writes several may be waiting for one.
        """
        if self.begun is None:
            return None
        waited = [since + HELD_S for name, since in self._written.items() if name not in self._left_out]
        if self._changed <= self._written.keys():
            at_rest = max(waited, default=self._last + QUIET_S)
        else:
            quiet = 0.0 if self._is_said or (self._is_simple and not is_crowded) else QUIET_S
            at_rest = max(min(self._last + quiet, self.begun + SETTLE_S), *waited, 0.0)
        return min(at_rest, self.begun + LONGEST_S)

    @property
    def _is_simple(self) -> bool:
        return (
            len(self._changed) == 1
            and EVERYTHING not in self._changed
            and not (self._gone or self._written or self._restless or self._is_other_written)
        )

    @property
    def _is_other_written(self) -> bool:
        """Say whether somebody who changed a document writes another file, too; it may become one."""
        begun = self.begun or 0.0
        return any(since >= begun for since in self._others.values())

    def take(self, at: float) -> Taken:
        """Return what to read now; what is seen from now on may overtake it."""
        for name in [name for name in self._made if at >= self._written[name] + HELD_S]:
            self._made.discard(name)
            del self._written[name]
        without = set(self._written)
        if self.begun is not None and at >= self.begun + LONGEST_S:
            without |= self._restless - {EVERYTHING}
        self._without = frozenset(without)
        self._reading = self._changed - without
        self._left_out |= self._written.keys()
        self._changed &= without - self._written.keys()
        self._since = set()
        self._is_taken = True
        taken = Taken(self._without, bool(self._reading))
        if not taken.is_any:
            self.done()
        return taken

    @property
    def believed_at(self) -> float:
        """Return when what was read counts if nothing is seen before."""
        if self._is_said:
            return self.begun or 0.0
        quiet = QUIET_S if self._is_other_written else BELIEVED_S
        return min(self._last + quiet, (self.begun or 0.0) + SETTLE_S)

    @property
    def is_overtaken(self) -> bool:
        """Return whether what was read may be a mixture: something has changed since that began."""
        return bool(self._since)

    def again(self) -> None:
        """Give back what was taken: what was read of it cannot be used."""
        self._restless |= self._since
        self._changed |= self._reading
        self._reading, self._without = set(), frozenset()
        self._is_taken = False

    def done(self) -> None:
        """Take that what was taken was read, unless it was given back; what was seen since begins anew."""
        if not self._is_taken:
            return
        self._is_taken = self._is_said = False
        self._reading, self._restless, self._without = set(), set(), frozenset()
        self._gone &= self._changed
        self.begun = self._last if self._changed else None
