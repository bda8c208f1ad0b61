"""Reading libraries without what they would read only in case."""

from __future__ import annotations

import importlib
import sys


def import_without(module: str, absent: str, *, even_if_read: bool = False) -> None:
    """Import a module as if another were not installed.

    Args:
        module: is left as it is if it has been imported already.
        absent: is hidden from it, unless that has been imported already.
        even_if_read: hide it also then, from this module and what it imports.
    """
    known = sys.modules.get(absent)
    if module in sys.modules or (known is not None and not even_if_read):
        return
    sys.modules[absent] = None  # type: ignore[assignment]  # an import of it fails, as documented
    try:
        importlib.import_module(module)
    finally:
        del sys.modules[absent]
        if known is not None:
            sys.modules[absent] = known
