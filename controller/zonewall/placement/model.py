"""Where endpoints, ports and links are: one frozen value for the whole fleet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from zonewall.values.names import BridgeName, EndpointKey, HostName, OfPort


class BridgeKey(NamedTuple):
    """A bridge of the fleet, written ``host/bridge``."""

    host: HostName
    bridge: BridgeName

    def __str__(self) -> str:
        """Return ``host/bridge``."""
        return f"{self.host}/{self.bridge}"


class BindingState(Enum):
    """How far an endpoint at a port may take part (placement.md, "States")."""

    PENDING = "pending"  # policy is there; only its announcement is let through, to the controller
    ACTIVE = "active"  # traffic for the endpoint is delivered here
    LEAVING = "leaving"  # it has moved away: nothing from here is believed any more
    QUARANTINED = "quarantined"  # may talk to the remediation zone only


@dataclass(frozen=True, slots=True)
class Binding:
    """An endpoint at a port.

    Attributes:
        midstream: connections that began elsewhere may be taken up here (the window after a move).
        reason: why it is quarantined; empty otherwise.
    """

    endpoint: EndpointKey
    bridge: BridgeKey
    ofport: OfPort
    state: BindingState = BindingState.ACTIVE
    midstream: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A link between two managed bridges, each end a bridge and its port."""

    a: tuple[BridgeKey, OfPort]
    b: tuple[BridgeKey, OfPort]


@dataclass(frozen=True, slots=True)
class Placement:
    """The fleet at one moment.

    Attributes:
        bindings: every endpoint that is at a port, at most one of them active or quarantined for an endpoint.
        ports: ofport of each declared port (roles of the inventory) that is there, by bridge and name.
        links: live links between fabric ports.
        away: appliances of service functions that cannot be used, by name.
    """

    bindings: Mapping[EndpointKey, tuple[Binding, ...]]
    ports: Mapping[tuple[BridgeKey, str], OfPort]
    links: frozenset[Link] = frozenset()
    away: frozenset[str] = frozenset()
