"""Digests of the last stop: taken once, and nothing of a file that is not what was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from zonewall.store.stopped_file import take_stopped, write_stopped


def test_what_was_written_is_taken_once(tmp_path: Path) -> None:
    write_stopped(tmp_path / "stopped.json", {"hv1/br-int": "ab"})
    assert take_stopped(tmp_path / "stopped.json") == {"hv1/br-int": "ab"}
    assert take_stopped(tmp_path / "stopped.json") == {}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"hv1/br-int": 7}', "[" * 100_000])
def test_a_damaged_file_tells_of_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "stopped.json").write_text(text)
    assert take_stopped(tmp_path / "stopped.json") == {}
