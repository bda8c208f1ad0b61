"""What documents said, handed from one controller to the next; kept when one ends, which holds up nobody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from zonewall.policy.load import LoadResult
from zonewall.policy.reread import Rereader
from zonewall.store.documents_file import key_of, read_documents, write_documents

_log = structlog.get_logger()


class KeptDocuments:
    """A ``Rereader`` that may have begun in an earlier process."""

    def __init__(self, file: Path, secret: bytes) -> None:
        """Take up what the file says, if it can be believed; ``secret``: of the state folder."""
        self._file = file
        self._key = key_of(secret)
        self._reader = read_documents(file, self._key) or Rereader()
        self._written = self._reader.texts

    def load(self, texts: Mapping[str, bytes]) -> LoadResult:
        """Return what ``load_texts`` does; of texts that were read before nothing is read again."""
        return self._reader.load(texts)

    def keep(self) -> None:
        """Have the file say what was read last; where it cannot, the next start reads documents again."""
        texts = self._reader.texts
        if texts in (None, self._written):
            return
        try:
            write_documents(self._file, self._key, self._reader)
            self._written = texts
        except Exception as error:
            # The disk, or a reading that was broken off and goes on in its thread.
            _log.warning("documents_not_kept", file=str(self._file), error=str(error))
