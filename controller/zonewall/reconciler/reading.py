"""Documents on their way into force: read and checked beside the event loop, against what is in force."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

from zonewall.errors import ZonewallError
from zonewall.placement.model import BridgeKey
from zonewall.policy.added import ADDED
from zonewall.policy.carried import carried_over
from zonewall.policy.model import Configuration
from zonewall.reconciler.budget import refusals
from zonewall.reconciler.schedule import Schedule
from zonewall.reconciler.world import World

Texts = Mapping[str, bytes]
"""Documents by name."""


async def accepted(
    world: World,
    schedule: Schedule,
    held: Mapping[BridgeKey, int | None],
    load: Callable[[], tuple[Configuration, Texts]],
    before: Configuration,
) -> tuple[Configuration, Texts]:
    """Return what ``load`` gives, if it may be put in force.

    Args:
        world: what is in force.
        schedule: says which rules hold.
        held: how many flows each bridge holds, None where that is not known.
        load: reads and checks; it may take seconds.
        before: what was read last; what has not changed of it is taken over.

    Raises:
        ZonewallError: it may not, and why.
    """

    def read() -> tuple[Configuration, Texts]:
        configuration, texts = load()
        configuration = carried_over(before, configuration)
        over = refusals(world, configuration, schedule.inactive(configuration), held)
        if over:
            raise ZonewallError("\n".join(over))
        return configuration, texts

    return await asyncio.get_running_loop().run_in_executor(None, read)


def beside(added: bytes) -> dict[str, bytes]:
    """Return the document of what was added by command as one among others; none where nothing was."""
    return {ADDED: added} if added else {}


def unchanged(texts: Texts, unfinished: Collection[str]) -> dict[str, bytes | None]:
    """Return what counts whatever is on disk: what was added by command, and documents as they were."""
    return beside(texts.get(ADDED, b"")) | {name: texts.get(name) for name in unfinished}


def is_emptied(before: Texts, after: Texts) -> bool:
    """Return whether a document is empty that was not: somebody may have begun to write it anew."""
    return any(not text and before.get(name) for name, text in after.items())


def with_added(texts: Texts, added: bytes) -> dict[str, bytes]:
    """Return documents with another document of what was added by command."""
    return {**{name: text for name, text in texts.items() if name != ADDED}, **beside(added)}
