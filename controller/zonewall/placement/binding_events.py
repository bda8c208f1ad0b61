"""What happens to one endpoint, and what follows from it; time is a field (seconds, any epoch)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from zonewall.placement.announcement import Announcement, Forged
from zonewall.placement.binding_record import PortRef
from zonewall.values.addresses import IpPrefix, MacAddress
from zonewall.values.names import EndpointKey, HostName, OfPort


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things take, in seconds.

    Attributes:
        window_s: after a move the new place takes up connections that began elsewhere.
        settle_s: after a move a frame of the old place is a straggler, later it is a clone's. QEMU
            announces at 0, 50, 200, 450 and 800 ms (net/announce.c).
        hold_s: a MAC or IP address that went is held back from others for that long.
    """

    window_s: float = 30.0
    settle_s: float = 2.0
    hold_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Plugged:
    """A port says that it is the endpoint's, or says something new about itself.

    Attributes:
        remembered: the endpoint was active here when the controller stopped; nothing needs confirming.
        window_until: with ``remembered``, until when connections that began elsewhere may still be taken up.
        faults: reasons not to believe the port that lie outside the endpoint's own record.
    """

    port: PortRef
    ofport: OfPort | None
    generation: int
    at: float
    attached_mac: MacAddress | None = None
    vm_id: str | None = None
    faults: tuple[str, ...] = ()
    remembered: bool = False
    window_until: float | None = None


@dataclass(frozen=True, slots=True)
class Unplugged:
    """The port is gone, or is no longer the endpoint's."""

    port: PortRef
    generation: int
    at: float


@dataclass(frozen=True, slots=True)
class OfportChanged:
    """The bridge gave the port another ofport, or None: not yet, failed, or switched off."""

    port: PortRef
    ofport: OfPort | None
    generation: int
    at: float


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The port's bridge has confirmed the bundle with the endpoint's flows for that ofport."""

    port: PortRef
    ofport: OfPort
    generation: int
    at: float


@dataclass(frozen=True, slots=True)
class Announced:
    """A frame that announces something came in at one of the endpoint's ports, or at any other."""

    port: PortRef
    announcement: Announcement | Forged
    at: float


@dataclass(frozen=True, slots=True)
class HostLost:
    """A host cannot be heard; it keeps its bindings."""

    host: HostName
    at: float


@dataclass(frozen=True, slots=True)
class HostBack:
    """A host is heard again; ``restarted``: its datapath has forgotten every connection."""

    host: HostName
    at: float
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""

    at: float


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Somebody wants the endpoint isolated."""

    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Release:
    """An operator lifts what holds the endpoint; ``reason`` names one hold, None is all of them."""

    at: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ConfigurationChanged:
    """What the configuration says of the endpoint and, by port, against its places."""

    mac: MacAddress
    vm_id: str | None
    prefixes: tuple[IpPrefix, ...]
    faults: tuple[tuple[PortRef, tuple[str, ...]], ...]
    at: float


PlacementEvent = (
    Plugged
    | Unplugged
    | OfportChanged
    | Confirmed
    | Announced
    | HostLost
    | HostBack
    | Tick
    | Quarantine
    | Release
    | ConfigurationChanged
)


class EffectKind(Enum):
    """What follows, in the order in which it must be done: new place, paths, old place."""

    ENFORCE = "enforce"  # put the endpoint's policy on the port, let nothing but announcements through
    ACTIVATE = "activate"  # deliver here
    ISOLATE = "isolate"  # hold it here, in quarantine
    REPATH = "repath"  # every other bridge delivers to the new place
    REFUSE = "refuse"  # believe nothing from this port any more
    REMOVE = "remove"  # take the port's flows away
    CLOSE_WINDOW = "close-window"  # take up no more connections that began elsewhere
    READY = "ready"  # the bridge enforces for the port: an orchestrator may go on
    QUARANTINED = "quarantined"  # the endpoint is isolated from now on
    RELEASED = "released"  # no longer
    MOVED = "moved"  # for the journal: it was at another place before
    IGNORED = "ignored"  # an announcement or a stale report changed nothing, and why
    UNKNOWN_PORT = "unknown-port"  # a port that no endpoint, role or rule covers
    REFUSED_BRIDGE = "refused-bridge"  # a second bridge with a datapath id that another one has


@dataclass(frozen=True, slots=True)
class Effect:
    """One consequence.

    Attributes:
        endpoint: None for a port or bridge that is nobody's.
        port: where; None when it concerns the whole endpoint.
        generation: of the place; clean-up that carries an older one than the place has now must not be done.
        midstream: with ACTIVATE, connections that began elsewhere may be taken up.
    """

    kind: EffectKind
    endpoint: EndpointKey | None
    port: PortRef | None = None
    ofport: OfPort | None = None
    generation: int = 0
    midstream: bool = False
    reason: str = ""
