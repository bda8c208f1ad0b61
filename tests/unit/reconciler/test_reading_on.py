"""Whatever reading a document leads to, the next one is read."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from zonewall.policy.model import Configuration
from zonewall.reconciler import reconciler as reconciler_module
from zonewall.reconciler import watching
from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.trial import Trials
from zonewall.store.watch import changes

TENANT = "kind: tenant\ntenant: acme\n"


def tenants(reconciler: Reconciler) -> set[str]:
    return set(reconciler.world.configuration.tenants)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "acme.yaml").write_text(TENANT)
    return folder / "more.yaml"


@pytest.fixture
def reconciler(document: Path, tmp_path: Path) -> Reconciler:
    return Reconciler(document.parent, tmp_path / "state", b"k" * 32)


def test_what_nobody_foresaw_of_documents_is_told_refuses_them_and_the_next_are_read(
    document: Path, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deep(*_: object) -> object:
        raise RecursionError("maximum recursion depth exceeded")

    document.write_text("kind: tenant\ntenant: blue\n")
    with monkeypatch.context() as patched:
        patched.setattr(reconciler_module, "load_accepted", deep)
        asyncio.run(reconciler.reload())
    assert tenants(reconciler) == {"acme"}
    assert "RecursionError" in reconciler.refused_configuration
    assert "a fault of zonewall" in reconciler.refused_configuration
    (told,) = reconciler.faults.status()
    assert "RecursionError" in told["fault"]
    asyncio.run(reconciler.reload())
    assert tenants(reconciler) == {"acme", "blue"}
    assert reconciler.refused_configuration == ""


def test_what_nobody_foresaw_on_the_way_into_force_changes_nothing(
    document: Path, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = reconciler.documents

    def broken(_: Configuration) -> Configuration:
        raise KeyError("broken")

    document.write_text("kind: tenant\ntenant: blue\n")
    with monkeypatch.context() as patched:
        patched.setattr(reconciler, "amend", broken)
        asyncio.run(reconciler.reload())
    assert reconciler.documents is before
    assert "KeyError" in reconciler.refused_configuration
    asyncio.run(reconciler.reload())
    assert tenants(reconciler) == {"acme", "blue"}


def test_documents_that_are_in_force_already_change_and_record_nothing(
    document: Path, reconciler: Reconciler
) -> None:
    told: list[Configuration] = []
    reconciler.on_hosts.append(told.append)
    document.write_text("kind: nonsense\n")
    asyncio.run(reconciler.reload())
    assert reconciler.refused_configuration
    document.unlink()
    read_at = reconciler.loaded_at
    asyncio.run(reconciler.reload())
    assert (reconciler.revision, reconciler.refused_configuration, told) == (1, "", [])
    assert reconciler.loaded_at > read_at


def test_who_follows_hosts_is_told_of_their_edits_alone(document: Path, reconciler: Reconciler) -> None:
    told: list[int] = []
    reconciler.on_hosts.append(lambda configuration: told.append(len(configuration.inventory.hosts)))
    document.write_text("kind: tenant\ntenant: blue\n")
    asyncio.run(reconciler.reload())
    assert (tenants(reconciler), told) == ({"acme", "blue"}, [])
    hosts = document.with_name("hosts.yaml")
    hosts.write_text("kind: inventory\nhosts: {hv1: {bridges: {br0: {attachment: fabric}}}}\n")
    asyncio.run(reconciler.reload())
    document.unlink()
    asyncio.run(reconciler.reload())
    assert (tenants(reconciler), told) == ({"acme"}, [1])


class Change:
    """A change as whoever watches tells of it."""

    def __init__(self, *unfinished: str, is_mixture: bool = False) -> None:
        self.unfinished = frozenset(unfinished)
        self._is_mixture = is_mixture
        self.asked: list[bool] = []
        """Whether a document was found empty that was not, each time."""

    async def stands(self, *, is_emptied: bool = False) -> bool:
        self.asked.append(is_emptied)
        return not self._is_mixture


def test_what_turns_out_to_be_a_mixture_is_neither_applied_nor_refused(
    document: Path, reconciler: Reconciler
) -> None:
    for text in ("kind: tenant\ntenant: blue\n", "kind: nonsense\n"):
        document.write_text(text)
        asyncio.run(reconciler.reload(Change(is_mixture=True)))
        assert tenants(reconciler) == {"acme"}
        assert (reconciler.revision, reconciler.refused_configuration) == (1, "")
    asyncio.run(reconciler.reload(Change()))
    assert "more.yaml:1:7" in reconciler.refused_configuration


def test_a_document_that_is_empty_and_was_not_is_asked_about_as_such(
    document: Path, reconciler: Reconciler
) -> None:
    """Empty it says nothing that would be wrong: a tenant would be gone, with all its connections."""
    for text, is_emptied in (("kind: tenant\ntenant: blue\n", False), ("", True), ("", False)):
        document.write_text(text)
        change = Change()
        asyncio.run(reconciler.reload(change))
        assert change.asked == [is_emptied]


def test_documents_that_somebody_writes_stay_as_they_were_and_others_are_applied(
    document: Path, reconciler: Reconciler
) -> None:
    acme = document.parent / "acme.yaml"
    acme.write_text("kind: tenant\n")
    document.write_text("kind: tenant\ntenant: blue\n")
    new = document.parent / "new.yaml"
    new.write_text("kind: tenant\ntenant: gre")
    asyncio.run(reconciler.reload(Change("acme.yaml", "new.yaml")))
    assert tenants(reconciler) == {"acme", "blue"}
    assert reconciler.texts["acme.yaml"] == TENANT.encode()
    assert "new.yaml" not in reconciler.texts
    acme.write_text("kind: tenant\ntenant: acme\nzones: {}\n")
    new.write_text("kind: tenant\ntenant: green\n")
    asyncio.run(reconciler.reload(Change()))
    assert tenants(reconciler) == {"acme", "blue", "green"}
    assert reconciler.texts["acme.yaml"] == acme.read_bytes()


def test_what_was_saved_before_the_directory_was_watched_is_read(
    document: Path, reconciler: Reconciler, tmp_path: Path
) -> None:
    document.write_text("kind: tenant\ntenant: blue\n")

    async def scene() -> None:
        stop = asyncio.Event()
        trials = Trials(reconciler, set, _alive, tmp_path / "applied.json", document.parent)
        following = asyncio.create_task(watching.watch(reconciler, trials, stop))
        await until(lambda: tenants(reconciler) == {"acme", "blue"}, following)
        document.unlink()
        await until(lambda: tenants(reconciler) == {"acme"}, following)
        stop.set()
        await following

    asyncio.run(scene())


def test_a_directory_that_cannot_be_watched_for_a_while_is_read_when_it_can(
    document: Path, reconciler: Reconciler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[Path]()

    async def failing_once(directory: Path, stop: asyncio.Event, _: object) -> AsyncIterator[None]:
        asked.append(directory)
        if len(asked) == 1:
            document.write_text("kind: tenant\ntenant: blue\n")
            raise OSError(28, "inotify watch limit reached")
        async for _ in changes(directory, stop):
            yield

    async def scene() -> None:
        stop = asyncio.Event()
        trials = Trials(reconciler, set, _alive, tmp_path / "applied.json", document.parent)
        following = asyncio.create_task(watching.watch(reconciler, trials, stop))
        await until(lambda: tenants(reconciler) == {"acme", "blue"}, following)
        stop.set()
        await following

    monkeypatch.setattr(watching, "AGAIN_S", 0.05)
    monkeypatch.setattr(watching, "changes", failing_once)
    asyncio.run(scene())
    assert "inotify watch limit reached" in reconciler.faults.status()[0]["fault"]


def test_what_is_saved_while_another_directory_is_on_trial_is_read_when_that_goes_back(
    document: Path, reconciler: Reconciler, tmp_path: Path
) -> None:
    trial = tmp_path / "trial"
    shutil.copytree(document.parent, trial)

    async def scene() -> None:
        stop = asyncio.Event()
        trials = Trials(reconciler, set, _alive, tmp_path / "applied.json", document.parent)
        following = asyncio.create_task(watching.watch(reconciler, trials, stop))
        document.write_text("kind: tenant\ntenant: blue\n")
        await until(lambda: tenants(reconciler) == {"acme", "blue"}, following)
        await trials.apply({"directory": str(trial), "confirm": 1}, "root")
        assert tenants(reconciler) == {"acme"}
        document.write_text("kind: tenant\ntenant: green\n")
        await until(lambda: trials.trial is None, following)
        await until(lambda: tenants(reconciler) == {"acme", "green"}, following)
        stop.set()
        await following

    asyncio.run(scene())


async def _alive(_: object) -> bool:
    return True


async def until(condition: Callable[[], bool], task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            assert not task.done()
            await asyncio.sleep(0.02)
