"""What documents said is believed only of a file of this user's alone, signed by this program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zonewall import policy
from zonewall.policy.reread import Rereader
from zonewall.store import documents_file
from zonewall.store.documents_file import key_of, read_documents, write_documents

SECRET = bytes(range(32))
TEXTS = {"a.yaml": b"kind: tenant\ntenant: acme\n"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    reader = Rereader()
    assert reader.load(TEXTS).configuration is not None
    write_documents(tmp_path / "documents.kept", key_of(SECRET), reader)
    return tmp_path / "documents.kept"


def test_it_comes_back_as_it_was_and_nobody_else_may_look(file: Path) -> None:
    found = read_documents(file, key_of(SECRET))
    assert found is not None
    assert found.texts == TEXTS
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_what_is_damaged_anywhere_is_not_believed(file: Path) -> None:
    whole = file.read_bytes()
    for place in range(0, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert read_documents(file, key_of(SECRET)) is None
    for size in (0, 5, 32, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert read_documents(file, key_of(SECRET)) is None
    file.write_bytes(whole)
    assert read_documents(file, key_of(SECRET)) is not None


def test_what_another_program_or_another_secret_signed_is_not_believed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_documents(file, key_of(bytes(32))) is None
    monkeypatch.setattr(documents_file, "program", lambda: b"another")
    assert read_documents(file, key_of(SECRET)) is None


def test_another_program_is_one_whose_text_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "policy"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "load.py").write_text("MOST = 1\n")
    monkeypatch.setattr(policy, "__file__", str(package / "__init__.py"))
    first = documents_file.program()
    assert documents_file.program() == first
    (package / "load.py").write_text("MOST = 2\n")
    second = documents_file.program()
    (package / "more.py").write_text("")
    assert len({first, second, documents_file.program()}) == 3
    (package / "__init__.py").unlink()
    assert documents_file.program() != documents_file.program()
    monkeypatch.undo()
    second = documents_file.program()
    assert documents_file.program() == second
    monkeypatch.setattr(documents_file, "_VERSIONS", {"pydantic": "version.py", "yaml": "error.py"})
    third = documents_file.program()
    monkeypatch.setattr(documents_file, "_VERSIONS", {"pydantic": "version.py", "yaml": "none.py"})
    assert len({second, third, documents_file.program(), documents_file.program()}) == 4


def test_a_file_that_is_not_this_users_alone_is_not_believed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.chmod(0o640)
    assert read_documents(file, key_of(SECRET)) is None
    file.chmod(0o600)
    link = file.with_name("link")
    link.symlink_to(file)
    assert read_documents(link, key_of(SECRET)) is None
    pipe = file.with_name("pipe")
    os.mkfifo(pipe, 0o600)
    assert read_documents(pipe, key_of(SECRET)) is None
    assert read_documents(file.parent, key_of(SECRET)) is None
    assert read_documents(file.with_name("none"), key_of(SECRET)) is None
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert read_documents(file, key_of(SECRET)) is None


def test_what_cannot_be_written_leaves_the_old_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="no space"):
        write_documents(file, key_of(SECRET), Rereader())
    monkeypatch.undo()
    assert [one.name for one in file.parent.iterdir()] == [file.name]
    found = read_documents(file, key_of(SECRET))
    assert found is not None
    assert found.texts == TEXTS
