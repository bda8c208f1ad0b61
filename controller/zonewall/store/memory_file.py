"""What a restarted controller must know at once: where endpoints were, who is isolated, links, datapath ids.

A head start: whatever the hosts and bridges then say is believed instead. Who is isolated, they cannot say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final

from zonewall.errors import ZonewallError
from zonewall.placement.binding_held import Rest
from zonewall.placement.binding_ports import Remembered
from zonewall.placement.binding_record import PortRef
from zonewall.placement.learnt import Learnt, Source
from zonewall.placement.model import BridgeKey, Link
from zonewall.store.numbering_file import replace_file
from zonewall.store.shape import (
    Check,
    UnfitError,
    in_place,
    made,
    mapping,
    or_none,
    parsed,
    rows,
    seconds,
    text,
    texts,
    whole,
)
from zonewall.values.names import BridgeName, DatapathId, EndpointKey, HostName, OfPort, TenantName


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
        return _memory(parsed(path.read_bytes()))
    except FileNotFoundError:
        return Memory()
    except (OSError, UnfitError) as error:
        raise ZonewallError(
            f"{path}: cannot be read ({_reason(error)}), and says who is isolated; restore it, or remove"
            " it and isolate again whom `zonewall journal --kind quarantined` names and no one released since"
        ) from error


def _memory(said: object) -> Memory:
    document = mapping(said, _KINDS, needed=("holds",))
    return Memory(**{key: in_place(key, _KINDS[key], value) for key, value in document.items()})


def _places(value: object) -> tuple[Remembered, ...]:
    return tuple([
        Remembered(EndpointKey(endpoint), PortRef(_bridge(host, bridge), port), OfPort(ofport), *until)
        for endpoint, host, bridge, port, ofport, *until in rows(
            value, text, text, text, text, whole, _UNTIL, least=5
        )
    ])  # fmt: skip


def _links(value: object) -> frozenset[Link]:
    return frozenset(Link(a, b) for a, b in rows(value, _end, _end))


def _end(value: object) -> tuple[BridgeKey, OfPort]:
    ((host, bridge, ofport),) = rows([value], text, text, whole)
    return _bridge(host, bridge), OfPort(ofport)


def _datapaths(value: object) -> tuple[tuple[DatapathId, BridgeKey], ...]:
    found = rows(value, whole, text, text)
    return tuple((DatapathId(number), _bridge(host, bridge)) for number, host, bridge in found)


def _holds(value: object) -> tuple[tuple[EndpointKey, str], ...]:
    return tuple((EndpointKey(endpoint), reason) for endpoint, reason in rows(value, text, text))


def _addresses(value: object) -> tuple[Learnt, ...]:
    found = rows(value, text, _ADDRESS, _SOURCE, _UNTIL)
    return tuple(Learnt(EndpointKey(endpoint), *rest) for endpoint, *rest in found)


def _held(value: object) -> tuple[Rest, ...]:
    found = rows(value, text, _owned, text, seconds)
    return tuple(
        Rest(TenantName(tenant), owned, EndpointKey(by), until) for tenant, owned, by, until in found
    )


def _owned(value: object) -> int | IPv4Address | IPv6Address:
    """Return a MAC address as a number, or an IP address."""
    return value if type(value) is int else _ADDRESS(value)


_ADDRESS: Final = made(ip_address, "an address")
_SOURCE: Final = made(Source, "where it was learnt from")
_UNTIL: Final = or_none(seconds)
_KINDS: Final[Mapping[str, Check[Any]]] = {
    "places": _places,
    "links": _links,
    "datapaths": _datapaths,
    "holds": _holds,
    "addresses": _addresses,
    "away": lambda value: frozenset(texts(value)),
    "held": _held,
}


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
    others: dict[str, Any] = {
        "links": links, "datapaths": datapaths, "holds": rest.holds, "addresses": addresses,
        "away": sorted(rest.away),
        "held": held,
    }  # fmt: skip
    try:
        replace_file(path, f'{{"places":[{",".join(places)}],{_json(others)[1:]}')
    except OSError as error:
        raise ZonewallError(f"{path}: {_reason(error)}; a restart would not know who is isolated") from error


def _reason(error: OSError | UnfitError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _bridge(host: str, bridge: str) -> BridgeKey:
    return BridgeKey(HostName(host), BridgeName(bridge))
