"""Compiling: OVN's workload on one bridge, fleets of rising size on all their bridges, and one change."""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from bench.fleets import SIZES, fleet, one_host
from bench.harness import Figure, Options, Stopwatch, count, in_process_of_its_own
from zonewall.flows.assembly import Assembler
from zonewall.flows.diff import Change, diff_state
from zonewall.flows.encoded import BridgeState
from zonewall.intent.fleet import Fleet, bridges_of, index_fleet, prepare
from zonewall.intent.numbering import Numbering
from zonewall.pipeline.compile import compile_bridge
from zonewall.pipeline.stats import masks_by_table
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.model import Binding, BridgeKey, Placement
from zonewall.policy.model import Configuration, Tenant
from zonewall.reconciler.controller import SWEEP_S
from zonewall.reconciler.garbage import Garbage
from zonewall.values.names import EndpointKey, OfPort
from zonewall.values.services import ServiceTerm

MOST_FLOWS = 30_000
MOVES = 40
CPU = "processor time of one core"


def figures(options: Options) -> Iterator[Figure]:
    """Yield the figures of this group."""
    importlib.import_module("networkx")  # read when it is first needed, which is no part of compiling
    yield from _one_host(options, (4,), "ipv4", MOST_FLOWS)
    yield from _one_host(options, (4, 6), "both families", MOST_FLOWS * 1.8)
    for size in SIZES:
        if size <= 1_000 or not options.quick:
            yield from _fleet(options, size)


class Compiled:
    """A fleet, and what every bridge should hold."""

    def __init__(self, configuration: Configuration, placement: Placement, garbage: Garbage) -> None:
        """Compile everything from nothing, with garbage collected as the controller does it."""
        self.assembler = Assembler()
        self.policy = prepare(configuration, Numbering())
        self.fleet = index_fleet(self.policy, placement)
        self.bridges = bridges_of(configuration)
        self.states: dict[BridgeKey, BridgeState] = {}
        looked = time.monotonic()
        for key in self.bridges:
            self.states[key] = self.assembler.state(self.fleet, key)
            if time.monotonic() > looked + SWEEP_S:
                garbage.look()
                looked = time.monotonic()

    def change(self, fleet: Fleet, keys: tuple[BridgeKey, ...]) -> list[Change]:
        """Return what a fleet changes on some bridges, in bytes."""
        changes = []
        for key in keys:
            wanted = self.assembler.state(fleet, key)
            changes.append(diff_state(self.states[key], wanted))
            self.states[key] = wanted
        self.fleet = fleet
        return changes

    def follow(self, placement: Placement, keys: tuple[BridgeKey, ...]) -> list[Change]:
        """Return what another placement changes on some bridges, in bytes."""
        return self.change(self.fleet.follow(placement), keys)

    def unplugged(self, key: EndpointKey) -> Placement:
        """Return the placement without an endpoint."""
        bindings = self.fleet.placement.bindings
        assert isinstance(bindings, FrozenMap)
        return replace(self.fleet.placement, bindings=bindings.drop(key))

    def moved(self, key: EndpointKey, bridge: BridgeKey, ofport: int) -> Placement:
        """Return the placement with an endpoint elsewhere."""
        bindings = self.fleet.placement.bindings
        assert isinstance(bindings, FrozenMap)
        return replace(
            self.fleet.placement, bindings=bindings.put(key, (Binding(key, bridge, OfPort(ofport)),))
        )


def _frozen(made: tuple[Configuration, Placement]) -> tuple[Configuration, Placement]:
    """Return a fleet as the controller holds it: bindings in a mapping that changes at little cost."""
    configuration, placement = made
    return configuration, replace(placement, bindings=FrozenMap.of(placement.bindings))


def figures_of_one_host(options: Options) -> Iterator[Figure]:
    """Yield the figures of OVN's workload in IPv4."""
    return _one_host(options, (4,), "ipv4", MOST_FLOWS)


def _one_host(options: Options, families: tuple[int, ...], word: str, most: float) -> Iterator[Figure]:
    configuration, placement = _frozen(one_host(families=families))
    watch, garbage = Stopwatch(cpu=True), Garbage()
    for _ in range(options.slow(5)):
        compiled = watch.time(lambda: Compiled(configuration, placement, garbage))
    garbage.look()
    name = f"compile/OVN's workload, {word}"
    key = compiled.bridges[0]
    yield count(f"{name}: flows", len(compiled.states[key].flows), target=most)
    yield watch.figure(f"{name}: full compile", target=1.0 if families == (4,) else None, note=CPU)
    if families == (4,):
        masks = masks_by_table(compile_bridge(compiled.fleet, key))
        yield count(f"{name}: most masks in a table", max(masks.values()), "masks")
    yield from _plugged(name, compiled, key)
    yield from _rule_edited(options, name, compiled, configuration)


