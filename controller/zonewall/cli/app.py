"""The ``zonewall`` command: gathers the verbs and turns expected errors into one line and an exit code."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import typer

from zonewall import cli
from zonewall.cli.exits import errors_said
from zonewall.lean import import_without

# Log events are plain lines; structlog would read rich for the tracebacks that it could draw.
import_without("structlog", "rich")


def build_app(asked: str = "") -> typer.Typer:
    """Return the application with every verb: each ``verb_*`` module here has ``register(app)``.

    Where a module is named after the verb that was ``asked`` for, with that one alone: reading all of them
    takes longer than most verbs.
    """
    app = typer.Typer(
        name="zonewall",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="A virtual firewall for Open vSwitch: zone policies that follow virtual machines.",
    )
    app.callback()(_nothing)
    names = sorted(info.name for info in pkgutil.iter_modules(cli.__path__) if info.name.startswith("verb_"))
    for name in [name for name in names if name == f"verb_{asked}"] or names:
        importlib.import_module(f"zonewall.cli.{name}").register(app)
    return app


def _nothing() -> None:
    # With a callback an application of one verb is still called with the verb's name.
    return


def main() -> None:
    """Run the command line; an expected error becomes its text on stderr and an exit code."""
    with errors_said():
        build_app(sys.argv[1] if len(sys.argv) > 1 else "")()
