"""What stands beside our figures: OVN's of this run as far as it came, recorded ones in place of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench import ovn_measure
from bench.ovn_measure import ALL, FULL, LOADED, RECORDED, RESTARTED, Size, peer


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    peer.cache_clear()
    yield
    peer.cache_clear()


def _ovn_that(monkeypatch: pytest.MonkeyPatch, values: tuple[float, ...], end: Exception | None) -> None:
    """Have OVN take these times to load, and then end."""

    @contextmanager
    def running(folder: Path, longest_s: float) -> Iterator[object]:
        assert folder.is_dir()
        assert longest_s > 0
        yield object()

    class _Scripted:
        def __init__(self, *_: object) -> None: ...

        def measure(self) -> Iterator[tuple[str, float]]:
            yield from ((LOADED, value) for value in values)
            if end is not None:
                raise end

    monkeypatch.setattr(ovn_measure, "missing_programs", lambda: ())
    monkeypatch.setattr(ovn_measure, "running_ovn", running)
    monkeypatch.setattr(ovn_measure, "_Workload", _Scripted)


def test_without_its_packages_recorded_values_stand_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ovn_measure, "missing_programs", lambda: ("ovn-northd",))
    ovn = peer(FULL, 1)
    assert [ovn.value(what) for what in ALL] == list(RECORDED[FULL.endpoints, FULL.rules])
    assert ovn.note(LOADED) == "OVN's value is a recorded one: ovn-northd not installed"


def test_what_was_measured_before_a_daemon_ended_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    _ovn_that(monkeypatch, (3.0, 1.0, 2.0), ChildProcessError("ovn-controller ended with -11"))
    ovn = peer(FULL, 3)
    assert (ovn.value(LOADED), ovn.note(LOADED)) == (2.0, "OVN measured in this run")
    assert ovn.value(RESTARTED) == 29_600.0
    assert ovn.note(RESTARTED).endswith("OVN did not come through (ovn-controller ended with -11)")


def test_nothing_is_said_of_a_size_that_nobody_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    _ovn_that(monkeypatch, (), TimeoutError("it took too long"))
    ovn = peer(Size(7, 7), 1)
    assert ovn.value(LOADED) is None
    assert ovn.note(LOADED) == ""


def test_it_is_measured_once_for_all_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    _ovn_that(monkeypatch, (5.0,), None)
    first = peer(FULL, 2)
    _ovn_that(monkeypatch, (6.0,), None)
    assert peer(FULL, 2) is first
    assert first.value(LOADED) == 5.0
