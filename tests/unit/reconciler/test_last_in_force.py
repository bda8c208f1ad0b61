"""A controller begins with what was last in force for good; what it finds on disk beside that is an edit."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from support.whole_controller import PATIENCE_S, one_bridge
from zonewall.errors import ConfigurationError
from zonewall.placement.model import BridgeKey
from zonewall.policy.added import added_text
from zonewall.reconciler import last_in_force
from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.watching import watch
from zonewall.store.added_file import write_added
from zonewall.store.generation_file import next_generation
from zonewall.store.in_force_file import LastInForce, read_in_force, write_in_force
from zonewall.values.names import BridgeName, HostName

BRIDGE = BridgeKey(HostName("hv1"), BridgeName("br-int"))
LOST = "hv1/br-int would no longer join its host port mgmt with uplink eth1"
PORTS = {"mgmt": {"role": "host"}, "eth1": {"role": "uplink", "vlans": {100: "acme"}}}
PARTED = {**PORTS, "eth1": {"role": "uplink", "vlans": {0: "acme"}}}


class Site:
    """A state folder and documents, and the controllers that follow each other there."""

    def __init__(self, folder: Path) -> None:
        self.policies, self.state = folder / "policies", folder / "state"
        self.save()
        self.file = self.state / "in-force.json"

    def save(self, ports: Any = PORTS, **said: Any) -> None:
        """Write documents that are another's bytes whenever they say something else."""
        one_bridge(self.policies, attachment="underlay", ports=ports, **said)

    def started(self) -> Reconciler:
        """Start a controller as far as it reads and judges documents."""
        reconciler = Reconciler(self.policies, self.state, b"k" * 32)
        reconciler.kept_bridges.follow([BRIDGE])
        next_generation(self.state / "generation.json", 1)
        return reconciler

    def begun(self) -> Reconciler:
        """Return the first one."""
        reconciler = self.started()
        self.kept(reconciler)
        return reconciler

    @staticmethod
    def kept(reconciler: Reconciler) -> None:
        """Have what is in force, and a bridge that is connected, on disk."""
        reconciler.last.connected({BRIDGE: True})
        assert reconciler.last.keep().result(PATIENCE_S) == ""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        ({"ports": PARTED}, LOST),
        ({"flow-budget": 5}, "5 are its budget"),
        ({"attachment-": 1}, "attachment-"),
    ],
    ids=["may cut off", "past a budget", "invalid"],
)
def test_what_was_refused_is_refused_by_the_next_controller_too(
    site: Site, edit: dict[str, Any], why: str
) -> None:
    first = site.begun()
    site.save(**edit)
    asyncio.run(first.reload())
    assert why in first.refused_configuration
    for _ in range(2):
        again = site.started()
        assert (again.texts, again.documents) == (first.texts, first.documents)
        assert again.are_others_on_disk
        asyncio.run(again.reload())
        assert why in again.refused_configuration
        assert again.texts == first.texts
        assert read_in_force(site.file) == LastInForce(first.texts, frozenset({BRIDGE}))
    site.save()
    assert not site.started().are_others_on_disk


def test_an_edit_between_two_controllers_counts_as_any_other(site: Site) -> None:
    first = site.begun()
    site.save(**{"datapath-id": "00000000000000a2"})
    again = site.started()
    assert again.texts == first.texts
    asyncio.run(again.reload())
    assert (again.refused_configuration, again.revision) == ("", 2)
    assert again.texts != first.texts
    site.kept(again)
    assert site.started().texts == again.texts


def test_a_bridge_that_nobody_was_connected_with_loses_no_way(site: Site) -> None:
    assert site.started().last.keep().result(PATIENCE_S) == ""
    site.save(PARTED)
    again = site.started()
    asyncio.run(again.reload())
    assert again.refused_configuration == ""


def test_what_is_on_trial_is_not_what_the_next_one_begins_with(site: Site) -> None:
    first = site.begun()
    before = first.texts
    site.save(PARTED)
    configuration, texts = asyncio.run(first.read(site.policies))
    assert first.apply(configuration, texts, is_trial=True)
    site.kept(first)
    assert site.started().texts == before
    first.last.take(configuration, texts)
    site.kept(first)
    again = site.started()
    assert again.texts == texts
    assert not again.are_others_on_disk


def test_what_was_added_by_command_is_there_and_is_no_edit(site: Site) -> None:
    first = site.begun()
    end = {"name": "one", "tenant": "acme", "mac": "52:54:00:00:00:07", "port": {"name": "one"}}
    write_added(first.added_file, added_text([{**end, "ips": ["10.0.0.7"]}]))
    again = site.started()
    assert "acme/one" in again.documents.inventory.endpoints
    assert not again.are_others_on_disk
    # Where it does not go with what was in force, what is on disk counts.
    site.save(**{"datapath-id": "00000000000000a2"})
    text = site.policies / "all.yaml"
    text.write_text(text.read_text().replace("name: vm", "name: other"))
    write_added(first.added_file, added_text([{**end, "ips": ["10.0.0.1"]}]))
    with capture_logs() as logged, pytest.raises(ConfigurationError, match=r"10\.0\.0\.1"):
        site.started()
    assert [one["event"] for one in logged] == ["last_in_force_not_used"]


def test_where_the_documents_are_gone_those_in_force_stay_and_it_is_told(site: Site) -> None:
    first = site.begun()
    (site.policies / "all.yaml").rename(site.policies.parent / "all.yaml")
    site.policies.rmdir()
    again = site.started()
    looked, stop = asyncio.Event(), asyncio.Event()
    trials: Any = type("Trials", (), {"trial": None, "moved": asyncio.Event()})()

    async def look() -> None:
        watching = asyncio.create_task(watch(again, trials, stop, looked=looked))
        async with asyncio.timeout(PATIENCE_S):
            await looked.wait()
        stop.set()
        await watching

    asyncio.run(look())
    assert again.texts == first.texts
    assert "there is no such directory" in again.refused_configuration
    assert again.faults.status() == []


@pytest.mark.parametrize("what", ["an older version was started since", "this version cannot read them"])
def test_what_does_not_say_what_was_in_force_last_is_not_used(site: Site, what: str) -> None:
    first = site.begun()
    site.save(PARTED)
    if what.startswith("an older"):
        (site.state / "generation.json").write_text('{"generation": 7}')
    else:
        write_in_force(site.file, LastInForce({"all.yaml": b"kind: nothing\n"}))
    again = site.started()
    assert again.texts != first.texts
    assert not again.are_others_on_disk
    if what.startswith("an older"):
        assert not site.file.exists()


def test_a_disk_that_takes_nothing_is_told_of_and_leaves_nothing_old(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_in_force, "RETRY_S", 0.0)
    first = site.begun()

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    site.save(**{"datapath-id": "00000000000000a2"})
    with monkeypatch.context() as full:
        full.setattr("zonewall.store.in_force_file.replace_file", fails)
        asyncio.run(first.reload())
        assert "No space left on device" in first.last.keep().result(PATIENCE_S)
        assert first.last.error
        assert not site.file.exists(), "it would say what is in force no more"
    assert first.last.keep().result(PATIENCE_S) == first.last.error == ""
    assert site.started().texts == first.texts


def test_nothing_is_written_where_nothing_is_new(site: Site) -> None:
    site.begun()
    before = site.file.stat().st_ino, site.file.stat().st_mtime_ns
    again = site.started()
    site.kept(again)
    asyncio.run(again.reload())
    site.kept(again)
    assert (site.file.stat().st_ino, site.file.stat().st_mtime_ns) == before
