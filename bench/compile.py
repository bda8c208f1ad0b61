"""Compiling: OVN's workload on one bridge, and fleets of rising size on all their bridges."""

from __future__ import annotations

from collections.abc import Iterator

from bench.fleets import SIZES, fleet, one_host
from bench.harness import Figure, Options, Stopwatch, count, in_process_of_its_own
from zonewall.flows.encoded import BridgeState
from zonewall.flows.wire import encode_program
from zonewall.intent.fleet import bridges_of, index_fleet, prepare
from zonewall.intent.numbering import Numbering
from zonewall.pipeline.compile import compile_bridge
from zonewall.placement.model import Placement
from zonewall.policy.model import Configuration

MOST_FLOWS = 30_000


def figures(options: Options) -> Iterator[Figure]:
    """Yield the figures of this group."""
    yield from _one_host(options, (4,), "ipv4", MOST_FLOWS)
    yield from _one_host(options, (4, 6), "both families", MOST_FLOWS * 1.8)
    for size in SIZES:
        if size <= 1_000 or not options.quick:
            yield from _fleet(options, size)


def _one_host(options: Options, families: tuple[int, ...], word: str, most: float) -> Iterator[Figure]:
    configuration, placement = one_host(families=families)
    watch = Stopwatch()
    for _ in range(options.slow(5)):
        state = watch.time(lambda: compile_everything(configuration, placement)[-1])
    name = f"compile/OVN's workload, {word}"
    yield count(f"{name}: flows", len(state.flows), target=most)
    yield watch.figure(f"{name}: full compile", target=1.0 if families == (4,) else None)


def compile_everything(configuration: Configuration, placement: Placement) -> list[BridgeState]:
    """Return what every bridge should hold, from nothing."""
    indexed = index_fleet(prepare(configuration, Numbering()), placement)
    return [encode_program(compile_bridge(indexed, key)) for key in bridges_of(configuration)]


def _fleet(options: Options, size: int) -> Iterator[Figure]:
    configuration, placement = fleet(SIZES[size])
    watch = Stopwatch()
    peaks = []
    if size > 1_000:
        return
    for _ in range(options.slow()):
        (seconds, flows), peak = in_process_of_its_own(lambda: _timed(configuration, placement))
        watch.samples.append(seconds)
        peaks.append(peak / 2**20)
    name = f"compile/{size:,} endpoints"
    yield count(f"{name}: flows on all bridges", flows)
    yield watch.figure(f"{name}: all bridges", target={10_000: 2.0, 100_000: 20.0}.get(size))
    yield Figure(f"{name}: peak memory", "MiB", tuple(peaks), target=2048 if size == 100_000 else None)


def _timed(configuration: Configuration, placement: Placement) -> tuple[float, int]:
    watch = Stopwatch()
    states = watch.time(lambda: compile_everything(configuration, placement))
    return watch.samples[0], sum(len(state.flows) for state in states)
