"""Endpoints that operators add and remove while the controller runs, beside those of the documents."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from zonewall.errors import ZonewallError
from zonewall.journal.record import Kind
from zonewall.policy.added import ADDED, Part, added_parts, added_text, part_key
from zonewall.reconciler.reconciler import Reconciler
from zonewall.store.added_file import write_added
from zonewall.values.addresses import format_mac
from zonewall.values.names import EndpointKey

MOST_AT_ONCE = 1_000
"""Endpoints in one request."""


class AddedEndpoints:
    """Carries out what is asked of them: on disk first, then in force, or neither."""

    def __init__(self, reconciler: Reconciler, is_on_trial: Callable[[], bool]) -> None:
        """Change what ``reconciler`` has in force, but not while another configuration is on trial."""
        self._reconciler = reconciler
        self._file = reconciler.added_file
        self._is_on_trial = is_on_trial
        self.actions: Mapping[str, Callable[[Mapping[str, Any], str], Awaitable[None]]] = {
            "endpoint-add": self.add,
            "endpoint-remove": self.remove,
        }

    async def add(self, said: Mapping[str, Any], who: str) -> None:
        """Add endpoints, each a mapping as in an inventory's ``endpoints``; all of them or none.

        With ``replace`` one that was added before is described anew.

        Raises:
            ZonewallError: one cannot be used beside what there is; nothing has changed.
        """
        wanted = _several(said.get("endpoints"), "endpoints", dict, "endpoints as an inventory has them")
        async with self._reconciler.changing:
            parts = self._parts()
            if said.get("replace") is True:
                new = {part_key(part) for part in wanted}
                parts = [part for part in parts if part_key(part) not in new]
            await self._put([*parts, *wanted], who)
            for part in wanted:
                self._note("add endpoint", part_key(part), who)

    async def remove(self, said: Mapping[str, Any], who: str) -> None:
        """Remove endpoints that were added, by their names ``tenant/name``; all of them or none.

        Raises:
            ZonewallError: one was not added by command, or the rest cannot be used without it.
        """
        names = _several(said.get("endpoints"), "endpoints", str, "names, each tenant/name")
        gone = {EndpointKey(name) for name in names}
        async with self._reconciler.changing:
            parts = self._parts()
            for key in sorted(gone - {part_key(part) for part in parts}):
                raise ZonewallError(self._not_added(key))
            await self._put([part for part in parts if part_key(part) not in gone], who)
            for key in sorted(gone):
                self._note("remove endpoint", key, who)

    def _parts(self) -> list[Part]:
        if self._is_on_trial():
            raise ZonewallError(
                "a configuration is on trial; say `zonewall confirm`, or wait until it goes back"
            )
        text = self._reconciler.texts.get(ADDED, b"")
        return added_parts(text) if text else []

    async def _put(self, parts: Sequence[Part], who: str) -> None:
        reconciler = self._reconciler
        before, after = reconciler.texts.get(ADDED, b""), added_text(parts)
        configuration, texts = await reconciler.read_with(after)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, write_added, self._file, after)
        await reconciler.foresee(configuration, texts)
        # What was refused of the documents on disk is refused still.
        refused = reconciler.refused_configuration
        is_in_force = reconciler.apply(configuration, texts, who)
        said, reconciler.refused_configuration = reconciler.refused_configuration, refused
        if not is_in_force:
            await loop.run_in_executor(None, write_added, self._file, before)
            raise ZonewallError(said)

    def _not_added(self, key: EndpointKey) -> str:
        declared = self._reconciler.documents.inventory.endpoints.get(key)
        if declared is None:
            return f"{key}: no such endpoint; `zonewall endpoint list` names them"
        return f"{key} is in the documents, at {declared.location.at}; remove it there"

    def _note(self, action: str, key: EndpointKey, who: str) -> None:
        self._reconciler.recorder.note(Kind.ADMIN, who, endpoint=key, action=action, reason="")


def endpoint_rows(reconciler: Reconciler) -> list[dict[str, Any]]:
    """Return every endpoint, where it is described, and where it is."""
    world = reconciler.world
    return [
        {
            "endpoint": str(key),
            "mac": format_mac(declared.mac),
            "added": declared.location.file == ADDED,
            "at": declared.location.at,
            "places": [
                {"bridge": str(one.bridge), "state": one.state.value}
                for one in world.fleet.bindings.get(key, ())
            ],
        }
        for key, declared in sorted(world.configuration.inventory.endpoints.items())
    ]


def _several(said: object, what: str, kind: type, wanted: str) -> list[Any]:
    if (
        isinstance(said, list)
        and 0 < len(said) <= MOST_AT_ONCE
        and all(isinstance(one, kind) for one in said)
    ):
        return said
    raise ZonewallError(f"{what}: a list of 1 to {MOST_AT_ONCE} {wanted}")
