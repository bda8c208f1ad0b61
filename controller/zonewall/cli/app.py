"""The ``zonewall`` command: gathers the verbs and turns expected errors into one line and an exit code."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import typer

from zonewall import cli
from zonewall.errors import ControllerUnreachableError, ZonewallError

EXIT_FINDING = 1
EXIT_UNUSABLE = 2
EXIT_UNREACHABLE = 3


def build_app() -> typer.Typer:
    """Return the application with every verb: each ``verb_*`` module here has ``register(app)``."""
    app = typer.Typer(
        name="zonewall",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="A virtual firewall for Open vSwitch: zone policies that follow virtual machines.",
    )
    for module_info in sorted(pkgutil.iter_modules(cli.__path__), key=lambda info: info.name):
        if module_info.name.startswith("verb_"):
            importlib.import_module(f"zonewall.cli.{module_info.name}").register(app)
    return app


def main() -> None:
    """Run the command line; an expected error becomes its text on stderr and an exit code."""
    try:
        build_app()()
    except ControllerUnreachableError as error:
        print(f"zonewall: {error}", file=sys.stderr)
        sys.exit(EXIT_UNREACHABLE)
    except ZonewallError as error:
        print(f"zonewall: {error}", file=sys.stderr)
        sys.exit(EXIT_UNUSABLE)
