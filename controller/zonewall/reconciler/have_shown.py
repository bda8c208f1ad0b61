"""Remembers which hosts have shown a certificate, for good: written down in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from zonewall.errors import ZonewallError
from zonewall.reconciler.faults import in_one_line
from zonewall.store.certificates_file import read_have_shown, write_have_shown
from zonewall.values.names import HostName

PAUSE_S = 1.0
"""Between two writings: a fleet that shows its certificates for the first time is a few of them."""

_log = structlog.get_logger()


class Hosts:
    """Those of which one kind of connection has shown a certificate; to be asked in any thread."""

    def __init__(self, known: Iterable[HostName], added: Callable[[], None]) -> None:
        """Begin with who is known; ``added`` is called when somebody is new."""
        self.known = set(known)
        self._added = added

    def __contains__(self, host: object) -> bool:
        """Say whether a host has shown one."""
        return host in self.known

    def add(self, host: HostName, /) -> None:
        """Take that it has; always in the same thread."""
        if host not in self.known:
            self.known.add(host)
            self._added()


class Certificates:
    """Who has shown one, and the file that says so; an admission waits for no disk."""

    def __init__(self, file: Path) -> None:
        """Read the file.

        Raises:
            ZonewallError: it is there and cannot be read.
        """
        before = read_have_shown(file)
        self.bridges = Hosts(before.bridges, self._changed)
        self.databases = Hosts(before.databases, self._changed)
        self.error = ""
        """Why the file does not say who has; empty where it does, or soon will."""
        self._file = file
        self._lock = threading.Lock()
        self._writer: threading.Thread | None = None
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Return once all is written that can be; nobody is added any more."""
        with self._lock:
            self._stopping.set()
            writer = self._writer
        if writer is not None:
            writer.join()

    def _changed(self) -> None:
        with self._lock:
            if self._writer is None and not self._stopping.is_set():
                self._writer = threading.Thread(target=self._write, name="zonewall-certificates", daemon=True)
                self._writer.start()

    def _write(self) -> None:
        """Write, and again after each pause while somebody is new, or while it could not be done."""
        while True:
            is_last = self._stopping.is_set()
            written = tuple(self.bridges.known), tuple(self.databases.known)
            done = self._write_once(*written)
            self._stopping.wait(PAUSE_S)
            with self._lock:
                now = len(self.bridges.known), len(self.databases.known)
                if is_last or (done and tuple(map(len, written)) == now):
                    self._writer = None
                    return

    def _write_once(self, bridges: Iterable[HostName], databases: Iterable[HostName]) -> bool:
        try:
            write_have_shown(self._file, bridges, databases)
        except Exception as error:
            reason = str(error) if isinstance(error, ZonewallError) else in_one_line(error)
            if reason != self.error:
                _log.error("certificates_not_written", error=reason)
            self.error = reason
            return False
        self.error = ""
        return True
