"""A file of the state folder that was written is on disk, with its name, before anybody relies on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from zonewall.errors import ZonewallError
from zonewall.intent.numbering import Numbering
from zonewall.intent.passing import Outliving
from zonewall.store import applied_file
from zonewall.store.added_file import write_added
from zonewall.store.applied_file import read_applied, write_applied
from zonewall.store.memory_file import Memory, write_memory
from zonewall.store.numbering_file import write_numbering
from zonewall.store.outliving_file import write_outliving

Write = Callable[[Path], None]
WRITERS: dict[str, Write] = {
    "numbering": lambda file: write_numbering(file, Numbering({"rule": {"a": 1}})),
    "places": lambda file: write_memory(file, (), Memory()),
    "outliving": lambda file: write_outliving(file, (Outliving("acme/t/a", 5),)),
    "endpoints": lambda file: write_added(file, b"kind: inventory\n"),
    "applied": lambda file: write_applied(file, Path("/other"), Path("/given")),
}


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the inodes that were brought to disk, in order."""
    found, really = list[int](), os.fsync

    def note(descriptor: int) -> None:
        really(descriptor)
        found.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", note)
    return found


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_what_is_in_a_file_is_on_disk_before_its_name_is_and_then_its_name(
    tmp_path: Path, synced: list[int], write: Write
) -> None:
    file = tmp_path / "state" / "file"
    write(file)
    write(file)
    assert synced[-2:] == [file.stat().st_ino, file.parent.stat().st_ino]
    assert [one.name for one in file.parent.iterdir()] == ["file"]


def test_that_nothing_is_applied_any_more_is_on_disk(tmp_path: Path, synced: list[int]) -> None:
    file = tmp_path / "applied.json"
    write_applied(file, tmp_path / "other", tmp_path)
    assert read_applied(file, tmp_path) == tmp_path / "other"
    synced.clear()
    write_applied(file, tmp_path, tmp_path)
    assert read_applied(file, tmp_path) == tmp_path
    assert synced == [tmp_path.stat().st_ino]


def test_a_directory_that_cannot_be_written_down_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "applied.json"
    write_applied(file, tmp_path / "one", tmp_path)
    monkeypatch.setattr(applied_file, "replace_file", full)
    with pytest.raises(ZonewallError, match="No space left"):
        write_applied(file, tmp_path / "other", tmp_path)
    assert read_applied(file, tmp_path) == tmp_path / "one"
