"""Which hosts have shown a certificate, on disk: a restarted controller believes none of them without."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from zonewall.errors import ZonewallError
from zonewall.store.forms import NewerFormError, read_form, stamp
from zonewall.store.numbering_file import replace_file
from zonewall.values.names import HostName

FORM, SINCE = 1, 1
"""Of the file (``store.forms``)."""
_KEYS = ("bridges", "databases")


@dataclass(frozen=True, slots=True)
class HaveShown:
    """Hosts of which a bridge, or the database, has shown the certificate that the inventory asks for."""

    bridges: frozenset[HostName] = frozenset()
    databases: frozenset[HostName] = frozenset()


def read_have_shown(path: Path) -> HaveShown:
    """Return what the file says; one that is not there says that nobody has shown any.

    Raises:
        ZonewallError: it is there and cannot be read: who has shown one would be believed without.
    """
    try:
        said = json.loads(read_form(path, FORM, _KEYS))
        if not isinstance(said, dict) or said.keys() != set(_KEYS):
            raise ValueError("it is to have bridges and databases, and nothing else")
        return HaveShown(*(_hosts(said[key]) for key in _KEYS))
    except FileNotFoundError:
        return HaveShown()
    except NewerFormError as error:
        raise ZonewallError(f"{path}: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ZonewallError(
            f"{path}: cannot be read ({reason}), and says who is not believed over plain TCP; restore it, or"
            " remove it: hosts without certificate: in the inventory then are, until they show one again"
        ) from error


def write_have_shown(path: Path, bridges: Iterable[HostName], databases: Iterable[HostName]) -> None:
    """Replace the file.

    Raises:
        ZonewallError: it cannot be written; the old file is still there.
    """
    document = stamp(FORM, SINCE) | {"bridges": sorted(bridges), "databases": sorted(databases)}
    try:
        replace_file(path, json.dumps(document, indent=0))  # a line for each, to be edited by hand
    except OSError as error:
        reason = error.strerror or error
        raise ZonewallError(f"{path}: {reason}; a restart would believe hosts over plain TCP") from error


def _hosts(said: object) -> frozenset[HostName]:
    if not isinstance(said, list) or not all(isinstance(name, str) for name in said):
        raise ValueError("bridges and databases are to be lists of hosts' names")
    return frozenset(HostName(name) for name in said)
