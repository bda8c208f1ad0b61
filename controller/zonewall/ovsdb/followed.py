"""A host's database in memory: python-ovs' IDL, which takes large updates a piece at a time."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from ovs.db import error as ovs_error
from ovs.db import idl, types

from ovs import jsonrpc
from zonewall.errors import BridgeError, TooManyError
from zonewall.ovsdb.schema import schema_helper
from zonewall.ovsdb.view import Rows

PIECE_ROWS = 200
"""So many rows are taken before other hosts have their turn: 5 ms."""

_ROW_WEIGHT, _VALUE_WEIGHT, _PORT_WEIGHT, _REST_WEIGHT = 256, 16, 2048, 4 << 20
"""What is borne of a host's contents, about in bytes of text: a port's two rows and values are 1,000."""


class FollowedDatabase(idl.Idl):  # type: ignore[misc]  # python-ovs has no types
    """An IDL on a session that exists already; what it cannot follow ends it instead of being left out.

    While ``is_behind``, part of an update is yet to be taken: nothing more is read, and what is there is
    nothing that the host ever had.
    """

    def __init__(self, session: Any, rows: Rows) -> None:
        """``rows`` is kept in step with the database."""
        super().__init__("unix:admitted", schema_helper(), leader_only=False)
        self._session = session
        self._rows = rows
        self.view_changed = False
        self._untaken: Iterator[None] | None = None
        self._weights: dict[Any, int] = {}
        self._weight = 0

    @property
    def is_behind(self) -> bool:
        """Say whether part of an update is yet to be taken."""
        return self._untaken is not None

    def take_piece(self) -> None:
        """Take the next piece of the update.

        Raises:
            BridgeError: it cannot be followed; nothing of it counts.
        """
        if self._untaken is not None and next(self._untaken, self) is self:
            self._untaken = None
        self._session.rpc.is_held = self._untaken is not None

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        """Take a row's change over."""
        del updates
        if self._rows.take(row._table.name, row, gone=event == idl.ROW_DELETE):
            self.view_changed = True

    def handle_monitor_canceled(self, msg: Any) -> bool:
        """The schema was converted: the IDL would start anew without saying what went."""
        if msg.type == jsonrpc.Message.T_NOTIFY and msg.method == "monitor_canceled":
            raise BridgeError("the database was converted; it is read anew on the next connection")
        return False

    def close(self) -> None:
        """Let go of the connection, and of all rows: they and their tables hold each other."""
        super().close()
        self._untaken = None
        for table in self.tables.values():
            table.rows.clear()

    def _Idl__parse_update(self, update: Any, version: str, tables: Any = None) -> None:  # noqa: N802
        # The original logs a malformed update and goes on with half of it, however long that takes.
        for table, rows in update.items() if isinstance(update, dict) else ():
            if isinstance(rows, dict) and len(rows) > 2 * self._rows.most:  # of a change of all of them
                raise TooManyError(f"changed rows of {table}", self._rows.most)
        if tables is not None:
            self._apply(update, version, tables)
            return
        self._untaken = self._pieces(update, version)
        self.take_piece()

    def _pieces(self, update: Any, version: str) -> Iterator[None]:
        """Take the update; after each piece but the last one, others have their turn."""
        if not isinstance(update, dict):
            self._apply(update, version, self.tables)
            return
        taken = 0
        for table, piece in _in_pieces(update):
            rows = len(piece) if isinstance(piece, dict) else 0
            if taken and taken + rows > PIECE_ROWS:
                taken = 0
                yield
            taken += rows
            self._apply({table: piece}, version, self.tables)
            self._weigh(table, piece)

    def _apply(self, update: Any, version: str, tables: Any) -> None:
        try:
            self._Idl__do_parse_update(update, version, tables)
        except ovs_error.Error as problem:
            raise BridgeError(f"an update is malformed: {str(problem)[:200]}") from problem

    def _weigh(self, table: str, numbers: Iterable[str]) -> None:
        """Note how much there is of some rows: many small updates may bring what one large may not."""
        rows = self.tables[table].rows
        for number in map(uuid.UUID, numbers):
            row = rows.get(number)
            weight = 0 if row is None else _weight(row)
            self._weight += weight - self._weights.pop(number, 0)
            if weight:
                self._weights[number] = weight
        if self._weight > _REST_WEIGHT + _PORT_WEIGHT * self._rows.most:
            raise TooManyError("values", self._rows.most)


def _in_pieces(update: Any) -> Iterator[tuple[Any, Any]]:
    """Give an update's rows by table, so many at a time; what is no update is given as it is."""
    for table, rows in update.items():
        if not isinstance(rows, dict) or not rows:
            yield table, rows
            continue
        left = iter(rows.items())
        while piece := dict(islice(left, PIECE_ROWS)):
            yield table, piece


def _weight(row: Any) -> int:
    """Return about how many bytes of text a row is worth; what it costs in memory is a few times as much."""
    weight = _ROW_WEIGHT
    for datum in dict.values(row._data):  # the columns that were told: its own ``values`` makes up the others
        weight += _VALUE_WEIGHT * len(datum.values)
        of = datum.type
        if of.key.type is types.StringType:
            weight += sum([_length(key) for key in datum.values])
        if of.value is not None and of.value.type is types.StringType:
            weight += sum([_length(value) for value in datum.values.values()])
    return weight


def _length(atom: Any) -> int:
    text = atom.value
    return len(text) if isinstance(text, str) else 0  # a default is an atom in an atom
