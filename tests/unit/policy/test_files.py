"""A file is read to its end, however long it said it was, and never beyond what one may have."""

from __future__ import annotations

import io

import pytest

from zonewall.policy import files


@pytest.mark.parametrize("said", [0, 3, 10, 11, 99])
def test_a_file_that_has_grown_or_shrunk_since_it_was_asked_is_read_whole(said: int) -> None:
    assert files._content(io.BytesIO(b"0123456789"), said) == b"0123456789"


@pytest.mark.parametrize("said", [0, 7, 8, 9, 99])
def test_of_a_file_that_is_too_long_a_byte_more_is_read_and_no_more(
    said: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 8)
    opened = io.BytesIO(b"0123456789")
    assert files._content(opened, said) == b"012345678"
    assert opened.tell() == 9
