"""What tests of followed directories have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.followed_directory import folder_of


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory of documents that say "old"."""
    return folder_of(tmp_path / "policies", "old")
