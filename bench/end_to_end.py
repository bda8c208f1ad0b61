"""OVN's workload end to end: a whole controller, a real switch and database, beside OVN in the same run.

Where OVN's packages (Debian: ``ovn-central``, ``ovn-host``) are not installed, or where it does not come
through in time, values that were recorded for OVN 23.03 stand in its place, and the note says so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.end_to_end_run import Run
from bench.harness import Figure, Options
from bench.ovn_measure import CLAIMED, EDITED, FULL, LOADED, MEMBER, MEMORY, PLUGGED, RESTARTED, Size, peer

SIZES = (Size(500, 1_000), FULL)
"""One at which OVN comes through soon and always, and that for which something was promised."""
TIMES = {LOADED: 30, EDITED: 20, PLUGGED: 25, CLAIMED: 25, MEMBER: 30, RESTARTED: 30}
"""How many times faster than OVN is asked for, at full size."""
ABSOLUTE = {
    "a port plugged, database's word to confirmed": 5.0,
    "a port that is there told whose it is, database's word to confirmed": 5.0,
    MEMORY: 150.0,
    "flows changed by a restart": 0.0,
}
"""Targets that are no multiple of OVN's: ms, MiB, changes."""


def figures(options: Options) -> Iterator[Figure]:
    """Yield medians, each beside OVN's."""
    for size in SIZES:
        yield from _figures(size, options.slow(options.runs))


def _figures(size: Size, runs: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        found = Run(Path(folder), size, runs).measure()
    ovn = peer(size, runs)
    group = "end_to_end/" if size == FULL else f"end_to_end/{size.endpoints:,} x {size.rules:,}: "
    for what, samples in found.items():
        # What is saved and what is read of it are two views of one change; a file may be said to be whole.
        same = what.partition(" (")[0]
        theirs = ovn.value(same)
        target = ABSOLUTE.get(what)
        if theirs is not None and same in TIMES:
            target = theirs / TIMES[same]
        yield Figure(
            f"{group}{what}",
            "MiB" if what == MEMORY else "flows" if what.startswith("flows") else "ms",
            tuple(samples),
            "OVN" if theirs is not None else "",
            theirs,
            target if size == FULL else None,
            ovn.note(same),
        )
