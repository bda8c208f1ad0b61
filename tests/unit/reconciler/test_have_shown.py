"""Who has shown a certificate is on disk soon, in few writings; a damaged file believes nobody without."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from zonewall.errors import ZonewallError
from zonewall.reconciler import have_shown
from zonewall.reconciler.have_shown import Certificates
from zonewall.store.certificates_file import HaveShown, read_have_shown, write_have_shown
from zonewall.values.names import HostName

HV1, HV2 = HostName("hv1"), HostName("hv2")
PATIENCE_S = 30.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_who_has_shown_one_is_known_to_the_next_each_kind_of_connection_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "state" / "certificates.json"
    first = Certificates(file)
    first.bridges.add(HV1)
    first.databases.add(HV2)
    until(lambda: file.exists() and read_have_shown(file) == HaveShown(frozenset({HV1}), frozenset({HV2})))
    first.stop()
    again = Certificates(file)
    assert (HV1 in again.bridges, HV2 in again.bridges) == (True, False)
    assert (HV1 in again.databases, HV2 in again.databases) == (False, True)
    again.bridges.add(HV2)
    again.stop()
    assert read_have_shown(file).bridges == {HV1, HV2}


def test_a_fleet_that_shows_its_certificates_at_once_is_a_few_writings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def write(file: Path, bridges: Iterable[HostName], databases: Iterable[HostName]) -> None:
        write_have_shown(file, bridges, databases)
        sizes.append(file.stat().st_size)

    monkeypatch.setattr(have_shown, "write_have_shown", write)
    file = tmp_path / "certificates.json"
    certificates = Certificates(file)
    hosts = [HostName(f"hv{number}") for number in range(10_000)]
    began = time.monotonic()

    def connect(kind: have_shown.Hosts) -> None:
        for host in hosts:
            kind.add(host)

    both = [threading.Thread(target=connect, args=(kind,)) for kind in _kinds(certificates)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    certificates.stop()
    assert len(sizes) <= 2 + (time.monotonic() - began) / have_shown.PAUSE_S
    assert read_have_shown(file) == HaveShown(frozenset(hosts), frozenset(hosts))
    before = len(sizes)
    again = Certificates(file)
    for host in hosts:
        again.bridges.add(host)
    again.stop()
    assert len(sizes) == before, "nobody was new"


def _kinds(certificates: Certificates) -> tuple[have_shown.Hosts, ...]:
    return certificates.bridges, certificates.databases


def test_what_could_not_be_written_is_told_and_written_once_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(have_shown, "PAUSE_S", 0.01)
    file = tmp_path / "certificates.json"
    certificates = Certificates(file)
    (file / "in-the-way").mkdir(parents=True)
    certificates.bridges.add(HV1)
    until(lambda: bool(certificates.error))
    assert str(file) in certificates.error
    assert "a restart would believe hosts over plain TCP" in certificates.error
    (file / "in-the-way").rmdir()
    file.rmdir()
    until(lambda: file.exists() and not certificates.error)
    certificates.stop()
    assert read_have_shown(file).bridges == {HV1}


def test_what_cannot_be_written_holds_up_no_end(tmp_path: Path) -> None:
    file = tmp_path / "certificates.json"
    certificates = Certificates(file)
    (file / "in-the-way").mkdir(parents=True)
    certificates.bridges.add(HV1)
    certificates.stop()
    assert str(file) in certificates.error


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "{}", "[" * 100_000, "\xff", '{"bridges": []}',
        '{"bridges": ["hv1"], "databases": {}}', '{"bridges": [1], "databases": []}',
        '{"bridges": [], "databases": [], "more": []}',
    ],
)  # fmt: skip
def test_a_damaged_file_believes_nobody_and_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    file = tmp_path / "certificates.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ZonewallError, match=r"json: cannot be read \(.*restore it, or remove it"):
        Certificates(file)


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "certificates.json").mkdir()
    with pytest.raises(ZonewallError, match=r"\(Is a directory\)"):
        Certificates(tmp_path / "certificates.json")


def test_a_host_has_a_line_of_its_own_that_can_be_taken_out_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "certificates.json"
    write_have_shown(file, [HV2, HV1], [HV1])
    lines = file.read_text().splitlines()
    assert json.loads("\n".join(line for line in lines if line != '"hv1",')) == {
        "bridges": ["hv2"],
        "databases": ["hv1"],
    }
