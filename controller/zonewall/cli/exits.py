"""What a command's exit says: nothing, a finding, that it cannot be used so, that no controller answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from zonewall.errors import ControllerUnreachableError, ZonewallError

EXIT_FINDING = 1
EXIT_UNUSABLE = 2
EXIT_UNREACHABLE = 3


@contextmanager
def errors_said() -> Iterator[None]:
    """Do something; an expected error becomes its text on stderr and an exit code."""
    try:
        yield
    except ControllerUnreachableError as error:
        print(f"zonewall: {error}", file=sys.stderr)
        sys.exit(EXIT_UNREACHABLE)
    except ZonewallError as error:
        print(f"zonewall: {error}", file=sys.stderr)
        sys.exit(EXIT_UNUSABLE)
