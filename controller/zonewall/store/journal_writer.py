"""Writes the journal from a thread of its own: in batches, again after a failure, never in anybody's way."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import structlog

from zonewall.errors import JournalDamagedError, JournalError, JournalNewerError
from zonewall.journal.keeping import JournalReader, Query
from zonewall.journal.record import Entry, Head, Kind, breaks, canonical
from zonewall.store.sql_journal import SqlJournal

MOST_WAITING = 100_000
"""Entries kept in memory while they cannot be written; what comes after them is counted and lost."""

MOST_TEXT_BYTES = 512 * 1024 * 1024
"""The same of documents: twice what a configuration may have."""

BATCH = 5_000
LINGER_S = 0.05
"""How long records wait for others, unless somebody waits for them."""
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0
TAIL_RECORDS = 1_000
"""How much of the chain is checked at start; ``zonewall journal verify`` checks all of it."""

HEAD_EVERY_S = 300.0
"""How often the end of the chain is logged, to be kept where whoever may change the file may not."""

STOPPING_S = 10.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class JournalStatus:
    """What ``zonewall status`` says of the journal.

    Attributes:
        waiting: entries that are not on disk yet.
        lost: entries that never will be; a gap record says so once the journal can be written again.
        broken: where the chain was found broken; empty where it was not.
    """

    head: Head = field(default_factory=Head)
    waiting: int = 0
    lost: int = 0
    error: str = ""
    broken: str = ""


class JournalWriter:
    """A sink that keeps what it is given; every method may be called from any thread."""

    def __init__(self, path: Path) -> None:
        """Write to ``path`` once started."""
        self.path = path
        self._ready = threading.Condition()
        self._waiting: deque[Entry] = deque()
        self._texts: dict[str, bytes] = {}
        self._text_bytes = 0
        self._acknowledge: list[tuple[int, Future[Head]]] = []
        self._put = 0
        self._written = 0
        self._lost: tuple[int, int, int] | None = None
        self._stopping = False
        self._has_ended = False
        self._status = JournalStatus()
        self._journal: SqlJournal | None = None
        self._logged_at = float("-inf")
        self._thread = threading.Thread(target=self._work, name="zonewall-journal", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is waiting, if it can be written, and end; who waits for what was not is told."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        if self._thread.is_alive():
            self._thread.join(STOPPING_S)
        with self._ready:
            self._has_ended = True
            unwritten, self._acknowledge = self._acknowledge, []
        for _, done in unwritten:
            if done.set_running_or_notify_cancel():
                done.set_exception(JournalError(f"{self.path}: not written before the end"))

    def put(self, entries: Iterable[Entry], texts: Mapping[str, bytes] | None = None) -> None:
        """Have entries kept as soon as that can be done; those whose documents are too much are lost."""
        with self._ready:
            new = {key: text for key, text in (texts or {}).items() if key not in self._texts}
            size = sum(map(len, new.values()))
            fits = self._text_bytes + size <= MOST_TEXT_BYTES
            for entry in entries:
                self._put += 1
                if fits and len(self._waiting) < MOST_WAITING:
                    self._waiting.append(entry)
                else:
                    self._lose(entry)
            if fits:
                self._texts.update(new)
                self._text_bytes += size
            self._ready.notify()

    def durable(self) -> Future[Head]:
        """Return what is done when all that was put until now is on disk, with the end of the chain then.

        It fails if something was lost because too much was waiting, or with the end of the thread.
        """
        done: Future[Head] = Future()
        with self._ready:
            reason = "not written before the end" if self._has_ended else "too much is waiting to be written"
            if self._lost is None and not self._has_ended:
                self._acknowledge.append((self._put, done))
                self._ready.notify()
                return done
        done.set_exception(JournalError(f"{self.path}: {reason}"))
        return done

    def reader(self) -> JournalReader | None:
        """Return what questions about the past are answered from; None where there is no file yet."""
        try:
            return SqlJournal(self.path) if self.path.is_file() else None
        except JournalError:
            return None

    def present(self) -> frozenset[str] | None:
        """Return the endpoints that the journal has as created; None where it cannot be read."""
        try:
            return SqlJournal(self.path).present() if self.path.is_file() else frozenset()
        except JournalError:
            return None

    @property
    def status(self) -> JournalStatus:
        """Return how the journal fares."""
        with self._ready:
            lost = self._lost[0] if self._lost else 0
            return replace(self._status, waiting=len(self._waiting), lost=self._status.lost + lost)

    # In the thread

    def _work(self) -> None:
        pause_s = FIRST_RETRY_S
        while True:
            with self._ready:
                while not (self._stopping or self._due()):
                    self._ready.wait()
                if self._stopping and not self._due():
                    return
                # What led to the records is being carried out just now, and wants the processor more.
                self._ready.wait_for(lambda: self._stopping or bool(self._acknowledge), LINGER_S)
                batch = list(islice(self._waiting, BATCH))
                texts, lost = dict(self._texts), self._lost
            try:
                head = self._write(batch, texts, lost)
                self._done(head, len(batch), texts, lost)
            except Exception as error:  # whatever it is, it is reported and ends nothing
                self._failed(error)
                with self._ready:
                    if self._stopping:
                        return
                    self._ready.wait_for(lambda: self._stopping, pause_s)
                pause_s = min(pause_s * 2, LONGEST_RETRY_S)
                continue
            pause_s = FIRST_RETRY_S

    def _due(self) -> bool:
        return bool(self._waiting or self._texts or self._acknowledge or self._lost)

    def _write(self, batch: list[Entry], texts: dict[str, bytes], lost: tuple[int, int, int] | None) -> Head:
        journal = self._journal
        if journal is None:
            journal = self._journal = self._open()
        gap = [] if lost is None else [_gap("could not be written in time", lost)]
        return journal.append([*gap, *batch], texts, self._on_head)

    def _open(self) -> SqlJournal:
        """Open the file; what is no journal any more is set aside, and the new chain begins by saying so."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            journal = SqlJournal(self.path, writable=True)
            try:
                self.path.chmod(0o600)
                self._check_tail(journal)
            except BaseException:
                journal.close()
                raise
        except JournalDamagedError as error:
            aside = self._set_aside("newer" if isinstance(error, JournalNewerError) else "damaged")
            journal = SqlJournal(self.path, writable=True)
            reason = f"{error}; it was set aside as {aside.name}"
            self._report_break(reason)
            self._set_head(journal.append([_gap(reason)], {}))
        except OSError as error:
            raise JournalError(f"{self.path}: {error.strerror}") from error
        return journal

    def _check_tail(self, journal: SqlJournal) -> None:
        """Report a break among the last records; writing goes on after it."""
        tail = list(journal.select(Query(newest_first=True, most=TAIL_RECORDS)))[::-1]
        if tail:
            first = tail[0]
            before = Head(first.sequence - 1, first.previous)
            for found in breaks(before, tail):
                self._report_break(f"record {found.sequence}: {found.reason}")
        self._set_head(journal.head())

    def _on_head(self, found: Head) -> list[Entry]:
        """Compare the end that the file has with the one that was written last."""
        known = self.status.head
        if found == known:
            return []
        reason = (
            f"the end of the journal is {found.sequence}, {known.sequence} was written; somebody changed it"
        )
        self._report_break(reason)
        return [_gap(reason)]

    def _set_aside(self, what: str) -> Path:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = self.path.with_name(f"{self.path.name}.{what}-{stamp}")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).rename(aside.with_name(aside.name + suffix))
        return aside

    def _set_head(self, head: Head) -> None:
        with self._ready:
            self._status = replace(self._status, head=head)

    def _report_break(self, reason: str) -> None:
        _log.error("journal_broken", journal=str(self.path), reason=reason)
        with self._ready:
            self._status = replace(self._status, broken=self._status.broken or reason)

    def _failed(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if isinstance(error, JournalDamagedError):
            self._journal = None
        if self.status.error != reason:
            _log.error("journal_not_written", error=reason)
        with self._ready:
            self._status = replace(self._status, error=reason)

    def _done(
        self, head: Head, count: int, texts: dict[str, bytes], lost: tuple[int, int, int] | None
    ) -> None:
        with self._ready:
            for _ in range(count):
                self._waiting.popleft()
            for key in texts:
                self._text_bytes -= len(self._texts.pop(key, b""))
            self._written += count
            if lost is not None and self._lost is not None:
                self._written += lost[0]
                more = self._lost[0] - lost[0]
                self._lost = (more, self._lost[1], self._lost[2]) if more else None
                self._status = replace(self._status, lost=self._status.lost + lost[0])
            recovered = self._status.error
            self._status = replace(self._status, head=head, error="")
            ready = [done for number, done in self._acknowledge if number <= self._written]
            self._acknowledge = [one for one in self._acknowledge if one[0] > self._written]
        for done in ready:
            if done.set_running_or_notify_cancel():  # who waited may have given up
                done.set_result(head)
        if recovered:
            _log.info("journal_written_again", record=head.sequence)
        if time.monotonic() - self._logged_at > HEAD_EVERY_S:
            self._logged_at = time.monotonic()
            _log.info("journal_head", record=head.sequence, digest=head.digest)

    def _lose(self, entry: Entry) -> None:
        count, since, _ = self._lost or (0, entry.at_us, 0)
        self._lost = (count + 1, since, entry.at_us)


def _gap(reason: str, lost: tuple[int, int, int] | None = None) -> Entry:
    details: dict[str, object] = {"reason": reason}
    if lost is not None:
        details |= {"records": lost[0], "since_us": lost[1], "until_us": lost[2]}
    return Entry(time.time_ns() // 1000, Kind.GAP, "controller", details=canonical(details))
