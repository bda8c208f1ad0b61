"""Reading libraries without what they would read only in case."""

from __future__ import annotations

import importlib
import sys


def import_without(module: str, absent: str) -> None:
    """Import a module as if another were not installed.

    Args:
        module: is left as it is if it has been imported already.
        absent: is hidden from it, unless that has been imported already.
    """
    if module in sys.modules or sys.modules.get(absent) is not None:
        return
    sys.modules[absent] = None  # type: ignore[assignment]  # an import of it fails, as documented
    try:
        importlib.import_module(module)
    finally:
        del sys.modules[absent]
