"""However a host's database and its bridge go on, no endpoint is at a number that was never its port's."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from support.placement_fleet import bridge, ids, started
from zonewall.openflow.events import Port, PortChange, PortChanged
from zonewall.placement.binding_fleet import Change
from zonewall.placement.observations import PortGone, PortSeen
from zonewall.reconciler.hosts import HostEvents
from zonewall.values.names import OfPort

KEY = bridge("hv1")
NAMES, ENDS = ("tap1", "tap2"), ("web1", "db1")


class Row(NamedTuple):
    """A port as the database has it."""

    end: str
    number: int | None = None


class History:
    """A database, a switch that follows it in passes, and what both have sent and is not taken yet.

    A bridge's word is taken once the database has told of all that the switch had seen (decision 0044).
    """

    def __init__(self, seed: int) -> None:
        self.world = SimpleNamespace(fleet=started().host_seen(KEY.host, 0.0)[0])
        stub: Any = self
        self.hosts = HostEvents(stub)
        self.hosts.early.is_behind = lambda _: self.waiting > 0
        self.waiting = 0
        self.choice = random.Random(seed)
        self.rows: dict[str, Row] = {}
        self.ports: dict[str, int] = {}
        self.made: dict[str, Row] | None = None
        self.true: set[tuple[str, int]] = set()
        self.told: list[list[PortSeen | PortGone]] = []
        self.said: list[tuple[int, PortChanged]] = []
        self.changes = self.taken = self.given = self.early = 0

    def take(self, change: Change, cause: str) -> None:
        self.world.fleet = change[0]
        self.early += "ofport from" in cause

    def roles_changed(self) -> None:
        """Nobody waits for it."""

    def step(self) -> None:
        self.choice.choice((self.edit, self.edit, self.switch, self.switch, self.database, self.bridge))()

    def edit(self) -> None:
        """Add, remove or replace a port of one name."""
        name, end = self.choice.choice(NAMES), self.choice.choice(ENDS)
        others = {known: row for known, row in self.rows.items() if known != name}
        goes = name in self.rows and self.choice.random() < 0.6
        self.commit(others if goes else {**others, name: Row(end)})

    def commit(self, rows: Mapping[str, Row]) -> None:
        before, self.rows = self.rows, dict(rows)
        self.true.update((row.end, row.number) for row in rows.values() if row.number)
        update: list[PortSeen | PortGone] = [PortGone(*KEY, n, 0.0) for n in before if n not in rows]
        for name, row in rows.items():
            if before.get(name) != row:
                number = OfPort(row.number) if row.number else None
                update.append(PortSeen(*KEY, name, number, 0.0, external_ids=ids(row.end)))
        self.told.append(update)
        self.changes += 1

    def switch(self) -> None:
        """Make and remove ports; the next time write down their numbers, where the rows are there still."""
        if self.made is None:
            for name in [name for name in self.ports if name not in self.rows]:
                self.say(PortChange.DELETED, name, self.ports.pop(name))
            for name, row in self.rows.items():
                if name not in self.ports:
                    self.given += 1
                    self.ports[name] = self.given
                    self.say(PortChange.ADDED, name, self.given)
                self.say(PortChange.MODIFIED, name, self.ports[name])
                self.true.add((row.end, self.ports[name]))
            self.made = dict(self.rows)
            return
        made, self.made = self.made, None
        self.commit(
            {
                name: Row(row.end, self.ports[name]) if made.get(name) == row and row.number is None else row
                for name, row in self.rows.items()
            }
        )

    def say(self, change: PortChange, name: str, number: int) -> None:
        self.said.append((self.changes, PortChanged(0xA1, change, Port(number, name, 0, True))))

    def database(self) -> None:
        if self.told:
            update = self.told.pop(0)
            for taken, seen in enumerate(update, 1):
                self.waiting = len(update) - taken
                self.hosts.take(seen)
            self.taken += 1

    def bridge(self) -> None:
        if self.said and self.said[0][0] <= self.taken:
            self.hosts.early.take(KEY, self.said.pop(0)[1])

    def is_true(self) -> bool:
        held = self.world.fleet.bindings.items()
        return {(end.split("/")[-1], one.ofport) for end, places in held for one in places} <= self.true

    def comes_to_rest(self) -> bool:
        """Say whether each port has its row's number once all that is still under way has been taken."""
        while self.made is not None or any(not row.number for row in self.rows.values()):
            self.switch()
        while self.told:
            self.database()
        while self.said:
            self.bridge()
        held = {port.name: known.facts.ofport for port, known in self.world.fleet.ports.items()}
        return held == {name: row.number for name, row in self.rows.items()}


@pytest.mark.parametrize("first", range(0, 300, 100))
def test_no_endpoint_is_at_a_number_that_was_never_its_ports_and_each_port_gets_its_own(first: int) -> None:
    early = 0
    for seed in range(first, first + 100):
        history = History(seed)
        for _ in range(80):
            history.step()
            assert history.is_true(), seed
        assert history.comes_to_rest(), seed
        early += history.early
    assert early > 20
