"""Endpoints that are added while the controller runs: in force, on disk and in the journal, or none of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from zonewall.errors import ConfigurationError, ZonewallError
from zonewall.journal.record import Entry, Kind
from zonewall.policy.added import ADDED
from zonewall.reconciler.added import AddedEndpoints, endpoint_rows
from zonewall.reconciler.reconciler import Reconciler

INVENTORY = """\
kind: inventory
hosts: {hv1: {bridges: {br-int: {attachment: fabric}}}}
endpoints:
  - {name: web1, tenant: acme, iface-id: web1, mac: "52:54:00:00:00:01", ips: [10.0.0.1]}
---
kind: tenant
tenant: acme
"""
DB1 = {"name": "db1", "tenant": "acme", "iface-id": "db1", "mac": "52:54:00:00:00:02", "ips": ["10.0.0.2"]}
DB2 = {"name": "db2", "tenant": "acme", "iface-id": "db2", "mac": "52:54:00:00:00:03", "ips": ["10.0.0.3"]}


class Kept:
    """A sink that keeps what it is given in memory."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def put(self, entries: Iterable[Entry], texts: Mapping[str, bytes] | None = None) -> None:
        self.entries += entries


class Scene:
    """A controller's heart without bridges, and what may be asked of it."""

    def __init__(self, folder: Path) -> None:
        policies = folder / "policies"
        policies.mkdir(exist_ok=True)
        if not (policies / "all.yaml").exists():
            (policies / "all.yaml").write_text(INVENTORY)
        self.document = policies / "all.yaml"
        self.file = folder / "state" / "endpoints.yaml"
        self.journal = Kept()
        self.reconciler = Reconciler(policies, folder / "state", b"k" * 32, self.journal)
        self.on_trial = False
        self.added = AddedEndpoints(self.reconciler, lambda: self.on_trial)

    @property
    def names(self) -> list[str]:
        return sorted(self.reconciler.world.configuration.inventory.endpoints)

    def add(self, *parts: object, **said: Any) -> None:
        asyncio.run(self.added.add({"endpoints": list(parts), **said}, "root"))

    def remove(self, *names: object) -> None:
        asyncio.run(self.added.remove({"endpoints": list(names)}, "root"))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_what_is_added_is_in_force_and_there_after_a_restart(scene: Scene, tmp_path: Path) -> None:
    scene.add(DB1, DB2)
    assert scene.names == ["acme/db1", "acme/db2", "acme/web1"]
    assert Scene(tmp_path).names == scene.names
    scene.remove("acme/db1")
    assert Scene(tmp_path).names == scene.names == ["acme/db2", "acme/web1"]
    scene.remove("acme/db2")
    assert scene.file.read_bytes() == b""
    assert Scene(tmp_path).names == ["acme/web1"]


def test_the_journal_has_who_added_what_and_the_document_of_it(scene: Scene) -> None:
    scene.reconciler.recorder.configured(scene.reconciler.documents, scene.reconciler.texts, "started")
    scene.journal.entries.clear()
    scene.add(DB1)
    scene.remove("acme/db1")
    assert [(one.kind, one.cause, one.endpoint) for one in scene.journal.entries] == [
        (Kind.POLICY, "root", ""),
        (Kind.CREATED, "root", "acme/db1"),
        (Kind.ADMIN, "root", "acme/db1"),
        (Kind.POLICY, "root", ""),
        (Kind.DELETED, "root", "acme/db1"),
        (Kind.ADMIN, "root", "acme/db1"),
    ]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([{**DB1, "name": "web1"}], "there is an endpoint 'acme/web1' already; rename one"),
        ([{**DB1, "mac": "52:54:00:00:00:01"}], "its MAC is acme/web1's already"),
        ([{**DB1, "ips": ["10.0.0.1"]}], "10.0.0.1 is acme/web1's already"),
        ([{**DB1, "iface-id": "web1"}], "iface-id 'web1' is acme/web1's already"),
        ([DB1, {**DB2, "mac": "nonsense"}], "nonsense"),
        ([{**DB1, "port": {"host": "hv9", "name": "tap1"}}], "'hv9' is no host"),
        (["db1"], "1 to 1000 endpoints as an inventory has them"),
        ([], "1 to 1000 endpoints"),
        ([DB1] * 1001, "1 to 1000 endpoints"),
        ([{**DB1, "labels": {"role": "\x1b[2J"}}], "a control character (U+001B)"),
    ],
)
def test_what_cannot_be_used_beside_the_documents_changes_nothing(
    scene: Scene, parts: list[object], message: str
) -> None:
    with pytest.raises(ZonewallError) as refused:
        scene.add(*parts)
    assert message in str(refused.value)
    assert scene.names == ["acme/web1"]
    assert not scene.file.exists()
    assert scene.journal.entries == []
    assert scene.reconciler.refused_configuration == ""


