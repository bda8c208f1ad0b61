"""What commands may ask a running controller about: what is in force, and what a bridge really holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from zonewall.errors import ZonewallError
from zonewall.flows.connection_rows import is_put
from zonewall.flows.drift import find_drift
from zonewall.flows.encoded import BridgeState, EncodedFlow
from zonewall.flows.ending import with_timeouts
from zonewall.flows.generation import is_out_of_force, sides, turned_state
from zonewall.flows.wire import encode_program
from zonewall.pipeline.compile import compile_bridge
from zonewall.pipeline.cookie import is_ours
from zonewall.reconciler.added import endpoint_rows
from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.status import bridge_rows
from zonewall.store.options import JOURNAL_FILE
from zonewall.store.placement_document import placement_document

READ_S = 8.0
"""Seconds that a bridge is given to say what it holds."""


async def look(reconciler: Reconciler, name: str, words: Mapping[str, str]) -> dict[str, Any]:
    """Return what is asked about.

    Raises:
        ZonewallError: there is no such view, or the bridge is not there.
    """
    view = VIEWS.get(name)
    if view is None:
        raise ZonewallError(f"{name}: no such view; there are {', '.join(sorted(VIEWS))}")
    return await view(reconciler, words)


async def _in_force(reconciler: Reconciler, words: Mapping[str, str]) -> dict[str, Any]:
    """Return the documents in force, the numbers given, and where everything is."""
    del words
    world = reconciler.world
    return {
        "directory": str(reconciler.directory),
        "documents": {
            file: text.decode("utf-8", "surrogateescape") for file, text in reconciler.texts.items()
        },
        "numbering": world.policy.numbering.to_plain(),
        "addresses": [
            [str(one.endpoint), str(one.address), one.source.value]
            for one in reconciler.addresses.book.in_order()
        ],
        "placement": placement_document(world.fleet.placement()),
        "out_of_force": sorted(world.inactive),
        "journal": str((reconciler.numbers.file.parent / JOURNAL_FILE).absolute()),
        "outliving": [[one.rule, one.until] for one in world.policy.passing.outliving],
    }


async def _held(reconciler: Reconciler, words: Mapping[str, str]) -> dict[str, Any]:
    """Return where a bridge holds other flows than it should, read from it now."""
    key = next((one for one in reconciler.keepers if str(one) == words.get("bridge")), None)
    if key is None:
        raise ZonewallError(f"{words.get('bridge')} is no managed bridge; status has all of them")
    link = reconciler.keepers[key].link
    if link is None:
        raise ZonewallError(f"{key} is away; what it holds cannot be read")
    fleet = reconciler.world.indexed
    program = await asyncio.get_running_loop().run_in_executor(None, compile_bridge, fleet, key)
    wanted = with_timeouts(encode_program(program), time.time())
    async with asyncio.timeout(READ_S):
        state = await link.read_state((wanted,))
    ours = {flow_key: flow for flow_key, flow in state.flows.items() if is_put(flow)}
    turned = turned_state(BridgeState(ours, state.groups, wanted.meters), sides(ours.values()))
    drift = find_drift(turned, wanted)
    foreign = [flow for flow in state.flows.values() if not is_ours(flow.cookie)]
    return {
        "bridge": str(key),
        "flows": len(state.flows),
        "missing": _plain(drift.missing),
        "changed": _plain(drift.changed),
        "unknown": _plain(flow for flow in drift.unknown if not is_out_of_force(flow.match)),
        "foreign": _plain(foreign),
    }


def _plain(flows: Iterable[EncodedFlow]) -> list[dict[str, Any]]:
    return [
        {"table": flow.table, "priority": flow.priority, "match": flow.match.hex(), "cookie": flow.cookie}
        for flow in flows
    ]


async def _endpoints(reconciler: Reconciler, words: Mapping[str, str]) -> dict[str, Any]:
    """Return every endpoint and where it is described."""
    del words
    return {"endpoints": endpoint_rows(reconciler)}


async def _bridges(reconciler: Reconciler, words: Mapping[str, str]) -> dict[str, Any]:
    """Return what the status says of the bridges, for whoever asks often."""
    del words
    return {"bridges": bridge_rows(reconciler)}


VIEWS: Mapping[str, Callable[[Reconciler, Mapping[str, str]], Awaitable[dict[str, Any]]]] = {
    "bridges": _bridges,
    "endpoints": _endpoints,
    "in-force": _in_force,
    "held": _held,
}
