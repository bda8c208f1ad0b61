"""A placement written down in YAML, for ``zonewall compile``: who is where, which ports and links."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zonewall.errors import ZonewallError
from zonewall.placement.model import Binding, BindingState, BridgeKey, Link, Placement
from zonewall.values.names import BridgeName, EndpointKey, HostName, OfPort

_Ofport = Annotated[int, Field(ge=1, le=65279)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _EndpointAt(_Strict):
    endpoint: str
    host: str
    bridge: str
    ofport: _Ofport
    state: BindingState = Field(default=BindingState.ACTIVE, strict=False)
    midstream: bool = False


class _PortAt(_Strict):
    host: str
    bridge: str
    name: str
    ofport: _Ofport


class _LinkBetween(_Strict):
    a: str
    b: str


class _Document(_Strict):
    placements: list[_EndpointAt] = []
    ports: list[_PortAt] = []
    links: list[_LinkBetween] = []


def read_placement(path: Path) -> Placement:
    """Return the placement that a file says.

    Raises:
        ZonewallError: the file cannot be read or says something else.
    """
    try:
        return parse_placement(yaml.safe_load(path.read_text(encoding="utf-8")) or {}, str(path))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ZonewallError(f"{path}: cannot be read as a placement: {str(error).splitlines()[0]}") from error


def parse_placement(said: object, where: str) -> Placement:
    """Return the placement of a parsed document; ``where`` it was read is named in errors.

    Raises:
        ZonewallError: it says something else.
    """
    try:
        document = _Document.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ZonewallError(f"{where}: {place}: {first['msg']}") from error
    bindings: dict[EndpointKey, tuple[Binding, ...]] = {}
    for at in document.placements:
        key = EndpointKey(at.endpoint)
        bridge = BridgeKey(HostName(at.host), BridgeName(at.bridge))
        binding = Binding(key, bridge, OfPort(at.ofport), at.state, at.midstream)
        bindings[key] = (*bindings.get(key, ()), binding)
    ports = {
        (BridgeKey(HostName(port.host), BridgeName(port.bridge)), port.name): OfPort(port.ofport)
        for port in document.ports
    }
    links = frozenset(Link(_end(where, link.a), _end(where, link.b)) for link in document.links)
    return Placement(bindings, ports, links)


def _end(path: str, text: str) -> tuple[BridgeKey, OfPort]:
    parts: list[Any] = text.split("/")
    if len(parts) != 3 or not parts[2].isdecimal():
        raise ZonewallError(f"{path}: {text!r} is no end of a link; write it as host/bridge/ofport")
    return BridgeKey(HostName(parts[0]), BridgeName(parts[1])), OfPort(int(parts[2]))
