"""Documents that are read again and again: what an edit leaves as it was is not parsed, nor checked, again.

The result is that of ``load_texts``, to the last location; what is remembered makes it quick and nothing
else. An edit of a few rules of a tenant or of a few endpoints is read by itself. Any other, and every one in
which something is wrong, is read with all documents: there is one place only where errors are found. What
reads documents is read itself when some are others than they were: a controller that starts again knows them.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zonewall.policy.last_read import Last, Texts
from zonewall.policy.load import LoadResult
from zonewall.policy.model import Configuration

if TYPE_CHECKING:
    from zonewall.policy.soundness import Shadows


@dataclass(slots=True)
class Rereader:
    """Remembers what documents said; for one reading at a time."""

    _last: Last | None = None
    _known: Configuration | None = None
    _shadows: Shadows = field(default_factory=dict)

    @property
    def texts(self) -> Texts | None:
        """Return what was read last; None where something was wrong with it."""
        return None if self._last is None else self._last.texts

    def load(self, texts: Texts) -> LoadResult:
        """Return what ``load_texts`` does, of the objects of the last time as far as nothing has changed."""
        last = self._last
        if last is not None and list(texts.items()) == list(last.texts.items()):
            self._known = last.configuration
            return LoadResult(last.configuration, last.configuration.warnings)
        from zonewall.policy.reading_again import read_again  # noqa: PLC0415 - see above

        self._last, result = read_again(last, self._known, texts, self._shadows)
        self._known = self._known if self._last is None else self._last.configuration
        return result


def be_ready() -> None:
    """Read what reads documents, so that the first edit need not wait for it."""
    importlib.import_module("zonewall.policy.reading_again")
