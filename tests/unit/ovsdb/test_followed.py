"""A large update is taken a piece at a time, and what one host can make the controller keep is bounded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from zonewall.errors import BridgeError, TooManyError
from zonewall.ovsdb import followed
from zonewall.ovsdb.followed import PIECE_ROWS, FollowedDatabase
from zonewall.ovsdb.view import Rows

MOST = 1000


def _number(kind: int, number: int) -> str:
    return f"0000000{kind}-0000-4000-8000-{number:012x}"


class _Database(FollowedDatabase):
    """One whose updates are given by the test; ``pieces`` is how many rows each step has taken."""

    def __init__(self) -> None:
        self.connection = SimpleNamespace(is_held=False)
        super().__init__(SimpleNamespace(rpc=self.connection, close=lambda: None), Rows(most=MOST))
        self.rows = self._rows
        self.pieces: list[int] = []

    def give(self, update: object) -> None:
        """Take an update to its end."""
        self.pieces, before = [], self._taken()
        self._Idl__parse_update(update, "update3")
        self.pieces.append(self._taken() - before)
        while self.is_behind:
            assert self.connection.is_held
            before = self._taken()
            self.take_piece()
            self.pieces.append(self._taken() - before)
        assert not self.connection.is_held

    def _taken(self) -> int:
        return sum(len(table.rows) for table in self.tables.values())


def _ports(numbers: range, **said: Any) -> dict[str, Any]:
    ports = {n: {"name": f"p{n}", "interfaces": ["uuid", _number(4, n)]} for n in numbers}
    interfaces = {n: {"name": f"p{n}", **said} for n in numbers}
    return {
        "Port": {_number(3, n): {"insert": port} for n, port in ports.items()},
        "Interface": {_number(4, n): {"insert": interface} for n, interface in interfaces.items()},
    }


def test_no_step_takes_more_rows_than_it_may_and_all_are_taken() -> None:
    database = _Database()
    database.give(_ports(range(MOST)))
    assert sum(database.pieces) == 2 * MOST
    assert max(database.pieces) <= PIECE_ROWS
    assert len(database.rows.interfaces) == len(database.rows.ports) == MOST


def test_a_small_update_is_taken_at_once() -> None:
    database = _Database()
    database.give(_ports(range(PIECE_ROWS // 2)))
    assert database.pieces == [PIECE_ROWS]


def test_one_port_more_than_is_believed_ends_it_in_whatever_update_it_comes() -> None:
    database = _Database()
    database.give(_ports(range(MOST)))
    with pytest.raises(TooManyError, match="most-ports"):
        database.give(_ports(range(MOST, MOST + 1)))


def test_an_update_of_more_rows_than_there_can_be_is_refused_before_any_is_taken() -> None:
    database = _Database()
    with pytest.raises(TooManyError, match="changed rows of Controller"):
        database.give({"Controller": {_number(5, n): {"insert": {}} for n in range(2 * MOST + 1)}})
    assert not database.tables["Controller"].rows


@pytest.mark.parametrize("table", ["Controller", "IPFIX", "Flow_Table"])
def test_rows_that_are_nobodys_ports_do_not_pile_up_either(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "_REST_WEIGHT", 0)
    monkeypatch.setattr(followed, "_PORT_WEIGHT", 300)
    database = _Database()
    update: dict[str, Any] = {table: {_number(0, n): {"insert": {}} for n in range(MOST)}}
    database.give(update)
    more: dict[str, Any] = {table: {_number(1, n): {"insert": {}} for n in range(MOST)}}
    with pytest.raises(TooManyError, match="more values"):
        database.give(more)


def test_a_row_that_grows_with_each_update_ends_it_and_one_that_changes_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(followed, "_REST_WEIGHT", 20_000)
    monkeypatch.setattr(followed, "_PORT_WEIGHT", 0)
    database, interface = _Database(), _number(4, 0)
    database.give(_ports(range(1)))
    for turn in range(60):  # the same key with other values: nothing is added
        said = ["map", [["note", f"{turn:01000}"]]]
        database.give({"Interface": {interface: {"modify": {"external_ids": said}}}})
    for turn in range(17):
        said = ["map", [[f"note{turn}", "x" * 1000]]]
        database.give({"Interface": {interface: {"modify": {"external_ids": said}}}})
    last = ["map", [["more", "x" * 2000]]]
    with pytest.raises(TooManyError, match="more values"):
        database.give({"Interface": {interface: {"modify": {"external_ids": last}}}})


def test_a_column_of_the_wrong_type_is_left_out_and_the_rest_is_taken() -> None:
    database = _Database()
    database.give({"Bridge": {_number(2, 1): {"insert": {"name": 7, "datapath_id": "00000000000000a1"}}}})
    (bridge,) = database.rows.bridges.values()
    assert bridge.name is None
    assert bridge.datapath_id == 0xA1


@pytest.mark.parametrize("update", [5, {"Bridge": 7}, {"Passwords": {}}, {"Bridge": {"../x": {}}}])
def test_what_is_no_update_ends_it(update: object) -> None:
    with pytest.raises(BridgeError, match="malformed"):
        _Database().give(update)