def test_one_that_was_added_is_described_anew_only_where_that_is_said(scene: Scene) -> None:
    scene.add(DB1)
    with pytest.raises(ZonewallError, match="already"):
        scene.add({**DB1, "labels": {"role": "db"}})
    scene.add({**DB1, "labels": {"role": "db"}}, replace=True)
    declared = scene.reconciler.documents.inventory.endpoints
    assert {key: one.labels for key, one in declared.items() if key.endswith("db1")} == {
        "acme/db1": {"role": "db"}
    }
    with pytest.raises(ZonewallError, match="already"):
        scene.add({**DB1, "name": "web1"}, replace=True)


def test_those_of_documents_are_removed_there(scene: Scene) -> None:
    for name, message in (
        ("acme/web1", "is in the documents, at all.yaml:4"),
        ("acme/x", "no such endpoint"),
    ):
        with pytest.raises(ZonewallError, match=message):
            scene.remove(name)
    with pytest.raises(ZonewallError, match="names, each tenant/name"):
        scene.remove(7)


def test_documents_that_say_the_same_endpoint_later_are_refused_and_what_was_added_stays(
    scene: Scene,
) -> None:
    scene.add(DB1)
    line = '  - {name: db1, tenant: acme, iface-id: db1, mac: "52:54:00:00:00:02"}\n'
    scene.document.write_text(INVENTORY.replace("---\n", line + "---\n"))
    asyncio.run(scene.reconciler.reload())
    assert "(added by command):3:3: there is an endpoint 'acme/db1'" in scene.reconciler.refused_configuration
    assert scene.names == ["acme/db1", "acme/web1"]
    scene.add(DB2)
    assert "acme/db1" in scene.reconciler.refused_configuration, "the documents are refused still"
    scene.remove("acme/db1")
    asyncio.run(scene.reconciler.reload())
    assert scene.reconciler.refused_configuration == ""
    assert scene.names == ["acme/db1", "acme/db2", "acme/web1"]


def test_a_change_of_documents_keeps_what_was_added(scene: Scene) -> None:
    scene.add(DB1)
    scene.document.write_text(INVENTORY.replace("name: web1", "name: web9"))
    asyncio.run(scene.reconciler.reload())
    assert scene.names == ["acme/db1", "acme/web9"]


def test_nothing_is_added_while_a_configuration_is_on_trial(scene: Scene) -> None:
    scene.on_trial = True
    with pytest.raises(ZonewallError, match="on trial; say `zonewall confirm`"):
        scene.add(DB1)


def test_a_state_folder_that_cannot_be_written_refuses_and_changes_nothing(scene: Scene) -> None:
    scene.file.mkdir(parents=True)
    with pytest.raises(ZonewallError, match=r"endpoints.yaml: .*; nothing was changed"):
        scene.add(DB1)
    assert scene.names == ["acme/web1"]


def test_a_damaged_file_keeps_the_controller_from_starting_without_its_endpoints(
    scene: Scene, tmp_path: Path
) -> None:
    scene.add(DB1)
    scene.file.write_text("kind: inventory\nendpoints: [}\n")
    with pytest.raises(ConfigurationError, match=r"\(added by command\):2"):
        Scene(tmp_path)


def test_two_that_add_at_once_are_both_there(scene: Scene) -> None:
    async def both() -> None:
        asks: list[Callable[[], Awaitable[None]]] = [
            lambda: scene.added.add({"endpoints": [DB1]}, "root"),
            lambda: scene.added.add({"endpoints": [DB2]}, "root"),
            scene.reconciler.reload,
        ]
        await asyncio.gather(*(ask() for ask in asks))

    asyncio.run(both())
    assert scene.names == ["acme/db1", "acme/db2", "acme/web1"]
    assert ADDED in scene.reconciler.texts


def test_the_list_says_what_describes_each(scene: Scene) -> None:
    scene.add(DB1)
    rows = {row["endpoint"]: (row["added"], row["at"]) for row in endpoint_rows(scene.reconciler)}
    assert rows == {"acme/db1": (True, f"{ADDED}:3"), "acme/web1": (False, "all.yaml:4")}
