"""``python -m bench``: measure, print a table, write ``bench/results.json``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from typing import Annotated

import typer
from rich.console import Console

import bench
from bench.harness import Figure, Options, show, write

Group = Callable[[Options], Iterable[Figure]]


def groups() -> dict[str, Group]:
    """Return every group by its module's name."""
    found: dict[str, Group] = {}
    for module in sorted(pkgutil.iter_modules(bench.__path__), key=lambda each: each.name):
        if not module.name.startswith("_"):
            figures = getattr(importlib.import_module(f"bench.{module.name}"), "figures", None)
            if figures is not None:
                found[module.name] = figures
    return found


def main(
    only: Annotated[list[str] | None, typer.Option(help="A group to measure; may be repeated.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Samples of what is short.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="One sample of what takes seconds.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Name the groups and stop.")] = False,
) -> None:
    """Measure and write bench/results.json; groups that are left out keep what was measured before."""
    console = Console(width=150)
    known = groups()
    if list_:
        for name in known:
            console.print(name)
        return
    unknown = sorted(set(only or ()) - known.keys())
    if unknown:
        console.print(f"no such group: {', '.join(unknown)}; there are {', '.join(known)}")
        raise typer.Exit(2)
    for name, group in known.items():
        if only and name not in only:
            continue
        console.print(f"[bold]{name}[/bold] …")
        measured = list(group(Options(runs, quick)))
        write(measured)
        show(measured, console)


if __name__ == "__main__":
    typer.run(main)
