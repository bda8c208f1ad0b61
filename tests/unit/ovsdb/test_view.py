"""What is believed of rows, and what differs between two views of a host."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ovs.db import data
from ovs.db import error as ovs_error

from zonewall.errors import TooManyError
from zonewall.ovsdb.schema import schema_helper
from zonewall.ovsdb.view import HostView, Rows, gone, seen
from zonewall.placement.observations import BridgeGone, BridgeSeen, PortGone, PortSeen
from zonewall.values.names import BridgeName, HostName

HOST = HostName("hv1")
SCHEMA = schema_helper().get_idl_schema()


class Row:
    """A row as the IDL keeps it: a datum for each column, of the column's type."""

    def __init__(self, table: str, number: int, **values: object) -> None:
        self.uuid = uuid.UUID(int=number)
        columns = SCHEMA.tables[table].columns
        self._data = {name: data.Datum.default(column.type) for name, column in columns.items()}
        for name, value in values.items():
            self._data[name] = data.Datum.from_python(columns[name].type, value, lambda one: one)


def _number(value: int) -> uuid.UUID:
    return uuid.UUID(int=value)


def _rows(**interface: object) -> Rows:
    rows = Rows()
    rows.take("Open_vSwitch", Row("Open_vSwitch", 1, bridges=[_number(2)]), gone=False)
    rows.take("Bridge", Row("Bridge", 2, name="br0", ports=[_number(3)]), gone=False)
    rows.take("Port", Row("Port", 3, name="p1", interfaces=[_number(4)], tag=[7]), gone=False)
    rows.take("Interface", Row("Interface", 4, **{"name": "p1", **interface}), gone=False)
    return rows


def _port(**interface: object) -> PortSeen:
    told = list(seen(HOST, HostView(), _rows(**interface).view(), 5.0))
    assert [type(one) for one in told] == [BridgeSeen, PortSeen]
    port = told[1]
    assert isinstance(port, PortSeen)
    return port


@pytest.mark.parametrize(
    ("said", "ofport", "failed"),
    [
        ([], None, False),
        ([-1], None, True),
        ([1], 1, False),
        ([65279], 65279, False),
        ([65534], 65534, False),
        ([0], None, False),
        ([65280], None, False),
        ([-2], None, False),
        ([1 << 40], None, False),
    ],
)
def test_an_ofport_is_a_port_or_failed_or_not_there(
    said: list[int], ofport: int | None, failed: bool
) -> None:
    port = _port(ofport=said)
    assert (port.ofport, port.failed) == (ofport, failed)


@pytest.mark.parametrize("value", ["", "x" * 256, "a\nb", "a\x1b[2J", "a\u202eb"])
def test_an_identity_that_is_empty_long_or_unprintable_is_not_believed(value: str) -> None:
    assert dict(_port(external_ids={"iface-id": value, "vm-id": "vm7"}).external_ids) == {"vm-id": "vm7"}


def test_only_keys_that_say_whose_port_it_is_are_told() -> None:
    ids = {"iface-id": "web1", "attached-mac": "52:54:00:00:00:01", "ovn-installed": "true"}
    assert dict(_port(external_ids=ids).external_ids) == {
        "iface-id": "web1",
        "attached-mac": "52:54:00:00:00:01",
    }


@pytest.mark.parametrize(("said", "up"), [([], None), (["up"], True), (["down"], False), (["maybe"], None)])
def test_link_state_is_up_down_or_unknown(said: list[str], up: bool | None) -> None:
    assert _port(link_state=said).link_up is up


def test_an_address_that_is_none_is_not_told() -> None:
    assert _port(mac_in_use=["52:54:00:00:00:01"]).mac_in_use == 0x525400000001
    assert _port(mac_in_use=["nonsense"]).mac_in_use is None


def test_a_bond_is_told_interface_by_interface() -> None:
    rows = _rows()
    rows.take("Interface", Row("Interface", 5, name="p2"), gone=False)
    rows.take("Port", Row("Port", 3, name="bond", interfaces=[_number(4), _number(5)]), gone=False)
    told = [one.name for one in seen(HOST, HostView(), rows.view(), 0.0) if isinstance(one, PortSeen)]
    assert sorted(told) == ["p1", "p2"]


def test_the_same_view_twice_tells_nothing() -> None:
    assert list(seen(HOST, _rows().view(), _rows().view(), 1.0)) == []
    assert list(gone(HOST, _rows().view(), _rows().view(), 1.0)) == []


def test_a_change_of_one_port_tells_that_port_only() -> None:
    rows = _rows()
    rows.take("Interface", Row("Interface", 5, name="p2"), gone=False)
    rows.take("Port", Row("Port", 6, name="p2", interfaces=[_number(5)]), gone=False)
    rows.take("Bridge", Row("Bridge", 2, name="br0", ports=[_number(3), _number(6)]), gone=False)
    before = rows.view()
    assert rows.take("Interface", Row("Interface", 5, name="p2", ofport=[9]), gone=False)
    told = list(seen(HOST, before, rows.view(), 1.0))
    assert [(one.name, one.ofport) for one in told if isinstance(one, PortSeen)] == [("p2", 9)]
    assert len(told) == 1


