"""Records to collectors: what a file and syslog's receivers get, and what is said of what they do not."""

from __future__ import annotations

import json
import re
import resource
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from zonewall.errors import ZonewallError
from zonewall.journal.keeping import Nowhere
from zonewall.journal.record import Entry, Kind, canonical
from zonewall.telemetry import outputs
from zonewall.telemetry.outputs import Outputs, as_line, output_of

# RFC 5424, 6: PRI, version, time, host, application, process, message id, no structured data, message.
MESSAGE = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (\S{1,255}) zonewall (\d+) (\S{1,32}) - (.*)",
    re.DOTALL,
)


def entry(number: int, kind: Kind = Kind.CONNECTION) -> Entry:
    details = canonical({"event": "start", "rule": "acme/t/web", "number": number})
    return Entry(1_700_000_000_000_000 + number, kind, "rule acme/t/web", "acme", "acme/a1", "hv1", details)


@contextmanager
def files_hold(size: int) -> Iterator[None]:
    """Have every file refuse more than so many bytes, after it has taken a part of what was written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Collector:
    """Keeps what it is given, and does something with each kind of record before it does."""

    def __init__(self, before: Callable[[Entry], None]) -> None:
        self.name = "a collector"
        self.got: list[Entry] = []
        self._before = before

    def write(self, entries: Sequence[Entry]) -> int:
        for one in entries:
            self._before(one)
        self.got.extend(entries)
        return len(entries)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "log"))
        listening.settimeout(10)
        yield listening


def test_a_file_gets_each_record_as_a_line_of_json_and_may_be_rotated(tmp_path: Path) -> None:
    file = tmp_path / "connections.json"
    sink = Outputs(Nowhere(), [f"file:{file}"])
    sink.start()
    sink.put([entry(1), entry(2)])
    until(lambda: file.is_file() and file.read_text().count("\n") == 2)
    file.rename(tmp_path / "connections.json.1")
    sink.put([entry(3)])
    until(lambda: file.is_file() and file.read_text().count("\n") == 1)
    sink.stop()
    old = (tmp_path / "connections.json.1").read_text().splitlines()
    found = [json.loads(line) for line in [*old, file.read_text()]]
    assert [one["details"]["number"] for one in found] == [1, 2, 3]
    assert found[0] | {"details": None} == {
        "time": "2023-11-14T22:13:20.000001Z", "kind": "connection", "tenant": "acme", "endpoint": "acme/a1",
        "host": "hv1", "cause": "rule acme/t/web", "details": None,
    }  # fmt: skip


def test_a_syslog_daemon_gets_messages_of_rfc_5424(tmp_path: Path, receiver: socket.socket) -> None:
    sink = Outputs(Nowhere(), [f"syslog:unix:{tmp_path / 'log'}"])
    sink.start()
    sink.put([entry(1), entry(2, Kind.GAP)])
    first, second = (MESSAGE.fullmatch(receiver.recv(65536)) for _ in range(2))
    sink.stop()
    assert first is not None
    assert second is not None
    assert (first[1], first[2], first[5]) == (b"134", b"2023-11-14T22:13:20.000001Z", b"connection")
    assert (second[1], second[5]) == (b"132", b"gap")
    assert json.loads(first[6])["details"]["rule"] == "acme/t/web"


def test_a_syslog_collector_elsewhere_gets_the_same_over_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(10)
        sink = Outputs(Nowhere(), [f"syslog:udp:127.0.0.1:{listening.getsockname()[1]}"])
        sink.start()
        sink.put([entry(1)])
        assert MESSAGE.fullmatch(listening.recv(65536)) is not None
        sink.stop()


@pytest.mark.parametrize("way", ["unix", "udp"])
def test_a_record_larger_than_a_datagram_goes_without_its_details_and_holds_nothing_up(
    tmp_path: Path, way: str
) -> None:
    family = socket.AF_UNIX if way == "unix" else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "log") if way == "unix" else ("127.0.0.1", 0))
        listening.settimeout(10)
        where = str(tmp_path / "log") if way == "unix" else f"127.0.0.1:{listening.getsockname()[1]}"
        large = replace(entry(1, Kind.DENIED), details=canonical({"said": "x" * 1_000_000}))
        sink = Outputs(Nowhere(), [f"syslog:{way}:{where}"])
        sink.start()
        sink.put([entry(0), large, entry(2)])
        received = [MESSAGE.fullmatch(listening.recv(65536)) for _ in range(3)]
        sink.stop()
    found = [json.loads(one[6]) for one in received if one is not None]
    assert [one["details"].get("number") for one in found] == [0, None, 2]
    assert found[1]["details"] == {"bytes": len(large.details), "left_out": "too large for a datagram"}
    assert found[1] | {"details": None} == json.loads(as_line(large)) | {"details": None}


def test_a_collector_that_is_away_gets_what_waited_for_it(tmp_path: Path) -> None:
    place = tmp_path / "log"
    sink = Outputs(Nowhere(), [f"syslog:unix:{place}"])
    sink.start()
    sink.put([entry(1)])
    until(lambda: bool(sink.status()[0]["error"]))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(place))
        listening.settimeout(10)
        assert b'"number": 1' in listening.recv(65536)
        until(
            lambda: sink.status()[0] == {"to": f"syslog:unix:{place}", "waiting": 0, "lost": 0, "error": None}
        )
    sink.stop()


def test_what_a_collector_cannot_be_given_is_said_to_it_with_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "MOST_WAITING", 3)
    file = tmp_path / "connections.json"
    sink = Outputs(Nowhere(), [f"file:{file}"])
    sink.put([entry(number) for number in range(10)])  # nothing is written yet
    sink.start()
    until(lambda: file.is_file() and file.read_text().count("\n") == 4)
    sink.stop()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [one["kind"] for one in lines] == ["connection"] * 3 + ["gap"]
    assert lines[3]["details"]["records"] == 7
    assert sink.status()[0]["lost"] == 7


def test_a_file_on_a_full_disk_has_no_torn_line_and_none_twice_once_there_is_room(tmp_path: Path) -> None:
    place = tmp_path / "connections.json"
    file = output_of(f"file:{place}")
    file.write([entry(0)])
    room = place.stat().st_size * 5 // 2
    with files_hold(room), pytest.raises(OSError, match="too large"):
        file.write([entry(1), entry(2), entry(3)])
    assert place.read_text().count("\n") == 1
    file.write([entry(1), entry(2), entry(3)])
    found = [json.loads(line) for line in place.read_text().splitlines()]
    assert [one["details"]["number"] for one in found] == [0, 1, 2, 3]


def overflowing(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Outputs:
    """Return outputs to a collector, of whose ten records seven are too many."""
    monkeypatch.setattr(outputs, "output_of", lambda _: collector)
    monkeypatch.setattr(outputs, "MOST_WAITING", 3)
    sink = Outputs(Nowhere(), ["here"])
    sink.put([entry(number) for number in range(10)])
    return sink


def test_records_before_a_report_of_loss_come_once_though_the_report_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = [OSError(28, "No space left on device")]

    def before(one: Entry) -> None:
        if one.kind is Kind.GAP and failures:
            raise failures.pop()

    collector = Collector(before)
    sink = overflowing(collector, monkeypatch)
    sink.start()
    until(lambda: any(one.kind is Kind.GAP for one in collector.got))
    sink.stop()
    assert [one.said.get("number") for one in collector.got] == [0, 1, 2, None]
    assert collector.got[3].said["records"] == 7


def test_what_is_lost_while_a_loss_is_reported_is_reported_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    more = [[entry(number) for number in range(10, 15)]]

    def before(one: Entry) -> None:
        if one.kind is Kind.GAP and more:
            sink.put(more.pop())

    collector = Collector(before)
    sink = overflowing(collector, monkeypatch)
    sink.start()
    until(lambda: sum(one.kind is Kind.GAP for one in collector.got) == 2)
    until(lambda: sink.status()[0]["waiting"] == 0)
    sink.stop()
    given = [one for one in collector.got if one.kind is not Kind.GAP]
    told = sum(one.said["records"] for one in collector.got if one.kind is Kind.GAP)
    assert len(given) + told == 15
    assert sink.status()[0] == {"to": "a collector", "waiting": 0, "lost": told, "error": None}


def test_only_what_collectors_want_is_sent_and_everything_goes_to_the_journal(tmp_path: Path) -> None:
    kept: list[Entry] = []

    class Kept(Nowhere):
        def put(self, entries: Iterable[Entry], texts: Mapping[str, bytes] | None = None) -> None:
            kept.extend(entries)

    file = tmp_path / "connections.json"
    sink = Outputs(Kept(), [f"file:{file}"])
    sink.start()
    sink.put([entry(1, Kind.PLACED), entry(2, Kind.DENIED)])
    until(file.is_file)
    sink.stop()
    assert [one.kind for one in kept] == [Kind.PLACED, Kind.DENIED]
    assert [json.loads(line)["kind"] for line in file.read_text().splitlines()] == ["denied"]


@pytest.mark.parametrize(
    "place", ["", "file:", "syslog:/dev/log", "syslog:udp:514", "syslog:udp:a:b", "tcp:x:1"]
)
def test_a_place_that_is_none_is_said_so(place: str) -> None:
    with pytest.raises(ZonewallError, match="no place for records"):
        output_of(place)
