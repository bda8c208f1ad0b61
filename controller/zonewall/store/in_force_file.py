"""Which documents were last in force for good, on disk: those beside them were refused, or are news."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from zonewall.errors import ZonewallError
from zonewall.placement.model import BridgeKey
from zonewall.store.forms import read_form, set_aside, stamp
from zonewall.store.numbering_file import replace_file
from zonewall.values.names import BridgeName, HostName

FORM, SINCE = 1, 1
"""Of the file (``store.forms``)."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    documents: dict[str, str]
    bridges: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class LastInForce:
    """What a controller had in force.

    Attributes:
        documents: by name, without what was added by command.
        bridges: those that were connected since they are in the inventory.
    """

    documents: Mapping[str, bytes]
    bridges: frozenset[BridgeKey] = frozenset()


def read_in_force(path: Path) -> LastInForce | None:
    """Return what the file holds; one that is missing or damaged says nothing of what was in force."""
    try:
        document = _Document.model_validate_json(read_form(path, FORM, _Document.model_fields))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        set_aside(path, error)
        return None
    bridges = frozenset(BridgeKey(HostName(host), BridgeName(bridge)) for host, bridge in document.bridges)
    return LastInForce({name: text.encode() for name, text in document.documents.items()}, bridges)


def write_in_force(path: Path, last: LastInForce) -> None:
    """Replace the file; it is on disk when this returns.

    Raises:
        ZonewallError: it cannot be written; the old one is taken away, as far as that is possible: what was
            in force before is no more.
    """
    said = {"documents": {name: text.decode() for name, text in last.documents.items()}}
    document = stamp(FORM, SINCE) | {"bridges": sorted(last.bridges)} | said
    try:
        replace_file(path, json.dumps(document, separators=(",", ":")))
    except OSError as error:
        forget_in_force(path)
        reason = error.strerror or error
        raise ZonewallError(f"{path}: {reason}; a restart would not know what was refused") from error


def forget_in_force(path: Path) -> None:
    """Take the file away, as far as that is possible."""
    with suppress(OSError):
        path.unlink()
