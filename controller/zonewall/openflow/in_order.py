"""A bridge's ports are told first, then what became of them, however close one came behind the other."""

from __future__ import annotations

from collections.abc import Callable

from zonewall.openflow.errors import Malformed
from zonewall.openflow.events import BridgeUp, Event, PortChanged


class PortsInOrder:
    """Passes events on; changes of ports, of each the last, wait for the ``BridgeUp`` that names all ports.

    A change that comes right behind the bridge's answer is read together with it, and would be told before
    whoever has asked gets to tell of the answer: a port that went would come back by it.
    """

    def __init__(self, emit: Callable[[Event], None], most: int) -> None:
        """Pass on to ``emit``; at ``most`` so many ports may change before."""
        self._emit = emit
        self._most = most
        self._early: dict[str, PortChanged] | None = {}

    def __call__(self, event: Event) -> None:
        """Take an event.

        Raises:
            Malformed: too many ports have changed before all of them were told.
        """
        if self._early is None or not isinstance(event, PortChanged | BridgeUp):
            self._emit(event)
        elif isinstance(event, PortChanged):
            self._early.pop(event.port.name, None)
            self._early[event.port.name] = event
            if len(self._early) > self._most:
                raise Malformed(f"more than {self._most} ports have changed before it told which it has")
        else:
            early, self._early = self._early, None
            self._emit(event)
            for change in early.values():
                self._emit(change)
