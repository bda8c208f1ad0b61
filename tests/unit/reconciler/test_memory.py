"""What a restarted controller must know is on disk as it is now, whatever came and went in between."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from support.placement_fleet import (
    confirmed,
    endpoint,
    ids,
    key,
    ref,
    remembered_holds,
    remembered_places,
    seen,
    started,
)
from zonewall.errors import ZonewallError
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.learnt import AddressBook
from zonewall.reconciler.memory import MemoryKeeper
from zonewall.store.memory_file import Memory, read_memory

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


def isolated(name: str) -> FleetState:
    return fleet().quarantine(key(name), "by hand", 0.0)[0]


def test_what_is_not_there_remembers_nothing(tmp_path: Path) -> None:
    assert read_memory(tmp_path / "places.json") == Memory()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"held":[]}', '"away":'),
        ('"away":[]', '"away":[],"newer":1'),
        ('"holds":[["acme/vm0","by hand"]],', ""),
        ('"by hand"', "7"),
    ],
    ids=["cut short", "of a newer version", "without the isolated", "another kind of value"],
)
def test_a_file_that_cannot_be_read_lets_nobody_go_and_says_which_it_is_and_what_to_do(
    tmp_path: Path, before: str, after: str
) -> None:
    file = tmp_path / "places.json"
    MemoryKeeper(file).keep(isolated("vm0"), AddressBook(), frozenset()).result()
    assert read_memory(file).holds == ((key("vm0"), "by hand"),)
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))
    with pytest.raises(ZonewallError, match=r"places\.json: .*restore it, or remove it") as refused:
        MemoryKeeper(file)
    assert "journal --kind quarantined" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "said",
    [
        {"places": [["acme/vm0", "hv1", "br-int", "vm0"]]},
        {"places": [["acme/vm0", "hv1", "br-int", "vm0", "7"]]},
        {"places": [["acme/vm0", "hv1", "br-int", "vm0", True]]},
        {"places": [["acme/vm0", "hv1", "br-int", 7, 7]]},
        {"places": {"acme/vm0": 7}},
        {"links": [[["hv1", "br-int", 1]]]},
        {"links": [[["hv1", "br-int", 1], ["hv2", "br-int"]]]},
        {"datapaths": [["1", "hv1", "br-int"]]},
        {"holds": [["acme/vm0"]]},
        {"holds": None},
        {"addresses": [["acme/vm0", "10.0.0.256", "dhcp", None]]},
        {"addresses": [["acme/vm0", "10.0.0.1", "hearsay", None]]},
        {"away": [1]},
        {"held": [["acme", 1.5, "acme/vm0", 1.0]]},
        {"held": [["acme", 1, "acme/vm0", "soon"]]},
    ],
)
def test_a_value_of_another_kind_is_a_damage_that_is_named(tmp_path: Path, said: dict[str, Any]) -> None:
    file = tmp_path / "places.json"
    file.write_text(json.dumps({"holds": [], **said}))
    with pytest.raises(ZonewallError, match=rf"\({next(iter(said))}[.:].*\), and says who is isolated"):
        read_memory(file)


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 100_000])
def test_a_file_that_says_nothing_is_a_damaged_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "places.json").write_text(text)
    with pytest.raises(ZonewallError, match="who is isolated"):
        read_memory(tmp_path / "places.json")


def test_a_path_that_cannot_be_opened_as_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "places.json").mkdir()
    with pytest.raises(ZonewallError, match="Is a directory"):
        read_memory(tmp_path / "places.json")


def test_what_could_not_be_written_is_told_and_written_once_it_can_be_though_nothing_changed(
    tmp_path: Path,
) -> None:
    file, now = tmp_path / "places.json", isolated("vm0")
    keeper = MemoryKeeper(file)
    (file / "in-the-way").mkdir(parents=True)
    with pytest.raises(ZonewallError, match=r"places\.json"):
        keeper.keep(now, AddressBook(), frozenset()).result()
    assert "a restart would not know who is isolated" in keeper.error
    (file / "in-the-way").rmdir()
    file.rmdir()
    deadline = time.monotonic() + 30
    while keeper.keep(now, AddressBook(), frozenset()).exception() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert read_memory(file).holds == ((key("vm0"), "by hand"),)
    assert keeper.error == ""
