"""What a restarted controller must know is on disk as it is now, whatever came and went in between."""

from __future__ import annotations

import random
from pathlib import Path

from support.placement_fleet import confirmed, endpoint, ids, key, ref, seen, started
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.binding_ports import remembered_holds, remembered_places
from zonewall.placement.learnt import AddressBook
from zonewall.reconciler.memory import MemoryKeeper
from zonewall.store.memory_file import read_memory

NAMES = tuple(f"vm{number}" for number in range(20))


def fleet() -> FleetState:
    return started(*(endpoint(name, 100 + at) for at, name in enumerate(NAMES)))


def changed(now: FleetState, chance: random.Random, at: float) -> FleetState:
    """Return the fleet after a port came or went, or somebody was isolated or let go."""
    name, host = chance.choice(NAMES), chance.choice(("hv1", "hv2"))
    what = chance.randrange(5)
    if what < 2:
        number = NAMES.index(name)
        now = seen(now, host, name, number + 1, ids(name, 100 + number), at)
        return confirmed(now, "hv1", "hv2", at=at)
    if what == 2:
        return now.port_gone(ref(host, name), at)[0]
    if what == 3:
        return now.quarantine(key(name), f"reason {at:.0f}", at)[0]
    return now.release(key(name), at)[0]


def test_the_file_says_what_the_fleet_says_after_any_changes(tmp_path: Path) -> None:
    chance, now = random.Random(7), fleet()
    keeper = MemoryKeeper(tmp_path / "places.json")
    for step in range(200):
        now = changed(now, chance, float(step))
        keeper.keep(now, AddressBook(), frozenset()).result()
        if step % 20 == 19:
            found = read_memory(tmp_path / "places.json")
            assert found.places == remembered_places(now.records)
            assert found.holds == remembered_holds(now.records)


def test_what_changes_nothing_of_it_is_not_written_again(tmp_path: Path) -> None:
    file = tmp_path / "places.json"
    keeper, now = MemoryKeeper(file), confirmed(seen(fleet(), "hv1", "vm0", 1, ids("vm0", 100)), "hv1")
    keeper.keep(now, AddressBook(), frozenset()).result()
    written = file.stat().st_ino
    keeper.keep(seen(now, "hv2", "vm0", 3, ids("vm0", 100)), AddressBook(), frozenset()).result()
    assert file.stat().st_ino == written, "a place that waits is not remembered"
    keeper.keep(now.port_gone(ref("hv1", "vm0"), 1.0)[0], AddressBook(), frozenset()).result()
    assert file.stat().st_ino != written
    assert read_memory(file).places == ()
