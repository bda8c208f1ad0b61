"""Folders and links that come, go and are swapped are followed, also where the kernel tells little."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TextIO

import pytest

from support.followed_directory import (
    BOTH,
    PATIENCE_S,
    Reader,
    folder_of,
    play,
    until,
    until_all,
    until_text,
)
from zonewall.store import polled_watch, watch
from zonewall.store.folders import Folders
from zonewall.store.inotify_watch import Followed


def test_a_mounted_configuration_changes_when_its_data_link_is_swapped(tmp_path: Path) -> None:
    directory = tmp_path / "policies"
    folder_of(directory / "..1", "1")
    (directory / "..data").symlink_to("..1")
    for name in BOTH:
        (directory / name).symlink_to(f"..data/{name}")

    async def scene(reader: Reader) -> None:
        for version in range(2, 5):
            folder_of(directory / f"..{version}", str(version))
            (directory / "..data_tmp").symlink_to(f"..{version}")
            (directory / "..data_tmp").replace(directory / "..data")
            shutil.rmtree(directory / f"..{version - 1}")
            await until_all(reader, str(version))
        (directory / "..4" / "a.yaml").write_text("written where the link leads")
        await until(lambda: reader.now["a.yaml"] == "written where the link leads")

    reader = play(directory, scene)
    assert [texts for texts in reader.seen if len(set(texts.values())) > 1] == [reader.now]


def test_a_release_that_is_swapped_in_by_a_link_is_read_and_followed(tmp_path: Path) -> None:
    folder_of(tmp_path / "releases" / "1" / "policies", "1")
    (tmp_path / "current").symlink_to("releases/1")

    async def scene(reader: Reader) -> None:
        for version in ("2", "3"):
            folder_of(tmp_path / "releases" / version / "policies", version)
            (tmp_path / "next").symlink_to(f"releases/{version}")
            (tmp_path / "next").replace(tmp_path / "current")
            await until_all(reader, version)
        (tmp_path / "current" / "policies" / "a.yaml").write_text("changed")
        await until(lambda: reader.now["a.yaml"] == "changed")

    reader = play(tmp_path / "current" / "policies", scene)
    assert [dict.fromkeys(BOTH, version) for version in "123"] == reader.seen[:3]


def test_who_writes_in_a_release_before_keeps_no_document_of_the_next_from_being_read(
    tmp_path: Path,
) -> None:
    def held(place: Path) -> TextIO:
        opened = (place / "a.yaml").open("w")
        print("half", file=opened, flush=True)
        return opened

    folder_of(tmp_path / "1" / "x", "1")
    (tmp_path / "current").symlink_to("1")

    async def scene(reader: Reader) -> None:
        with held(tmp_path / "1" / "x"):
            folder_of(tmp_path / "2" / "x", "2")
            (tmp_path / "next").symlink_to("2")
            (tmp_path / "next").replace(tmp_path / "current")
            await until(lambda: reader.now == {"x/a.yaml": "2", "x/b.yaml": "2"})
            with held(tmp_path / "2" / "x"):
                (tmp_path / "2" / "x").rename(tmp_path / "x")
                await until(lambda: reader.now == {})

    assert "half\n" not in play(tmp_path / "current", scene).ever("x/a.yaml")


def test_a_folder_that_is_renamed_or_removed_and_made_again_is_followed(
    directory: Path, tmp_path: Path
) -> None:
    async def scene(reader: Reader) -> None:
        folder_of(tmp_path / "new", "new")
        directory.rename(tmp_path / "before")
        (tmp_path / "new").rename(directory)
        await until(lambda: reader.now == dict.fromkeys(BOTH, "new"))
        shutil.rmtree(directory)
        await until(lambda: reader.now == {})
        folder_of(directory, "again")
        await until(lambda: reader.now == dict.fromkeys(BOTH, "again"))
        (directory / "a.yaml").write_text("changed")
        await until(lambda: reader.now["a.yaml"] == "changed")
        (tmp_path / "before" / "a.yaml").write_text("elsewhere")
        (directory / "b.yaml").unlink()
        await until(lambda: reader.now == {"a.yaml": "changed"})

    assert "elsewhere" not in play(directory, scene).ever("a.yaml")


def test_a_directory_that_is_not_there_yet_is_followed_once_it_is(tmp_path: Path) -> None:
    async def scene(reader: Reader) -> None:
        folder_of(tmp_path / "above" / "policies", "new")
        await until(lambda: reader.now == dict.fromkeys(BOTH, "new"))

    play(tmp_path / "above" / "policies", scene)


def test_folders_in_it_are_followed_as_they_come_and_go(directory: Path, tmp_path: Path) -> None:
    async def scene(reader: Reader) -> None:
        folder_of(directory / "x" / "y", "1")
        await until(lambda: reader.now.get("x/y/a.yaml") == "1" and "x/y/b.yaml" in reader.now)
        (directory / "x" / "y" / "a.yaml").write_text("2")
        await until(lambda: reader.now["x/y/a.yaml"] == "2")
        (directory / "x").rename(directory / "z")
        await until(lambda: reader.now.get("z/y/a.yaml") == "2" and "x/y/a.yaml" not in reader.now)
        (directory / "z" / "y" / "a.yaml").write_text("3")
        await until(lambda: reader.now["z/y/a.yaml"] == "3")
        (directory / "z").rename(tmp_path / "away")
        await until(lambda: reader.now == dict.fromkeys(BOTH, "old"))
        (directory / ".hidden").mkdir()
        (directory / ".hidden" / "c.yaml").write_text("hidden")
        (directory / "linked.yaml").hardlink_to(directory / "a.yaml")
        await until(lambda: reader.now.get("linked.yaml") == "old")

    assert not any("hidden" in texts.values() for texts in play(directory, scene).seen)


def test_a_document_that_is_a_link_to_another_changes_with_it(directory: Path, tmp_path: Path) -> None:
    (directory / "b.yaml").unlink()
    (directory / "b.yaml").symlink_to("a.yaml")
    (directory / "c.yaml").symlink_to(tmp_path / "elsewhere" / "c.yaml")

    async def scene(reader: Reader) -> None:
        (directory / "a.yaml").write_text("new")
        folder_of(tmp_path / "elsewhere", "new", ("c.yaml",))
        await until(lambda: len(reader.now) == 3 and set(reader.now.values()) == {"new"})
        (tmp_path / "elsewhere" / "c.yaml").write_text("newer")
        await until_text(reader, "c.yaml", "newer")
        (directory / "b.yaml").unlink()
        (directory / "b.yaml").write_text("by itself")
        await until_text(reader, "b.yaml", "by itself")

    play(directory, scene)


def test_a_directory_for_which_no_watch_is_left_ends_the_following(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: Folders) -> None:
        raise OSError(28, "no watches left")

    async def scene(_: Reader) -> None:
        monkeypatch.setattr(Folders, "look", none_left)
        (directory / "x").mkdir()
        await asyncio.sleep(PATIENCE_S)

    with pytest.raises(OSError, match="no watches left"):
        play(directory, scene)


def test_events_that_were_lost_have_everything_read(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())

    async def scene(reader: Reader) -> None:
        (directory / "x").mkdir()
        await until(lambda: reader.begun > 0)
        for number in range(most):  # before the loop turns: none of them is heard of meanwhile
            os.utime(directory / BOTH[number % 2])
        folder_of(directory / "x" / "y", "new")
        await until(lambda: "x/y/b.yaml" in reader.now)
        (directory / "x" / "y" / "b.yaml").write_text("newer")
        await until(lambda: reader.now["x/y/b.yaml"] == "newer")

    play(directory, scene)


def test_where_the_kernel_does_not_tell_documents_are_looked_at_again_and_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: Path) -> Followed:
        raise OSError(28, "no watches left")

    monkeypatch.setattr(watch, "Followed", none_left)

    monkeypatch.setattr(polled_watch, "POLL_S", 0.02)

    async def scene(reader: Reader) -> None:
        (directory / "a.yaml").write_text("1")
        await until(lambda: reader.now["a.yaml"] == "1")

        def second() -> None:
            reader.while_reading = lambda: None
            (directory / "b.yaml").write_text("22")

        reader.while_reading = second
        (directory / "a.yaml").write_text("22")
        await until(lambda: reader.now == dict.fromkeys(BOTH, "22"))
        shutil.rmtree(directory)
        await until(lambda: reader.now == {})

    assert {"a.yaml": "22", "b.yaml": "old"} not in play(directory, scene).seen


@pytest.mark.parametrize(
    ("kind", "is_remote"), [("ext4", False), ("nfs4", True), ("fuse.sshfs", True), ("9p", True)]
)
def test_remote_filesystems_are_known_by_their_mount(tmp_path: Path, kind: str, is_remote: bool) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 0:99 / /elsewhere rw - nfs server:/x rw\n"
        f"22 1 {os.major(device)}:{os.minor(device)} / {tmp_path} rw shared:1 - {kind} what rw\n"
    )
    assert watch.is_remote(tmp_path, mounts) is is_remote
    assert not watch.is_remote(tmp_path / "nowhere", mounts)
    assert not watch.is_remote(tmp_path, tmp_path / "no-such-file")
