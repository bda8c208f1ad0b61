"""Documents that real writers write in real ways are read whole, together, and as soon as they are."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from support.followed_directory import (
    BOTH,
    PATIENCE_S,
    Reader,
    folder_of,
    patiently,
    play,
    until,
    until_all,
    until_text,
)
from zonewall.store import inotify_watch, settling, watch


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes is waited for, however little a busy machine lets it do."""
    monkeypatch.setattr(settling, "HELD_S", 3600.0)
    for module in (settling, inotify_watch):
        monkeypatch.setattr(module, "LONGEST_S", 3600.0)


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


@pytest.mark.usefixtures("unhurried")
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


@pytest.mark.usefixtures("unhurried")
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


@pytest.mark.usefixtures("unhurried")
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


@pytest.mark.usefixtures("unhurried")
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


@asynccontextmanager
async def saved(directory: Path) -> AsyncGenerator[watch.Saved, None]:
    """Follow a directory, save one of its documents, and give the change that is told."""
    async with aclosing(watch.changes(directory, asyncio.Event())) as told:
        await anext(told)
        (directory / "a.yaml").write_text("new")
        async with asyncio.timeout(PATIENCE_S):
            yield await anext(told)


@pytest.mark.parametrize("goes_on", [True, False], ids=["is written anew", "stays empty"])
def test_what_is_empty_counts_once_nothing_was_written_there_for_a_while(
    directory: Path, monkeypatch: pytest.MonkeyPatch, goes_on: bool
) -> None:
    monkeypatch.setattr(inotify_watch, "HELD_S", PATIENCE_S if goes_on else 0.02)

    async def scene() -> None:
        async with saved(directory) as change:
            deciding = asyncio.ensure_future(change.stands(is_emptied=True))
            if goes_on:
                await asyncio.sleep(10 * settling.BELIEVED_S)
                assert not deciding.done()
                (directory / "b.yaml").write_text("new")
            assert await deciding is not goes_on

    with patiently():
        asyncio.run(scene())


def test_what_changed_before_it_was_waited_for_is_told(directory: Path) -> None:
    async def scene() -> None:
        async with saved(directory) as change:
            assert await change.stands()

    with patiently():
        asyncio.run(scene())


async def told_by_a_word_only(told: AsyncGenerator[watch.Saved, None], hurry: watch.Hurry) -> None:
    """Wait for a change that stands, which is not told before somebody says that documents are whole."""
    waiting = asyncio.ensure_future(anext(told))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    hurry.read_now()
    async with asyncio.timeout(PATIENCE_S):
        assert await (await waiting).stands()


@pytest.mark.parametrize("is_remote", [False, True], ids=["told of", "looked at"])
def test_who_says_that_documents_are_whole_has_them_read(
    directory: Path, monkeypatch: pytest.MonkeyPatch, is_remote: bool
) -> None:
    monkeypatch.setattr(watch, "is_remote", lambda _: is_remote)

    async def scene() -> None:
        hurry = watch.Hurry()
        hurry.read_now()  # nobody follows any yet
        async with aclosing(watch.changes(directory, asyncio.Event(), hurry)) as told:
            await anext(told)
            for _ in range(2):
                await told_by_a_word_only(told, hurry)
        assert hurry.follower is None

    with patiently():
        asyncio.run(scene())


def test_the_second_of_two_documents_need_not_be_waited_for_by_whom_is_told_that_both_are_whole(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "QUIET_S", 3600.0)
    monkeypatch.setattr(settling, "SETTLE_S", 3600.0)
    monkeypatch.setattr(settling, "LONGEST_S", 3600.0)

    async def scene() -> None:
        hurry = watch.Hurry()
        async with aclosing(watch.changes(directory, asyncio.Event(), hurry)) as told:
            await anext(told)
            for name in BOTH:
                (directory / name).write_text("new")
            await told_by_a_word_only(told, hurry)

    asyncio.run(scene())
