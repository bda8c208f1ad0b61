"""A database that lies, floods or stalls costs its own connection and nobody else's."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.ovsdb_host import IMPATIENT, Follower, database_host, declared_hosts, follower
from zonewall.ovsdb.known_host import TOLD_AT_ONCE
from zonewall.ovsdb.schema import MAX_PORTS
from zonewall.placement.observations import (
    BridgeSeen,
    HostLost,
    HostRefused,
    HostSeen,
    HostUnreachable,
    PortSeen,
    SnapshotComplete,
)

pytestmark = pytest.mark.ovs

UUID = "00000000-0000-4000-8000-00000000000"
SERVER = {
    "name": "_Server",
    "version": "1.2.0",
    "tables": {
        "Database": {
            "columns": {
                "name": {"type": "string"},
                "model": {"type": "string"},
                "connected": {"type": "boolean"},
                "leader": {"type": "boolean"},
                "cid": {"type": {"key": "uuid", "min": 0}},
            }
        }
    },
}
STANDALONE = {"name": "Open_vSwitch", "model": "standalone", "connected": True, "leader": True}
ROOT = {"bridges": ["uuid", UUID + "2"], "external_ids": ["map", [["system-id", "hv1"]]]}


class Liar:
    """Speaks as a database would, until it does not."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._decoder, self._text = json.JSONDecoder(), ""

    def asked(self) -> dict[str, Any]:
        """Return the next request that is no probe."""
        while True:
            with contextlib.suppress(ValueError):
                request, end = self._decoder.raw_decode(self._text)
                self._text = self._text[end:]
                if request["method"] != "echo":
                    return dict(request)
                continue
            data = self.socket.recv(65536)
            assert data, "the controller hung up"
            self._text += data.decode()

    def say(self, message: object) -> None:
        self.socket.sendall(json.dumps(message).encode())

    def answer(self, request: dict[str, Any], result: object, error: object = None) -> None:
        self.say({"id": request["id"], "result": result, "error": error})

    def introduce(self) -> dict[str, Any]:
        """Get admitted as hv1; return the request for the contents."""
        self.answer(self.asked(), [{"rows": [{"external_ids": ROOT["external_ids"]}]}])
        self.answer(self.asked(), SERVER)
        self.answer(self.asked(), {"Database": {UUID + "8": {"initial": STANDALONE}}})
        request = self.asked()
        assert request["method"] == "monitor_cond_since"
        return request

    def follow(self, **tables: object) -> None:
        """Get admitted and send these contents."""
        rows = {"Open_vSwitch": {UUID + "1": {"initial": ROOT}}}
        self.answer(self.introduce(), [False, UUID + "0", {**rows, **tables}])


@contextlib.contextmanager
def _liar(ear: Follower) -> Iterator[Liar]:
    liar = Liar(ear.service.listen("127.0.0.1", 0, None))
    try:
        yield liar
    finally:
        liar.socket.close()


def test_the_liar_of_these_tests_is_believed_while_it_behaves() -> None:
    with follower(declared_hosts("hv1")) as ear, _liar(ear) as liar:
        interface = {"name": "p1", "ofport": 5, "external_ids": ["map", [["iface-id", "web1"]]]}
        liar.follow(
            Bridge={UUID + "2": {"initial": {"name": "br0", "ports": ["uuid", UUID + "3"]}}},
            Port={UUID + "3": {"initial": {"name": "p1", "interfaces": ["uuid", UUID + "4"]}}},
            Interface={UUID + "4": {"initial": interface}},
        )
        ear.until_a(PortSeen, name="p1", ofport=5)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        [{}],
        [{"rows": [{"external_ids": 5}]}],
        [{"rows": [{"external_ids": ["map", [[["x"], {}]]]}]}],
        [{"rows": [{"external_ids": ["map", [["system-id", 7]]]}]}],
        {"rows": 1},
    ],
    ids=str,
)
def test_nonsense_for_a_system_id_is_refused(answer: object) -> None:
    with follower(declared_hosts("hv1")) as ear, _liar(ear) as liar:
        liar.answer(liar.asked(), answer, "no" if answer is None else None)
        assert "no external_ids:system-id" in ear.until_a(HostRefused).reason


def _wrong_types(liar: Liar) -> None:
    liar.follow(Bridge={UUID + "2": {"initial": {"name": 7, "ports": "many", "datapath_id": [[]]}}})


def test_columns_of_the_wrong_type_are_not_believed_and_the_rest_is() -> None:
    with follower(declared_hosts("hv1")) as ear, _liar(ear) as liar:
        _wrong_types(liar)
        ear.until_a(SnapshotComplete)
        assert not any(isinstance(one, BridgeSeen) for one in ear.heard)


def _garbage(liar: Liar) -> None:
    liar.introduce()
    liar.socket.sendall(b"\x00\xff GET / HTTP/1.1")


def _no_rpc(liar: Liar) -> None:
    liar.introduce()
    liar.say({"method": 5})


def _rows_that_are_none(liar: Liar) -> None:
    liar.follow(Bridge=["no", "rows"])


def _bad_row_number(liar: Liar) -> None:
    liar.follow(Bridge={"../../etc": {"initial": {}}})


def _unknown_table(liar: Liar) -> None:
    liar.follow(Passwords={})


def _contents_that_are_none(liar: Liar) -> None:
    liar.answer(liar.introduce(), 5)


def _too_many_rows(liar: Liar) -> None:
    row = {"initial": {"name": "p"}}
    numbers = range(2 * MAX_PORTS + 1)
    liar.follow(Interface={f"00000000-0000-4000-8000-{number:012x}": row for number in numbers})


