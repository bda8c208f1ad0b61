"""A controller that starts takes over what the last one had read of the same texts; others it reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from zonewall.policy import reading_again
from zonewall.policy.load import load_texts
from zonewall.policy.texts import read_texts
from zonewall.reconciler.kept_documents import KeptDocuments

SECRET = bytes(range(32))
FIRST = {"a.yaml": b"kind: tenant\ntenant: acme\n"}
SECOND = {"a.yaml": b"kind: tenant\ntenant: blue\n"}


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, bytes]]:
    """Return a list that each reading from nothing is added to."""
    found: list[Mapping[str, bytes]] = []

    def noted(texts: Mapping[str, bytes], *more: Any) -> object:
        found.append(texts)
        return read_texts(texts, *more)

    monkeypatch.setattr(reading_again, "read_texts", noted)
    return found


def started(tmp_path: Path, secret: bytes = SECRET) -> KeptDocuments:
    return KeptDocuments(tmp_path / "documents.kept", secret)


def test_the_next_start_reads_only_what_is_new(tmp_path: Path, readings: list[Mapping[str, bytes]]) -> None:
    one = started(tmp_path)
    one.load(FIRST)
    one.keep()
    assert readings == [FIRST]
    assert started(tmp_path).load(FIRST).configuration == load_texts(FIRST).configuration
    assert readings == [FIRST]
    other = started(tmp_path)
    assert other.load(SECOND).configuration == load_texts(SECOND).configuration
    assert readings == [FIRST, SECOND]
    other.keep()
    assert started(tmp_path).load(SECOND).configuration is not None
    assert readings == [FIRST, SECOND]


def test_what_is_damaged_or_of_another_secret_is_read_again(
    tmp_path: Path, readings: list[Mapping[str, bytes]]
) -> None:
    one = started(tmp_path)
    one.load(FIRST)
    one.keep()
    assert started(tmp_path, bytes(32)).load(FIRST).configuration == load_texts(FIRST).configuration
    assert len(readings) == 2
    (tmp_path / "documents.kept").write_bytes(b"\0" * 1000)
    assert started(tmp_path).load(FIRST).configuration == load_texts(FIRST).configuration
    assert len(readings) == 3


def test_nothing_is_written_that_is_there_or_was_refused(tmp_path: Path) -> None:
    file = tmp_path / "documents.kept"
    one = started(tmp_path)
    one.keep()
    one.load({"a.yaml": b"kind: nothing\n"})
    one.keep()
    assert not file.exists()
    one.load(FIRST)
    one.keep()
    again = started(tmp_path)
    again.load(FIRST)
    file.unlink()
    for kept in (one, again):
        kept.keep()
        assert not file.exists()


def test_a_disk_that_takes_nothing_ends_nothing(tmp_path: Path) -> None:
    one = KeptDocuments(tmp_path / "none" / "documents.kept", SECRET)
    assert one.load(FIRST).configuration is not None
    one.keep()
    assert not (tmp_path / "none").exists()