def test_a_row_that_says_what_it_said_changes_nothing() -> None:
    rows = _rows(ofport=[5])
    assert not rows.take("Interface", Row("Interface", 4, name="p1", ofport=[5]), gone=False)


def test_a_bridge_that_goes_takes_its_ports_with_it_first() -> None:
    rows = _rows()
    before = rows.view()
    rows.take("Open_vSwitch", Row("Open_vSwitch", 1), gone=False)
    told = list(gone(HOST, before, rows.view(), 1.0))
    assert told == [PortGone(HOST, BridgeName("br0"), "p1", 0.0), BridgeGone(HOST, BridgeName("br0"), 0.0)]


def test_rows_that_nothing_refers_to_are_not_there() -> None:
    rows = _rows()
    rows.take("Interface", Row("Interface", 9, name="stray"), gone=False)
    rows.take("Bridge", Row("Bridge", 8, name="stray"), gone=False)
    assert rows.view() == _rows().view()


def test_references_to_nothing_are_left_out() -> None:
    rows = _rows()
    rows.take("Interface", Row("Interface", 4), gone=True)
    assert rows.view().ports == {}


def test_of_two_bridges_with_one_name_the_same_one_counts_whatever_came_first() -> None:
    def view(order: list[int]) -> Any:
        rows = Rows()
        rows.take("Open_vSwitch", Row("Open_vSwitch", 1, bridges=[_number(2), _number(3)]), gone=False)
        for number in order:
            row = Row("Bridge", number, name="br0", datapath_id=[f"{number:016x}"])
            rows.take("Bridge", row, gone=False)
        return rows.view()

    assert view([2, 3]) == view([3, 2])
    assert view([3, 2]).bridges["br0"].datapath_id == 2


@pytest.mark.parametrize("table", ["Port", "Interface"])
def test_more_rows_than_are_believed_end_it(table: str) -> None:
    rows = Rows(most=3)
    for number in range(3):
        rows.take(table, Row(table, number, name=f"p{number}"), gone=False)
    with pytest.raises(TooManyError, match=f"more rows of {table} than are believed"):
        rows.take(table, Row(table, 3, name="p3"), gone=False)


def test_rows_that_many_bridges_name_are_not_believed_as_often() -> None:
    rows, ports = Rows(most=3), [_number(20 + number) for number in range(3)]
    for number in range(3):
        port = Row("Port", 20 + number, name=f"p{number}", interfaces=[_number(40 + number)])
        rows.take("Port", port, gone=False)
        rows.take("Interface", Row("Interface", 40 + number, name=f"p{number}"), gone=False)
    bridges = [_number(2 + number) for number in range(3)]
    rows.take("Open_vSwitch", Row("Open_vSwitch", 1, bridges=bridges), gone=False)
    for number in range(3):
        rows.take("Bridge", Row("Bridge", 2 + number, name=f"br{number}", ports=ports), gone=False)
    with pytest.raises(TooManyError, match="more ports at its bridges"):
        rows.view()


def test_the_types_of_columns_are_checked_before_a_row_is_read() -> None:
    with pytest.raises(ovs_error.Error):
        data.Datum.from_json(SCHEMA.tables["Interface"].columns["ofport"].type, "five")


_INTERFACES = st.builds(
    lambda number, name, ofport, gone: ("Interface", number, {"name": name, "ofport": ofport}, gone),
    st.integers(10, 13),
    st.sampled_from(["p1", "p2", "a\nb"]),
    st.sampled_from([[], [1], [2], [-1]]),
    st.sampled_from([False, False, False, True]),
)
_PORTS = st.builds(
    lambda number, tag, of: ("Port", number, {"tag": tag, "interfaces": [_number(one) for one in of]}, False),
    st.integers(20, 22),
    st.sampled_from([[], [7]]),
    st.sets(st.integers(10, 13), min_size=1, max_size=3),
)
_BRIDGES = st.builds(
    lambda number, name, of: ("Bridge", number, {"name": name, "ports": [_number(one) for one in of]}, False),
    st.integers(30, 31),
    st.sampled_from(["br0", "br1"]),
    st.sets(st.integers(20, 22), max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(_INTERFACES, _INTERFACES, _PORTS, _BRIDGES), max_size=30), st.data())
def test_a_view_that_follows_single_rows_is_the_one_of_all_rows(
    changes: list[tuple[str, int, dict[str, Any], bool]], draw: st.DataObject
) -> None:
    followed = Rows()
    root = Row("Open_vSwitch", 1, bridges=[_number(30), _number(31)])
    followed.take("Open_vSwitch", root, gone=False)
    for table, number, values, gone_now in changes:
        followed.take(table, Row(table, number, **values), gone=gone_now)
        if draw.draw(st.booleans()):
            shown = followed.view()
            anew = Rows(followed.roots, followed.bridges, followed.ports, followed.interfaces)
            assert shown == anew.view()
