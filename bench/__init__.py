"""Measurements: each module with ``figures()`` is a group; docs/benchmarks.md says how to read them."""

from __future__ import annotations

import sys
from pathlib import Path

# Real switches are started by what the tests start theirs with.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
