"""Golden files: what each host of a case holds, in logical text; ``--update-golden`` writes them anew."""

from __future__ import annotations

from pathlib import Path

from support.compiled import CompiledFleet
from zonewall.flows.names import field_names
from zonewall.flows.render_logical import render_logical


def hold(folder: Path, fleet: CompiledFleet, update: bool) -> dict[str, tuple[list[str], list[str]]]:
    """Return, for each host whose flows are not those of its file, what the file has and what is compiled."""
    names = field_names(fleet.policy)
    wrong = {}
    for key, program in fleet.programs.items():
        path = folder / f"{key.host}.flows"
        lines = [render_logical(flow, names).rstrip() for flow in program.flows]
        if update:
            folder.mkdir(exist_ok=True)
            path.write_text("\n".join(lines) + "\n")
        held = path.read_text().splitlines()
        if held != lines:
            wrong[str(path.name)] = (sorted(set(held) - set(lines)), sorted(set(lines) - set(held)))
            wrong[str(path.name)] = wrong[str(path.name)] if any(wrong[str(path.name)]) else (held, lines)
    return wrong
