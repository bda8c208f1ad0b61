"""What a restarted controller must know at once: where endpoints were, who is isolated, links, datapath ids.

A head start: whatever the hosts and bridges then say is believed instead. Who is isolated, they cannot say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, IPvAnyAddress, StrictInt, ValidationError

from zonewall.errors import ZonewallError
from zonewall.placement.binding_held import Rest
from zonewall.placement.binding_ports import Remembered
from zonewall.placement.binding_record import PortRef
from zonewall.placement.learnt import Learnt, Source
from zonewall.placement.model import BridgeKey, Link
from zonewall.store.forms import NewerFormError, read_form, stamp
from zonewall.store.numbering_file import replace_file
from zonewall.values.names import BridgeName, DatapathId, EndpointKey, HostName, OfPort, TenantName

FORM, SINCE = 1, 1
"""Of the file (``store.forms``)."""

End = tuple[str, str, int]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    places: list[tuple[str, str, str, str, int] | tuple[str, str, str, str, int, float | None]] = []
    links: list[tuple[End, End]] = []
    datapaths: list[tuple[int, str, str]] = []
    holds: list[tuple[str, str]]
    addresses: list[tuple[str, IPvAnyAddress, Source, float | None]] = []
    away: list[str] = []
    held: list[tuple[str, StrictInt | IPvAnyAddress, str, float]] = []


@dataclass(frozen=True, slots=True)
class Memory:
    """The head start.

    Attributes:
        holds: who is isolated by hand or as a clone, and why; faults of ports are found again.
        away: appliances that could not be used.
        held: addresses that were an endpoint's and are held back from others.
    """

    places: tuple[Remembered, ...] = ()
    links: frozenset[Link] = frozenset()
    datapaths: tuple[tuple[DatapathId, BridgeKey], ...] = ()
    holds: tuple[tuple[EndpointKey, str], ...] = ()
    addresses: tuple[Learnt, ...] = ()
    away: frozenset[str] = frozenset()
    held: tuple[Rest, ...] = ()


def read_memory(path: Path) -> Memory:
    """Return what the file remembers; one that is not there remembers nothing.

    Raises:
        ZonewallError: it is there and cannot be read: who is isolated would be let go in silence.
    """
    try:
        document = _Document.model_validate_json(read_form(path, FORM, _Document.model_fields))
    except FileNotFoundError:
        return Memory()
    except NewerFormError as error:
        raise ZonewallError(f"{path}: {error}") from error
    except (OSError, ValidationError) as error:
        raise ZonewallError(
            f"{path}: cannot be read ({_reason(error)}), and says who is isolated; restore it, or remove"
            " it and isolate again whom `zonewall journal --kind quarantined` names and no one released since"
        ) from error
    return Memory(
        tuple(
            Remembered(EndpointKey(endpoint), PortRef(_bridge(host, bridge), port), OfPort(ofport), *until)
            for endpoint, host, bridge, port, ofport, *until in document.places
        ),
        frozenset(Link(_end(a), _end(b)) for a, b in document.links),
        tuple((DatapathId(number), _bridge(host, bridge)) for number, host, bridge in document.datapaths),
        tuple((EndpointKey(endpoint), reason) for endpoint, reason in document.holds),
        tuple(Learnt(EndpointKey(one[0]), *one[1:]) for one in document.addresses),
        frozenset(document.away),
        tuple(
            Rest(TenantName(tenant), owned, EndpointKey(owner), until)
            for tenant, owned, owner, until in document.held
        ),
    )


def place_text(one: Remembered) -> str:
    """Return one place as it stands in the file: it is made once, and written again as long as it holds."""
    return _json((one.endpoint, *one.port.bridge, one.port.name, one.ofport, one.window_until))


def write_memory(path: Path, places: Iterable[str], rest: Memory) -> None:
    """Replace the file: places as ``place_text`` gives them, and the rest without its own.

    Raises:
        ZonewallError: it cannot be written; the old file is still there.
    """
    links = sorted(((*link.a[0], link.a[1]), (*link.b[0], link.b[1])) for link in rest.links)
    datapaths = sorted((number, *bridge) for number, bridge in rest.datapaths)
    addresses = [(one.endpoint, str(one.address), one.source.value, one.until) for one in rest.addresses]
    held = [
        (one.tenant, one.owned if isinstance(one.owned, int) else str(one.owned), one.owner, one.until)
        for one in rest.held
    ]
    others: dict[str, Any] = stamp(FORM, SINCE) | {
        "links": links, "datapaths": datapaths, "holds": rest.holds, "addresses": addresses,
        "away": sorted(rest.away),
        "held": held,
    }  # fmt: skip
    try:
        replace_file(path, f'{{"places":[{",".join(places)}],{_json(others)[1:]}')
    except OSError as error:
        raise ZonewallError(f"{path}: {_reason(error)}; a restart would not know who is isolated") from error


def _reason(error: OSError | ValidationError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _bridge(host: str, bridge: str) -> BridgeKey:
    return BridgeKey(HostName(host), BridgeName(bridge))


def _end(end: End) -> tuple[BridgeKey, OfPort]:
    return _bridge(end[0], end[1]), OfPort(end[2])
