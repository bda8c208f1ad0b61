"""Files of another version's form: read as far as they are meant for this one, kept, told in a line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from zonewall.errors import ZonewallError
from zonewall.intent.numbering import Numbering
from zonewall.intent.passing import Outliving
from zonewall.store.applied_file import read_applied, write_applied
from zonewall.store.certificates_file import read_have_shown, write_have_shown
from zonewall.store.forms import NewerFormError, read_form, stamp
from zonewall.store.generation_file import next_generation
from zonewall.store.in_force_file import LastInForce, read_in_force, write_in_force
from zonewall.store.key_file import discovery_key
from zonewall.store.memory_file import Memory, read_memory, write_memory
from zonewall.store.numbering_file import read_numbering, write_numbering
from zonewall.store.outliving_file import read_outliving, write_outliving
from zonewall.store.stopped_file import take_stopped, write_stopped
from zonewall.values.names import HostName

RULES = Numbering({"rule": {"acme/t/r": 7}})


def write(file: Path, **said: Any) -> str:
    file.write_text(json.dumps(said))
    return file.read_text()


REQUIRED: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "numbering.json": (lambda file: write_numbering(file, RULES), read_numbering),
    "certificates.json": (lambda file: write_have_shown(file, (HostName("hv1"),), ()), read_have_shown),
    "places.json": (lambda file: write_memory(file, (), Memory()), read_memory),
    "applied.json": (
        lambda file: write_applied(file, Path("/one"), Path("/other")),
        lambda file: read_applied(file, Path("/other")),
    ),
}
"""Without these the controller does not start."""
USEFUL: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "outliving.json": (lambda file: write_outliving(file, (Outliving("a/t/r", None),)), read_outliving),
    "stopped.json": (lambda file: write_stopped(file, {"hv1/br": "00"}), take_stopped),
    "in-force.json": (lambda file: write_in_force(file, LastInForce({"a.yaml": b"a"})), read_in_force),
    "generation.json": (lambda file: next_generation(file, 9), lambda file: next_generation(file, 1) > 9),
}
ALL = REQUIRED | USEFUL


def as_written(file: Path, **more: Any) -> dict[str, Any]:
    """Write a file as this version does, and with more in it; return what is in it."""
    ALL[file.name][0](file)
    said: dict[str, Any] = json.loads(file.read_text()) | more
    write(file, **said)
    return said


@pytest.mark.parametrize("name", ALL)
def test_what_is_written_is_of_the_first_form_which_versions_without_forms_read(
    tmp_path: Path, name: str
) -> None:
    said = as_written(tmp_path / name)
    assert "form" not in said
    expected = ALL[name][1](tmp_path / name)
    assert [file.name for file in tmp_path.iterdir() if file.name != name] == []
    as_written(tmp_path / name, form=1)
    assert ALL[name][1](tmp_path / name) == expected


@pytest.mark.parametrize("name", REQUIRED)
def test_without_a_newer_versions_file_that_matters_nothing_is_begun(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    said = as_written(file, form=3, **{"readable-by": 2})
    with pytest.raises(ZonewallError, match="written by a newer version of zonewall \\(form 3;") as caught:
        REQUIRED[name][1](file)
    assert str(caught.value).startswith(f"{file}: ")
    assert len(str(caught.value).splitlines()) == 1
    assert f"{name}.form-1" in str(caught.value)
    assert json.loads(file.read_text()) == said


@pytest.mark.parametrize("name", ALL)
def test_a_newer_versions_file_that_is_meant_for_this_one_is_read_and_kept(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    as_written(file)
    expected = ALL[name][1](file)
    news = {} if name == "stopped.json" else {"windows": {"a": 7}}
    said = as_written(file, form=2, **{"readable-by": 1}, **news)
    with capture_logs() as logged:
        found = ALL[name][1](file)
    if isinstance(found, Numbering):
        assert found.numbers == {**RULES.numbers, **news}  # what a newer version numbers keeps its numbers
    else:
        assert found == expected
    assert [one["event"] for one in logged] == ["state_of_newer_version"]
    assert json.loads((tmp_path / f"{name}.form-2").read_text()) == said


@pytest.mark.parametrize("name", USEFUL)
@pytest.mark.parametrize("text", ["{", '["form"]', '{"form": 2, "outliving": [], "generation": 7}'])
def test_what_cannot_be_read_is_told_in_a_line_and_kept(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with capture_logs() as logged:
        found = USEFUL[name][1](file)
    empty: dict[str, object] = {
        "outliving.json": (),
        "stopped.json": {},
        "in-force.json": None,
        "generation.json": False,
    }
    assert found == empty[name]
    ((told),) = logged
    assert told["event"] == "state_not_read"
    assert "\n" not in told["reason"]
    assert ("newer version" in told["reason"]) == ("2" in text)
    assert (tmp_path / told["kept_as"]).read_text() == text


def test_a_key_of_another_length_is_kept(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short")
    with capture_logs() as logged:
        key = discovery_key(tmp_path / "key")
    assert (tmp_path / logged[0]["kept_as"]).read_bytes() == b"short"
    assert discovery_key(tmp_path / "key") == key


def test_a_file_of_an_older_form_is_kept_for_the_way_back(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    before = write(file, a=1)
    assert json.loads(read_form(file, 2)) == {"a": 1}
    write_new = file.with_suffix(".new")
    write(write_new, **stamp(2, 2), a=2)
    write_new.replace(file)
    assert (tmp_path / "a.json.form-1").read_text() == before
    with pytest.raises(NewerFormError, match=r"kept as a\.json\.form-1"):
        read_form(file, 1)
    assert json.loads(read_form(file, 2)) == {"a": 2}


def test_where_it_cannot_be_kept_that_is_told_and_it_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "a.json"
    write(file, a=1)
    monkeypatch.setattr(os, "link", refused)
    with capture_logs() as logged:
        assert json.loads(read_form(file, 2)) == {"a": 1}
    assert [(one["event"], one["error"]) for one in logged] == [("state_not_kept", "No space left on device")]


@pytest.mark.parametrize("form", [True, "2", None, [2]])
def test_a_form_that_is_no_number_is_none(tmp_path: Path, form: object) -> None:
    text = write(tmp_path / "a.json", form=form)
    assert read_form(tmp_path / "a.json", 1).decode() == text
