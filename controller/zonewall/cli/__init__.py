"""The command line: one module a verb; ``main`` is what the ``zonewall`` command runs."""

from __future__ import annotations

import gc
import sys

YOUNG = 50_000
"""New objects between two collections of the youngest garbage."""


def main() -> None:
    """Run the command line; an expected error becomes its text on stderr and an exit code."""
    # What a command reads stays; with the usual threshold half of the time goes into looking for garbage.
    gc.set_threshold(YOUNG)
    if sys.argv[1:2] == ["run"]:
        from zonewall.cli.run_words import run_words  # noqa: PLC0415 - see above

        words = run_words(sys.argv[2:])
        if words is not None:
            from zonewall.cli.exits import errors_said  # noqa: PLC0415 - see above
            from zonewall.cli.running import run_controller  # noqa: PLC0415 - see above

            with errors_said():
                run_controller(words)
            return
    from zonewall.cli import app  # noqa: PLC0415 - see above

    app.main()


__all__ = ["main"]
