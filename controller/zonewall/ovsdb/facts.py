"""What is believed of a row: bounded, printable, in range; everything else counts as not said.

A value that is not believed never makes a port somebody's: without ``iface-id`` it stays unknown.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from zonewall.ovsdb.schema import MAX_TEXT
from zonewall.placement.observations import IDENTITY_KEYS
from zonewall.values.addresses import MacAddress, parse_mac
from zonewall.values.names import BridgeName, DatapathId, OfPort

SYSTEM_ID = "system-id"

_DATAPATH_ID = re.compile(r"[0-9a-fA-F]{16}")
_LAST_OFPORT = 65279
_LOCAL_OFPORT = 65534
_FAILED = -1


@dataclass(frozen=True, slots=True)
class RootFacts:
    """The one row of Open_vSwitch."""

    system_id: str | None
    ovs_version: str
    bridges: tuple[uuid.UUID, ...]


@dataclass(frozen=True, slots=True)
class BridgeFacts:
    """A row of Bridge; ``name`` None: not believed."""

    name: BridgeName | None
    datapath_id: DatapathId | None
    datapath_type: str
    secure: bool
    ports: tuple[uuid.UUID, ...]


@dataclass(frozen=True, slots=True)
class PortFacts:
    """A row of Port."""

    tag: int | None
    interfaces: tuple[uuid.UUID, ...]


@dataclass(frozen=True, slots=True)
class InterfaceFacts:
    """A row of Interface; ``name`` None: not believed."""

    name: str | None
    ofport: OfPort | None
    failed: bool
    external_ids: Mapping[str, str]
    link_up: bool | None
    kind: str
    mac_in_use: MacAddress | None
    error: str


def column(row: Any, name: str) -> Any:
    """Return a column as plain values: text or number, a list for a set, a dict for a map; rows as UUIDs."""
    # Row.__getattr__ gives the same twenty times slower, by way of the rows that are referred to.
    datum = row._data[name]
    of = datum.type
    if of.value is not None:
        return {key.value: value.value for key, value in datum.values.items()}
    if of.n_min == of.n_max == 1:
        return datum.as_scalar() if datum.values else of.key.default()
    return sorted([atom.value for atom in datum.values])


def bounded_text(value: object, limit: int = MAX_TEXT) -> str | None:
    """Return the text when it is printable and not too long, else None."""
    if isinstance(value, str) and 0 < len(value) <= limit and value.isprintable():
        return value
    return None


def system_id_of(external_ids: Mapping[str, str]) -> str | None:
    """Return the host's ``system-id``, or None."""
    return bounded_text(external_ids.get(SYSTEM_ID))


def root_facts(row: Any) -> RootFacts:
    """Read a row of Open_vSwitch."""
    return RootFacts(
        system_id=system_id_of(column(row, "external_ids")),
        ovs_version=_first_text(row, "ovs_version"),
        bridges=_references(row, "bridges"),
    )


def bridge_facts(row: Any) -> BridgeFacts:
    """Read a row of Bridge."""
    name = bounded_text(column(row, "name"))
    written = _first_text(row, "datapath_id")
    return BridgeFacts(
        name=None if name is None else BridgeName(name),
        datapath_id=DatapathId(int(written, 16)) if _DATAPATH_ID.fullmatch(written) else None,
        datapath_type=bounded_text(column(row, "datapath_type")) or "",
        secure=column(row, "fail_mode") == ["secure"],
        ports=_references(row, "ports"),
    )


def port_facts(row: Any) -> PortFacts:
    """Read a row of Port."""
    tag = next(iter(column(row, "tag")), None)
    return PortFacts(
        tag=tag if tag is not None and 0 <= tag <= 4095 else None,
        interfaces=_references(row, "interfaces"),
    )


def interface_facts(row: Any) -> InterfaceFacts:
    """Read a row of Interface."""
    ofport = next(iter(column(row, "ofport")), None)
    said = column(row, "external_ids")
    believed = {key: text for key in IDENTITY_KEYS & said.keys() if (text := bounded_text(said[key]))}
    return InterfaceFacts(
        name=bounded_text(column(row, "name")),
        ofport=_usable_ofport(ofport),
        failed=ofport == _FAILED,
        external_ids=MappingProxyType(believed),
        link_up={"up": True, "down": False}.get(_first_text(row, "link_state")),
        kind=bounded_text(column(row, "type")) or "",
        mac_in_use=_mac(_first_text(row, "mac_in_use")),
        error=_first_text(row, "error"),
    )


def _references(row: Any, name: str) -> tuple[uuid.UUID, ...]:
    return tuple(column(row, name))


def _first_text(row: Any, name: str) -> str:
    return bounded_text(next(iter(column(row, name)), None)) or ""


def _usable_ofport(number: int | None) -> OfPort | None:
    if number is None or not (1 <= number <= _LAST_OFPORT or number == _LOCAL_OFPORT):
        return None
    return OfPort(number)


def _mac(text: str) -> MacAddress | None:
    try:
        return parse_mac(text)
    except ValueError:
        return None
