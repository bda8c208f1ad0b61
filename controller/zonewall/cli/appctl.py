"""Asks a host's switch through a command that the operator gives, such as ``ssh {host} ovs-appctl``."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from string import Formatter

from zonewall.errors import ZonewallError
from zonewall.policy.inventory import HostDeclaration

PATIENCE_S = 20.0


def run_appctl(command: str, host: HostDeclaration, bridge: str, *words: str) -> str:
    """Return what ovs-appctl(8) prints on a host.

    Args:
        command: how to run it; ``{host}``, ``{system-id}`` and ``{bridge}`` are put in.
        host: whose switch to ask.
        bridge: what ``{bridge}`` stands for.
        words: the command of the switch.

    Raises:
        ZonewallError: the command cannot be run, or fails.
    """
    known = {"host": str(host.name), "system-id": host.system_id, "bridge": bridge}
    try:
        prefix = [_filled(part, known) for part in shlex.split(command)]
    except ValueError as error:
        raise ZonewallError(
            f"{command!r}: {error}; it may name {{host}}, {{system-id}}, {{bridge}}"
        ) from error
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command
            [*prefix, *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ZonewallError(f"{host.name} cannot be asked: {error}") from error
    if done.returncode != 0:
        raise ZonewallError(f"{host.name} cannot be asked: {done.stderr.strip()[:300]}")
    return done.stdout


def _filled(part: str, known: Mapping[str, str]) -> str:
    """Return a word with the names in braces put in; a doubled brace is one (``str.format``'s own reading).

    Raises:
        ValueError: it names something else, or says how to write it.
    """
    text = ""
    for literal, name, form, conversion in Formatter().parse(part):
        text += literal
        if name is None:
            continue
        if name not in known or form or conversion:
            raise ValueError(f"{part} says {{{name}}}")
        text += known[name]
    return text
