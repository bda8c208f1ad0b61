"""Service functions as one bridge's flows need them: ways through appliances, their hops and legs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg of a service function.

    Attributes:
        ofport: its port where it is on this bridge, None elsewhere.
        destination: its fabric destination for this place on this way.
        zone: conntrack zone of the function on this bridge.
        vlan: what enters and leaves by it is tagged so; 0 is untagged.
        heard: Ethernet type of the probes that come out of it, 0 for none.
        cards: MACs, from and to, that frames have which enter by a VLAN: switches on the way learn them.
    """

    ofport: int | None
    destination: int
    zone: int
    vlan: int = 0
    heard: int = 0
    cards: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Hop:
    """One appliance of a way: entered by ``enter`` and left by ``leave`` in the first direction."""

    enter: Leg
    leave: Leg

    @property
    def has_one_leg(self) -> bool:
        """Say whether both are one, on this bridge."""
        one, other = self.enter, self.leave
        return one.ofport is not None and (one.ofport, one.vlan) == (other.ofport, other.vlan)


@dataclass(frozen=True, slots=True)
class ChainPath:
    """A way through a chain: one appliance for each function, in the order of the first direction.

    Attributes:
        number: what connections that take it remember.
        alias: stands for the tenant between bridges, and says that the frame has come this way.
        usable: all its appliances are there and work.
    """

    number: int
    alias: int
    hops: tuple[Hop, ...]
    usable: bool = True

    @property
    def legs(self) -> tuple[Leg, ...]:
        """Return its legs on this bridge."""
        every = (leg for hop in self.hops for leg in (hop.enter, hop.leave))
        return tuple(leg for leg in every if leg.ofport is not None)


@dataclass(frozen=True, slots=True)
class Chain:
    """The ways that a rule's connections may take; where none is usable they drop, or bypass.

    Attributes:
        at_client: nothing but uplinks leads from here to other bridges: the client's sends both directions
            through, and others neither.
    """

    number: int
    tenant: int
    bank: int
    paths: tuple[ChainPath, ...]
    bypass: bool = False
    at_client: bool = False

    @property
    def usable(self) -> tuple[ChainPath, ...]:
        """Return the ways that can be taken now."""
        return tuple(path for path in self.paths if path.usable)
