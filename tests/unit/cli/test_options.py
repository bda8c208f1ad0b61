"""What verbs have in common: which controller they ask, said in one way by all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from zonewall.cli.app import build_app
from zonewall.cli.appctl import run_appctl
from zonewall.errors import ControllerUnreachableError, ZonewallError
from zonewall.policy.findings import Location
from zonewall.policy.inventory import HostDeclaration
from zonewall.store.options import STATE_VARIABLE
from zonewall.values.names import HostName

DEMO = Path(__file__).parents[3] / "policies" / "demo"
BY_FILE = {"where", "history", "reach", "journal", "journal verify"}
"""These read the journal's file, and ask nobody."""


def commands(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command with its words."""
    if name:
        yield name, group
    for word, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{name} {word}".strip())


ASKING = {
    name: {option: found for found in command.params for option in found.opts}
    for name, command in commands(get_command(build_app()))
    if any("--state" in found.opts for found in command.params)
}


def test_the_verbs_that_ask_a_controller_are_known() -> None:
    wanted = {"run", "status", "ready", "counters", "top", "quarantine", "apply", "endpoint add", "plan"}
    assert wanted | BY_FILE <= set(ASKING)


@pytest.mark.parametrize("name", sorted(ASKING))
def test_a_verb_says_which_controller_as_every_other_does(name: str) -> None:
    options = ASKING[name]
    assert options["--state"].envvar == STATE_VARIABLE
    assert "--options" in options
    assert ("--socket" in options) == (name not in BY_FILE)


@pytest.mark.parametrize("verb", ["counters", "top", "status"])
def test_the_environment_says_which_controller_is_asked(tmp_path: Path, verb: str) -> None:
    done = CliRunner().invoke(build_app(), [verb], env={STATE_VARIABLE: str(tmp_path)})
    assert isinstance(done.exception, ControllerUnreachableError)
    assert str(tmp_path / "control.sock") in str(done.exception)


HV1 = HostDeclaration(HostName("hv1"), "hv1.example", "hv1", {}, Location("inventory.yaml", 1, 1))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo {host} {system-id}/{bridge}", "hv1 hv1.example/br-int"),
        ("echo '{{.State}}' {host}", "{.State} hv1"),
    ],
)
def test_a_command_for_a_hosts_switch_has_its_names_put_in(command: str, words: str) -> None:
    assert run_appctl(command, HV1, "br-int", "version") == f"{words} version\n"


@pytest.mark.parametrize(
    "part",
    ["{host.name}", "{host[x]}", "{host[0]}", "{0}", "{}", "{user}", "{host!r}", "{host:>9}", "{host", "'"],
)
def test_a_command_that_names_anything_else_is_refused(part: str) -> None:
    with pytest.raises(ZonewallError, match=r"it may name \{host\}, \{system-id\}, \{bridge\}"):
        run_appctl(f"echo {part}", HV1, "br-int", "version")


def test_numbers_that_cannot_be_written_are_said_so_in_one_line(tmp_path: Path) -> None:
    placement = tmp_path / "placement.yaml"
    placement.write_text("{}")
    asked = [str(DEMO), "--placement", str(placement), "--bridge", "hv1/br-int"]
    done = CliRunner().invoke(build_app(), ["compile", *asked, "--numbering", "/proc/numbering.json"])
    assert isinstance(done.exception, ZonewallError)
    assert str(done.exception).startswith("/proc/numbering.json: ")
    assert "\n" not in str(done.exception)
