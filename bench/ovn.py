"""OVN on the workload of ``compile``, beside compiling alone: ours is until the bridge's bytes are there.

OVN's times are until it is in force on the bridge, as ``end_to_end`` measures them, where ours are, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.compile import figures_of_one_host
from bench.harness import Figure, Options
from bench.ovn_measure import EDITED, FLOWS, FULL, LOADED, PLUGGED, peer

SAME = {
    "full compile": LOADED,
    "one rule edited": EDITED,
    "one endpoint plugged": PLUGGED,
    "flows": FLOWS,
}
"""What our figures are called there."""


def figures(options: Options) -> Iterator[Figure]:
    """Yield our figures of OVN's workload, each with OVN's own."""
    ours = tuple(figures_of_one_host(options))
    theirs = peer(FULL, options.slow(options.runs))
    for figure in ours:
        what = figure.name.rpartition(": ")[2]
        if what in SAME:
            value = theirs.value(SAME[what])
            scale = 1000.0 if figure.unit == "s" else 1.0
            yield replace(
                figure,
                name=f"ovn/{what}",
                peer="OVN",
                peer_value=None if value is None else value / scale,
                target=None,
                note=theirs.note(SAME[what]),
            )