def test_a_host_that_tells_of_more_than_is_believed_is_named_with_the_option() -> None:
    with follower(declared_hosts("hv1")) as ear, _liar(ear) as liar:
        _too_many_rows(liar)
        assert "more changed rows of Interface" in ear.until_a(HostUnreachable, host="hv1").reason
        assert "most-ports" in ear.until_a(HostRefused).reason


def _hang_up(liar: Liar) -> None:
    liar.introduce()
    liar.socket.close()


@pytest.mark.parametrize(
    "lie",
    [
        _garbage,
        _no_rpc,
        _rows_that_are_none,
        _bad_row_number,
        _unknown_table,
        _contents_that_are_none,
        _hang_up,
    ],
)
def test_contents_that_cannot_be_read_are_refused_whole(lie: Callable[[Liar], None]) -> None:
    with follower(declared_hosts("hv1")) as ear, _liar(ear) as liar:
        lie(liar)
        assert "\n" not in ear.until_a(HostRefused).reason
        assert len(ear.heard) == 1


@pytest.mark.parametrize(
    "update",
    [
        {"Bridge": {UUID + "9": {"modify": {"name": "x"}}}},
        {"Bridge": {UUID + "2": {"explode": {}}}},
        {"Bridge": 7},
    ],
    ids=str,
)
def test_an_update_that_cannot_be_read_ends_it_with_a_word(update: object) -> None:
    with follower(declared_hosts("hv1")) as ear, _liar(ear) as liar:
        liar.follow()
        ear.until_a(SnapshotComplete)
        liar.say({"method": "update3", "params": ["x", UUID + "0", update], "id": None})
        assert ear.until_a(HostLost).reason
        assert ear.quiet() == []


def test_a_schema_conversion_begins_anew_instead_of_losing_rows() -> None:
    with follower(declared_hosts("hv1")) as ear, _liar(ear) as liar:
        liar.follow()
        ear.until_a(SnapshotComplete)
        liar.say({"method": "monitor_canceled", "params": ["x"], "id": None})
        assert "converted" in ear.until_a(HostLost).reason


def test_who_is_admitted_and_sends_no_contents_is_given_up() -> None:
    with follower(declared_hosts("hv1"), IMPATIENT) as ear, _liar(ear) as liar:
        liar.introduce()
        stop = threading.Event()

        def chatter() -> None:
            with contextlib.suppress(OSError):
                while not stop.wait(0.3):
                    liar.say({"method": "update2", "params": [], "id": None})

        talking = threading.Thread(target=chatter)
        talking.start()
        try:
            assert "did not send its contents in time" in ear.until_a(HostRefused).reason
        finally:
            stop.set()
            talking.join()


def test_who_asks_and_never_reads_is_cut_off_and_others_are_served(tmp_path: Path) -> None:
    with (
        database_host(tmp_path / "hv2", "hv2") as honest,
        follower(declared_hosts("hv1", "hv2")) as ear,
        _liar(ear) as liar,
    ):
        honest.connect_to(f"tcp:127.0.0.1:{ear.service.listen('127.0.0.1', 0, None)}")
        ear.until_a(SnapshotComplete, host="hv2")
        liar.follow()
        ear.until_a(SnapshotComplete, host="hv1")
        question = json.dumps({"method": "echo", "params": ["x" * 500_000], "id": 1}).encode()

        def flood() -> None:
            with contextlib.suppress(OSError):
                for _ in range(200):
                    liar.socket.sendall(question)

        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            assert "does not read" in ear.until_a(HostLost, host="hv1").reason
            honest.vsctl("add-br", "br0")
            ear.until_a(BridgeSeen, host="hv2")
        finally:
            liar.socket.close()
            flooding.join()


def test_of_a_host_that_tells_of_thousands_of_ports_so_many_wait_and_others_are_heard_meanwhile(
    tmp_path: Path,
) -> None:
    is_taken, ports = threading.Event(), [f"{number:05x}" for number in range(2000)]
    its_port = {name: f"00000000-0000-4000-8000-a000000{name}" for name in ports}
    its_interface = {name: f"00000000-0000-4000-8000-b000000{name}" for name in ports}
    with (
        database_host(tmp_path / "hv2", "hv2") as honest,
        follower(
            declared_hosts("hv1", "hv2"), is_full=lambda host: host == "hv1" and not is_taken.is_set()
        ) as ear,
        _liar(ear) as liar,
    ):
        honest.connect_to(f"tcp:127.0.0.1:{ear.service.listen('127.0.0.1', 0, None)}")
        ear.until_a(SnapshotComplete, host="hv2")
        named = ["set", [["uuid", number] for number in its_port.values()]]
        liar.follow(
            Bridge={UUID + "2": {"initial": {"name": "br0", "ports": named}}},
            Port={
                its_port[name]: {"initial": {"name": name, "interfaces": ["uuid", its_interface[name]]}}
                for name in ports
            },
            Interface={its_interface[name]: {"initial": {"name": name}} for name in ports},
        )
        ear.until_a(HostSeen, host="hv1")
        honest.vsctl("add-br", "br0")
        ear.until_a(BridgeSeen, host="hv2")
        told = [one for one in ear.heard if isinstance(one, PortSeen) and one.host == "hv1"]
        assert len(told) <= TOLD_AT_ONCE
        is_taken.set()
        ear.until_a(SnapshotComplete, host="hv1")
        told = [one for one in ear.heard if isinstance(one, PortSeen) and one.host == "hv1"]
        assert sorted(one.name for one in told) == ports
