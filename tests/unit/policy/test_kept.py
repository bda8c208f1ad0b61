"""What documents said, kept for the next start: those texts are read no more, all others are."""

from __future__ import annotations

import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import pytest

from support.spelt import spelt
from zonewall.policy import reading_again
from zonewall.policy.files import read_files
from zonewall.policy.kept import kept, remembered
from zonewall.policy.load import load_texts
from zonewall.policy.reread import Rereader

TOP = Path(__file__).parents[3]
EXAMPLES = [TOP / "tests/support/everything"]
EXAMPLES += sorted(path.parent for path in (TOP / "policies").glob("*/inventory.yaml"))


def example(directory: Path) -> dict[str, bytes]:
    texts, findings = read_files(directory)
    assert texts
    assert not findings
    return {name: text.replace(b"ATTACHMENT", b"fabric") for name, text in texts.items()}


def again(reader: Rereader) -> Rereader:
    found = remembered(kept(reader))
    assert found is not None
    return found


@pytest.mark.parametrize("directory", EXAMPLES, ids=lambda path: path.name)
def test_the_same_texts_are_not_read_again(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, reader = example(directory), Rereader()
    before = reader.load(texts)
    assert before.configuration is not None
    fresh = load_texts(texts)
    readings: list[object] = []
    monkeypatch.setattr(reading_again, "read_texts", readings.append)
    after = again(reader).load(texts)
    assert after == before
    assert spelt(after.configuration) == spelt(fresh.configuration)
    assert after.findings == fresh.findings
    assert readings == []


@pytest.mark.parametrize("directory", EXAMPLES, ids=lambda path: path.name)
def test_other_texts_are_read_as_ever(directory: Path) -> None:
    texts, reader = example(directory), Rereader()
    reader.load(texts)
    name = next(iter(texts))
    for change in (b"# a line more\n" + texts[name], texts[name] + b"\nkind: tenant\n", b""):
        edited = {**texts, name: change}
        found, fresh = again(reader).load(edited), load_texts(edited)
        assert found.findings == fresh.findings
        assert spelt(found.configuration) == spelt(fresh.configuration)
    fewer = {key: text for key, text in texts.items() if key != name}
    assert again(reader).load(fewer).findings == load_texts(fewer).findings


def test_what_could_not_be_read_is_not_taken_for_read() -> None:
    reader = Rereader()
    reader.load({"a.yaml": b"kind: nothing\n"})
    assert reader.texts is None
    assert again(reader).load({"a.yaml": b"kind: nothing\n"}).configuration is None


class Reduced:
    """Something that says itself what it is to be made from."""

    def __init__(self, *how: Any) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        return self.how


def a_name(module: str, name: str) -> bytes:
    return pickle.PROTO + b"\x04" + b"".join(
        pickle.SHORT_BINUNICODE + bytes([len(text)]) + text.encode() for text in (module, name)
    ) + pickle.STACK_GLOBAL + pickle.STOP  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no pickle",
        kept(Rereader())[:-5],
        pickle.dumps({"a": 1}),
        pickle.dumps(Reduced(os.getcwd, ())),
        pickle.dumps(Reduced(getattr, (Rereader, "load"))),
        pickle.dumps(Reduced(eval, ("1",))),
        a_name("os", "system"),
        a_name("zonewall.policy.files", "read_files"),
        a_name("zonewall.policy.files", "Path"),
        a_name("zonewall.policy.texts", "gc.collect"),
        a_name("zonewall.store.documents_file", "Path"),
    ],
)
def test_nothing_else_is_made_of_bytes(data: bytes) -> None:
    assert remembered(data) is None


def test_a_name_that_is_refused_is_written_as_pickle_reads_it() -> None:
    assert [name.name for name, _, _ in pickletools.genops(a_name("os", "system"))][-2] == "STACK_GLOBAL"
    assert pickle.loads(a_name("os", "getcwd")) is os.getcwd