def _plugged(name: str, compiled: Compiled, key: BridgeKey) -> Iterator[Figure]:
    """Unplug an endpoint and plug it in again, at another port."""
    watch, draw = Stopwatch(cpu=True), random.Random(1)
    bindings = compiled.fleet.placement.bindings
    assert isinstance(bindings, FrozenMap)
    for number, endpoint in enumerate(draw.sample(sorted(bindings), MOVES)):
        compiled.change(compiled.fleet.follow(compiled.unplugged(endpoint)), (key,))
        plugged = partial(compiled.follow, compiled.moved(endpoint, key, 2000 + number), (key,))
        change = watch.time(plugged, collect=False)
        assert change[0].flows.put
    yield watch.figure(f"{name}: one endpoint plugged", "ms", target=1.0, note=CPU)


def _rule_edited(
    options: Options, name: str, compiled: Compiled, configuration: Configuration
) -> Iterator[Figure]:
    """Change the port of one rule, in the middle, at the end and at the beginning."""
    watch = Stopwatch(cpu=True)
    (tenant,) = configuration.tenants.values()
    for number in range(3 * options.runs):
        place = number * 977 % len(tenant.tiers[0].rules)
        edited = _with_service(tenant, place, ServiceTerm(6, ((7, 7 + number),)))
        changed = replace(configuration, tenants={tenant.name: edited})
        change = watch.time(partial(_edit, compiled, changed), collect=False)
        assert change.flows.put
        configuration, tenant = changed, edited
    yield watch.figure(f"{name}: one rule edited", "ms", target=10.0, note=CPU)


def _edit(compiled: Compiled, configuration: Configuration) -> Change:
    compiled.policy = prepare(configuration, compiled.policy.numbering, before=compiled.policy)
    fleet = index_fleet(compiled.policy, compiled.fleet.placement, before=compiled.fleet)
    return compiled.change(fleet, compiled.bridges)[0]


def _with_service(tenant: Tenant, place: int, service: ServiceTerm) -> Tenant:
    (tier,) = tenant.tiers
    rules = list(tier.rules)
    rules[place] = replace(rules[place], services=(service,))
    return replace(tenant, tiers=(replace(tier, rules=tuple(rules)),))


def _fleet(options: Options, size: int) -> Iterator[Figure]:
    configuration, placement = _frozen(fleet(SIZES[size]))
    name = f"compile/{size:,} endpoints"
    measured = []
    for _ in range(options.slow()):
        measured.append(in_process_of_its_own(lambda: _measure_fleet(configuration, placement)))
    yield count(f"{name}: flows on all bridges", measured[0][0][0])
    seconds, moves, others = (tuple(one[0][place] for one in measured) for place in (1, 2, 3))
    yield Figure(
        f"{name}: all bridges", "s", seconds, target={10_000: 2.0, 100_000: 20.0}.get(size), note=CPU
    )
    peaks = tuple(one[1] / 2**20 for one in measured)
    yield Figure(f"{name}: peak memory", "MiB", peaks, target=2048 if size == 100_000 else None)
    target = 1.0 if size == 10_000 else None
    yield Figure(f"{name}: one endpoint moved, both its bridges", "ms", moves, target=target, note=CPU)
    yield Figure(f"{name}: one endpoint moved, each other bridge", "ms", others, note=CPU)


def _measure_fleet(configuration: Configuration, placement: Placement) -> tuple[int, float, float, float]:
    """Return flows on all bridges, seconds to compile, and milliseconds for a moved endpoint."""
    watch, garbage = Stopwatch(cpu=True), Garbage()
    compiled = watch.time(lambda: Compiled(configuration, placement, garbage))
    garbage.look()
    both, others = _move_some(compiled)
    flows = sum(len(state.flows) for state in compiled.states.values())
    return flows, watch.samples[0], both, others


def _move_some(compiled: Compiled) -> tuple[float, float]:
    """Move endpoints to bridges where their identity is already at home, as a scheduler mostly does."""
    draw = random.Random(2)
    both, other = Stopwatch(cpu=True), Stopwatch(cpu=True)
    for number, (endpoint, to) in enumerate(_moves(compiled, draw)):
        (binding,) = compiled.fleet.placement.bindings[endpoint]
        placement, two = compiled.moved(endpoint, to, 5000 + number), (binding.bridge, to)
        both.time(partial(compiled.follow, placement, two), collect=False)
        fleet = compiled.fleet
        rest = [key for key in compiled.bridges if key not in (binding.bridge, to)]
        if rest:
            first = draw.choice(rest)
            other.time(partial(compiled.change, fleet, (first,)), collect=False)
        compiled.change(fleet, tuple(rest))
    return both.figure("", "ms").value, other.figure("", "ms").value if other.samples else 0.0


def _moves(compiled: Compiled, draw: random.Random) -> Iterator[tuple[EndpointKey, BridgeKey]]:
    facts = compiled.policy.endpoints
    homes: dict[frozenset[str], list[BridgeKey]] = {}
    for key, bindings in compiled.fleet.placement.bindings.items():
        homes.setdefault(facts[key].identities, []).append(bindings[0].bridge)
    for endpoint in draw.sample(sorted(facts), min(MOVES, len(facts))):
        yield endpoint, draw.choice(homes[facts[endpoint].identities])
