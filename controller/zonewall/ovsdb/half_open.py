"""Who has connected and not said yet who they are: of those who connect in, so many of one address."""

from __future__ import annotations

from zonewall.ovsdb.handshake import Handshake
from zonewall.values.names import HostName


class HalfOpen:
    """Belongs to the loop's thread; who is connected out to makes room for nobody."""

    def __init__(self, most: int, most_of_one: int) -> None:
        """Hold at most so many that connected in, in all and of one address."""
        self._most, self._most_of_one = most, most_of_one
        self._dialled: dict[Handshake, None] = {}
        self._in: dict[Handshake, str] = {}
        self._of: dict[str, dict[Handshake, None]] = {}

    def add(self, handshake: Handshake, address: str) -> None:
        """Hold one; ``address`` is its other end's, without the port."""
        if handshake.dialled is not None:
            self._dialled[handshake] = None
            return
        self._in[handshake] = address
        self._of.setdefault(address, {})[handshake] = None

    def discard(self, handshake: Handshake) -> None:
        """Let go of one, if it is here."""
        self._dialled.pop(handshake, None)
        address = self._in.pop(handshake, None)
        if address is None:
            return
        del self._of[address][handshake]
        if not self._of[address]:
            del self._of[address]

    def in_the_way(self, address: str) -> Handshake | None:
        """Return who goes before one more of an address comes: the oldest of it, or of whoever has most."""
        mine = self._of.get(address, {})
        if len(mine) >= self._most_of_one:
            return next(iter(mine))
        if len(self._in) >= self._most:
            most = max(self._of, key=lambda one: len(self._of[one]))
            return next(iter(self._of[most]))
        return None

    def all(self) -> list[Handshake]:
        """Return everyone."""
        return [*self._dialled, *self._in]

    def dialled(self, host: HostName) -> list[Handshake]:
        """Return who is connected out to as a host."""
        return [one for one in self._dialled if one.dialled == host]
