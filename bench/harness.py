"""What a measurement is, how it is taken, and how it is written down."""

from __future__ import annotations

import gc
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True, slots=True)
class Options:
    """How thorough a run is.

    Attributes:
        runs: how often what is short is measured; what takes seconds is measured at most three times.
        quick: leave out what takes minutes.
    """

    runs: int = 5
    quick: bool = False

    def slow(self, most: int = 3) -> int:
        """Return how often something that takes seconds is measured."""
        return 1 if self.quick else min(self.runs, most)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; ``value`` is the samples' median.

    Attributes:
        name: ``group/what``.
        peer: who else was measured at the same, empty for nobody.
        peer_value: the peer's median in the same unit; None: the peer is not there.
        target: what it is meant to be at most, None where nothing was promised.
        note: what a reader must know, such as that a peer's value is a recorded one.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    peer: str = ""
    peer_value: float | None = None
    target: float | None = None
    note: str = ""

    @property
    def value(self) -> float:
        """Return the median."""
        return statistics.median(self.samples)

    @property
    def ratio(self) -> float | None:
        """Return ours by the peer's, None without a peer."""
        return None if not self.peer_value else round(self.value / self.peer_value, 6)

    def to_plain(self) -> dict[str, object]:
        """Return the figure as it stands in the results' file."""
        return {
            "name": self.name,
            "unit": self.unit,
            "value": self.value,
            "samples": list(self.samples),
            "peer": self.peer or None,
            "peer_value": self.peer_value,
            "ratio": self.ratio,
            "target": self.target,
            "note": self.note or None,
        }


T = TypeVar("T")


@dataclass(slots=True)
class Stopwatch:
    """Seconds that actions take; garbage is collected before, not held off during.

    Attributes:
        cpu: count this process's processor time instead, which others on the machine change less.
    """

    cpu: bool = False
    samples: list[float] = field(default_factory=list)

    def time(self, action: Callable[[], T], collect: bool = True) -> T:
        """Do it once, and note how long it took."""
        if collect:
            gc.collect()
        clock = time.process_time if self.cpu else time.perf_counter
        start = clock()
        result = action()
        self.samples.append(clock() - start)
        return result

    def figure(self, name: str, unit: str = "s", target: float | None = None, note: str = "") -> Figure:
        """Return what was measured as a figure in seconds or milliseconds."""
        factor = {"s": 1.0, "ms": 1e3, "us": 1e6}[unit]
        return Figure(name, unit, tuple(each * factor for each in self.samples), target=target, note=note)


def count(name: str, value: float, unit: str = "flows", target: float | None = None, **more: Any) -> Figure:
    """Return a figure that is counted, not timed: one sample says it all."""
    return Figure(name, unit, (value,), target=target, **more)


def in_process_of_its_own(action: Callable[[], T]) -> tuple[T, int]:
    """Return what an action gives in a child process, and the most memory that it took in bytes."""
    receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_send_result, args=(action, sender))
    child.start()
    sender.close()
    try:
        result: T
        result, peak = receiver.recv()
    finally:
        child.join()
    return result, peak


def _send_result(action: Callable[[], Any], sender: Connection) -> None:
    result = action()
    sender.send((result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
    sender.close()


def write(figures: Sequence[Figure], path: Path = RESULTS) -> None:
    """Write the figures; those of groups that were not measured this time stay as they are."""
    measured = {figure.name.partition("/")[0] for figure in figures}
    kept = []
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        kept = [one for one in before if one["name"].partition("/")[0] not in measured]
    everything = sorted([*kept, *(figure.to_plain() for figure in figures)], key=lambda one: str(one["name"]))
    path.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print the figures as a table."""
    table = Table(title="medians", title_justify="left")
    for column in ("figure", "value", "unit", "target", "peer", "peer's", "ratio"):
        table.add_column(
            column, justify="right" if column in ("value", "target", "peer's", "ratio") else "left"
        )
    for figure in figures:
        missed = figure.target is not None and figure.value > figure.target
        table.add_row(
            figure.name,
            f"[red]{_number(figure.value)}[/red]" if missed else _number(figure.value),
            figure.unit,
            _number(figure.target),
            figure.peer or "",
            _number(figure.peer_value),
            _number(figure.ratio),
        )
    console.print(table)
    for note in dict.fromkeys(f"{figure.name}: {figure.note}" for figure in figures if figure.note):
        console.print(f"  {note}", highlight=False)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.4g}"
