"""The command line: one module a verb; ``main`` is what the ``zonewall`` command runs."""

from __future__ import annotations

from zonewall.cli.app import main

__all__ = ["main"]
