"""What the fleet keeps of a host of the inventory: what it must be, what it was said to have."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Set
from dataclasses import dataclass, field
from itertools import chain

from zonewall.ovsdb.connection import HostConnection
from zonewall.ovsdb.dialer import Dialer
from zonewall.ovsdb.facts import InterfaceFacts
from zonewall.ovsdb.setup import BridgeSetup
from zonewall.ovsdb.view import BridgeView, HostView, PortView, gone, seen
from zonewall.placement.observations import HostSeen, Observation, SnapshotComplete
from zonewall.policy.inventory import HostDeclaration
from zonewall.values.names import BridgeName, HostName

TOLD_AT_ONCE = 200
"""So much is told of a host before others have their turn, and it is seen whether too much waits of it."""

_NO_SUCH_PORT = PortView(InterfaceFacts(None, None, True, {}, None, "", None, ""), None)
_NO_SUCH_BRIDGE = BridgeView(None, "\n", False)
"""What no host ever has: where it is not certain what was told, everything is told again."""


@dataclass(slots=True)
class KnownHost:
    """A host; ``view`` is what was told of it, unless something is being told."""

    declaration: HostDeclaration
    view: HostView = field(default_factory=HostView)
    said: HostSeen | None = None
    connection: HostConnection | None = None
    dialer: Dialer | None = None
    wishes: dict[BridgeName, BridgeSetup] = field(default_factory=dict)
    awaited: set[BridgeName] = field(default_factory=set)
    unreachable: str = ""
    _being_told: HostView | None = None

    def telling(
        self,
        joining: Generator[None, None, HostView],
        emit: Callable[[Observation], None],
        at: float,
        *,
        first: bool,
    ) -> Iterator[None]:
        """Tell what is otherwise than was told, so much at a time; ``first``: and that this is all there is.

        What a host has no more is told last of all there is, and first of a change.
        """
        new = yield from joining
        self._being_told = new
        emitted = 0
        for observation in _difference(self.declaration.name, self.view, new, at, first=first):
            if observation is None:
                yield
                continue
            emit(observation)
            emitted += 1
            if emitted % TOLD_AT_ONCE == 0:
                yield
        self.view, self._being_told = new, None

    def tell_again(self, bridges: Set[BridgeName], emit: Callable[[Observation], None], at: float) -> None:
        """Tell of bridges that are managed from now on: what was said of them until now was of no use."""
        connection, whole = self.connection, self.view
        self.interrupted()
        self.view = self.view.without(bridges)
        if connection is not None and connection.in_step:
            # While something is told no row changes; else what is there may be half of an update.
            found = connection.joining() if connection.is_telling else _found(whole)
            connection.tell(self.telling(found, emit, at, first=True))

    def interrupted(self) -> None:
        """Note that what was being told may not be told whole."""
        if self._being_told is not None:
            both = (self.view, self._being_told)
            self.view = HostView(
                dict.fromkeys(chain.from_iterable(view.bridges for view in both), _NO_SUCH_BRIDGE),
                dict.fromkeys(chain.from_iterable(view.ports for view in both), _NO_SUCH_PORT),
            )
            self._being_told = None


def _found(view: HostView) -> Generator[None, None, HostView]:
    yield from ()
    return view


def _difference(
    host: HostName, old: HostView, new: HostView, at: float, *, first: bool
) -> Iterator[Observation | None]:
    """Give what is to be told; None where others may have their turn."""
    if not first:
        yield from gone(host, old, new, at)
    yield from seen(host, old, HostView(new.bridges), at)
    for number, piece in enumerate(new.in_pieces()):
        if number:
            yield None
        yield from seen(host, old, piece, at)
    if first:
        yield SnapshotComplete(host, at)
        yield from gone(host, old, new, at)
