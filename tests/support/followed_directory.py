"""A directory of documents that is followed while a test plays whoever writes there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path
from unittest.mock import patch

from zonewall.policy.files import read_files
from zonewall.store import inotify_watch, settling, watch

PATIENCE_S = 60.0
BOTH = ("a.yaml", "b.yaml")


@contextmanager
def patiently() -> Iterator[None]:
    """Have others waited for as long as it takes: the machine may be busy."""
    with (
        patch.object(settling, "LONGEST_S", PATIENCE_S),
        patch.object(inotify_watch, "LONGEST_S", PATIENCE_S),
    ):
        yield


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

    with patiently():
        return asyncio.run(following())


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


async def until_all(reader: Reader, text: str) -> None:
    """Wait until every document has a text."""
    await until(lambda: reader.now != {} and set(reader.now.values()) == {text})


async def until_text(reader: Reader, name: str, text: str) -> None:
    """Wait until a document has a text."""
    await until(lambda: reader.now.get(name) == text)


def folder_of(place: Path, version: str, names: tuple[str, ...] = BOTH) -> Path:
    """Make a folder whose documents all have a version's text."""
    place.mkdir(parents=True)
    for name in names:
        (place / name).write_text(version)
    return place
