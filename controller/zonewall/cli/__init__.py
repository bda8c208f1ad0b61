"""The command line: one module a verb; ``main`` is what the ``zonewall`` command runs."""

from __future__ import annotations

import gc

YOUNG = 50_000
"""New objects between two collections of the youngest garbage."""


def main() -> None:
    """Run the command line; an expected error becomes its text on stderr and an exit code."""
    # What a command reads stays; with the usual threshold half of the time goes into looking for garbage.
    gc.set_threshold(YOUNG)
    from zonewall.cli import app  # noqa: PLC0415 - see above

    app.main()


__all__ = ["main"]
