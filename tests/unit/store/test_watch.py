"""Documents that real writers write in real ways are read whole, together, and as soon as they are."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Coroutine, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TextIO

import pytest

from zonewall.policy.files import read_files
from zonewall.store import inotify_watch, polled_watch, settling, watch
from zonewall.store.folders import Folders
from zonewall.store.inotify_watch import Followed

PATIENCE_S = 60.0
BOTH = ("a.yaml", "b.yaml")


@pytest.fixture(autouse=True)
def busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are waited for as long as it takes: the machine may be busy."""
    for module in (settling, inotify_watch):
        monkeypatch.setattr(module, "LONGEST_S", PATIENCE_S)


class Reader:
    """Reads a directory as often as it is said to have changed, and keeps what counted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.seen = [self._texts({})]
        self.begun = 0
        self.while_reading: Callable[[], object] = lambda: None

    async def follow(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        async with aclosing(watch.changes(self.directory, stop)) as told:
            await anext(told)
            ready.set()
            async for change in told:
                self.begun += 1
                as_before = {name: self.now.get(name, "") for name in change.unfinished}
                texts = self._texts(as_before)
                self.while_reading()
                if await change.stands():
                    self.seen.append(texts)

    def _texts(self, as_before: Mapping[str, str]) -> dict[str, str]:
        texts = {name: text.decode() for name, text in read_files(self.directory)[0].items()}
        return {name: text for name, text in {**texts, **as_before}.items() if text}

    @property
    def now(self) -> dict[str, str]:
        return self.seen[-1]

    def ever(self, name: str) -> set[str]:
        return {texts.get(name, "") for texts in self.seen}


def play(directory: Path, scene: Callable[[Reader], Coroutine[None, None, None]]) -> Reader:
    """Follow a directory while a scene is played."""

    async def following() -> Reader:
        reader, stop, ready = Reader(directory), asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(reader.follow(stop, ready))
        await asyncio.wait([asyncio.create_task(ready.wait()), task], return_when="FIRST_COMPLETED")
        played = asyncio.ensure_future(scene(reader))
        await asyncio.wait([played, task], return_when="FIRST_COMPLETED")
        stop.set()
        await task
        await played
        return reader

    return asyncio.run(following())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


async def until_all(reader: Reader, text: str) -> None:
    await until(lambda: reader.now != {} and set(reader.now.values()) == {text})


async def until_text(reader: Reader, name: str, text: str) -> None:
    await until(lambda: reader.now.get(name) == text)


def folder_of(place: Path, version: str, names: tuple[str, ...] = BOTH) -> Path:
    place.mkdir(parents=True)
    for name in names:
        (place / name).write_text(version)
    return place


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "policies", "old")


def test_a_document_that_is_held_open_is_not_read_and_others_are_meanwhile(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "HELD_S", 0.1)

    async def scene(reader: Reader) -> None:
        with (directory / "a.yaml").open("w") as held, (directory / "new.yaml").open("w") as new:
            for number in range(3):
                print(f"half {number}", file=held, flush=True)
                print("half", file=new, flush=True)
                (directory / "b.yaml").write_text(f"changed {number}")
                await until_text(reader, "b.yaml", f"changed {number}")
            assert reader.now == {"a.yaml": "old", "b.yaml": "changed 2"}
            print("whole", file=held)
        await until(lambda: reader.now["a.yaml"].endswith("whole\n") and "new.yaml" in reader.now)

    reader = play(directory, scene)
    assert reader.ever("a.yaml") == {"old", "half 0\nhalf 1\nhalf 2\nwhole\n"}
    assert reader.ever("new.yaml") == {"", "half\nhalf\nhalf\n"}


def test_a_document_that_is_written_slowly_by_itself_is_read_once(directory: Path) -> None:
    async def scene(reader: Reader) -> None:
        with (directory / "a.yaml").open("w") as held:
            for part in range(10):
                print(part, file=held, flush=True)
                await asyncio.sleep(0.02)
            assert reader.begun == 0
        await until(lambda: reader.now["a.yaml"] != "old")

    reader = play(directory, scene)
    assert reader.ever("a.yaml") == {"old", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"}


def test_what_is_renamed_before_it_is_written_to_the_end_is_not_read(directory: Path) -> None:
    async def scene(reader: Reader) -> None:
        with (directory / ".new").open("w") as held:
            print("half", file=held, flush=True)
            await asyncio.sleep(0.02)
            (directory / ".new").replace(directory / "a.yaml")
            await asyncio.sleep(0.1)
            print("whole", file=held, flush=True)
        await until(lambda: reader.now["a.yaml"] != "old")

    assert play(directory, scene).ever("a.yaml") == {"old", "half\nwhole\n"}


def test_what_gets_a_name_once_it_is_written_is_read(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "HELD_S", 0.1)

    async def scene(reader: Reader) -> None:
        unnamed = os.open(directory, os.O_TMPFILE | os.O_WRONLY)
        os.write(unnamed, b"new")
        os.link(f"/proc/self/fd/{unnamed}", directory / "new.yaml", src_dir_fd=unnamed)
        os.close(unnamed)
        await until_text(reader, "new.yaml", "new")

    play(directory, scene)


def test_who_writes_on_what_was_replaced_keeps_nobody_waiting(directory: Path, tmp_path: Path) -> None:
    async def scene(reader: Reader) -> None:
        with (directory / "a.yaml").open("a") as held:
            (tmp_path / "new").write_text("new")
            (tmp_path / "new").replace(directory / "a.yaml")
            print("lost", file=held, flush=True)
            await until_text(reader, "a.yaml", "new")

    assert play(directory, scene).ever("a.yaml") == {"old", "new"}


def test_a_document_that_is_moved_into_place_is_read_once(directory: Path, tmp_path: Path) -> None:
    async def scene(reader: Reader) -> None:
        (tmp_path / "new").write_text("new")
        (tmp_path / "new").replace(directory / "a.yaml")
        await until(lambda: reader.now["a.yaml"] == "new")

    assert play(directory, scene).begun == 1


def test_all_documents_of_a_checkout_are_one_change(tmp_path: Path) -> None:
    names = tuple(f"{number:02}.yaml" for number in range(20))
    repository = folder_of(tmp_path / "repository", "", ())
    directory = folder_of(repository / "policies", "old" * 1000, names)

    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *who, *words], cwd=repository, check=True, capture_output=True)

    git("init", "-q", "-b", "old")
    git("add", ".")
    git("commit", "-q", "-m", "old")
    git("checkout", "-q", "-b", "new")
    for name in names:
        (directory / name).write_text("new" * 1000)
    git("commit", "-q", "-a", "-m", "new")

    async def scene(reader: Reader) -> None:
        loop = asyncio.get_running_loop()
        for version in ("old", "new", "old", "new"):
            await loop.run_in_executor(None, git, "checkout", "-q", version)
            await until_all(reader, version * 1000)

    reader = play(directory, scene)
    assert all(len(texts) == len(names) and len(set(texts.values())) == 1 for texts in reader.seen)


def test_documents_in_a_work_tree_wait_for_git_as_long_as_its_lock_is_there(directory: Path) -> None:
    lock = directory / ".git" / "index.lock"
    lock.parent.mkdir()

    async def scene(reader: Reader) -> None:
        lock.touch()
        (directory / "a.yaml").write_text("new")
        await asyncio.sleep(0.3)
        assert reader.begun == 0
        (directory / "b.yaml").write_text("new")
        lock.unlink()
        await until(lambda: reader.now["b.yaml"] == "new")
        lock.touch()
        os.utime(lock, (0, 0))  # one that was left behind
        (directory / "a.yaml").write_text("newer")
        await until(lambda: reader.now["a.yaml"] == "newer")

    assert {"a.yaml": "new", "b.yaml": "old"} not in play(directory, scene).seen


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


def test_what_is_changed_while_it_is_read_is_read_again_and_only_that_counts(directory: Path) -> None:
    async def scene(reader: Reader) -> None:
        def second() -> None:
            reader.while_reading = lambda: None
            (directory / "b.yaml").write_text("new")

        reader.while_reading = second
        (directory / "a.yaml").write_text("new")
        await until(lambda: reader.now == dict.fromkeys(BOTH, "new"))

    reader = play(directory, scene)
    assert reader.seen == [dict.fromkeys(BOTH, version) for version in ("old", "new")]
    assert reader.begun == 2


def test_what_changed_before_it_was_waited_for_is_told(directory: Path) -> None:
    async def scene() -> None:
        stop = asyncio.Event()
        async with aclosing(watch.changes(directory, stop)) as told:
            await anext(told)
            (directory / "a.yaml").write_text("new")
            async with asyncio.timeout(PATIENCE_S):
                assert await (await anext(told)).stands()

    asyncio.run(scene())


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
