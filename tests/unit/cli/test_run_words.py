"""The words of ``run`` mean the same whether they are read in the short way or by typer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner

from zonewall.cli import run_words as module
from zonewall.cli import verb_run
from zonewall.cli.app import build_app
from zonewall.cli.run_words import RunWords, run_words
from zonewall.store.options import STATE_VARIABLE

RUN = get_command(build_app("run")).commands["run"]  # type: ignore[attr-defined]
NAMES = [f"--{name}" for name in (*module.TEXTS, *module.PATHS, module.TEXT)]


def as_typer_reads(words: list[str]) -> RunWords | None:
    """Return what the command is called with, None if it is not called."""
    with mock.patch.object(verb_run, "run_controller") as called:
        CliRunner().invoke(build_app("run"), ["run", *words], catch_exceptions=False)
    return called.call_args.args[0] if called.called else None


@pytest.fixture(scope="module", autouse=True)
def no_state_said() -> Iterator[None]:
    with mock.patch.dict(os.environ):
        os.environ.pop(STATE_VARIABLE, None)
        yield


ANY_WORD = st.sampled_from(
    [*NAMES, "--allow-plain", "--help", "--", "-", "-x", "--state=", "--allow-plain=1", "--stat", "--no-such"]
)
VALUE = st.sampled_from(["policies", "tcp:127.0.0.1:6653", "a=b", "", "é", "/x y"])
SAID = st.builds(lambda name, value: f"{name}={value}", st.sampled_from(NAMES), VALUE)


@given(st.lists(st.one_of(ANY_WORD, VALUE, SAID), max_size=6))
def test_what_is_understood_in_the_short_way_is_what_typer_understands(words: list[str]) -> None:
    short = run_words(words)
    assert short is None or short == as_typer_reads(words)


def test_every_option_is_understood_in_the_short_way() -> None:
    real = {name for one in RUN.params for name in one.opts if name.startswith("--")} - {"--help"}
    assert real == {*NAMES, "--allow-plain"}
    words = ["policies", "--allow-plain", *(word for name in NAMES for word in (name, f"of{name}"))]
    words += [f"{name}=again" for name in NAMES]
    short = run_words(words)
    assert short is not None
    assert short == as_typer_reads(words)
    assert short.said["openflow"] == ("of--openflow", "again")


@pytest.mark.parametrize("state", ["/from/outside", ""])
def test_the_environment_says_the_state_folder_unless_it_is_said(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STATE_VARIABLE, state)
    for words in (["policies"], ["policies", "--state", "/said"]):
        assert run_words(words) == as_typer_reads(words)
