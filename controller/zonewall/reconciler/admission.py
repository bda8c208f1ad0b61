"""Which bridges are let in, under the identity that the inventory gives; and which no longer are."""

from __future__ import annotations

from collections.abc import Callable

from zonewall.openflow.door import Admission
from zonewall.openflow.session import Session
from zonewall.ovsdb.admission import HostSet, as_before
from zonewall.placement.model import BridgeKey
from zonewall.reconciler.world import World
from zonewall.values.names import DatapathId

FEW = 64
"""So many ids without a session are remembered beside twice as many as there are sessions."""


class Admissions:
    """Confined to the controller's loop; ``sessions`` are those of all listeners, by datapath id."""

    def __init__(self, world: Callable[[], World], have_shown: HostSet) -> None:
        """Judge by the world of the moment, and by who has ever shown a certificate."""
        self.sessions: dict[int, Session] = {}
        self._let_in_as: dict[int, BridgeKey] = {}
        self._world = world
        self._have_shown = have_shown

    def admit(self, datapath_id: int, names: frozenset[str] | None, peer: str) -> Admission:
        """Let a bridge in or not; ``names``: of its checked certificate, None without TLS.

        A host whose ``certificate:`` is in the inventory, or that has ever shown one, is let in with a
        certificate only: whoever reaches a plain listener could have its datapath id.
        """
        known_as = self._world().known_as(DatapathId(datapath_id), names)
        key = self._world().bridge_of(known_as)
        if key is None:
            return Admission(False, f"datapath id {datapath_id:016x} is no managed bridge's")
        refusal = self._refusal(key, names, peer)
        if refusal:
            return Admission(False, refusal)
        if names is not None:
            self._have_shown.add(key.host)
        if len(self._let_in_as) > 2 * len(self.sessions) + FEW:  # a host may name another id each time
            self._let_in_as = {other: of for other, of in self._let_in_as.items() if other in self.sessions}
        self._let_in_as[known_as] = key
        return Admission(True, known_as=known_as)

    def again(self, bridge: BridgeKey | None = None) -> None:
        """Close sessions of bridges that would not be let in now, or as others: the inventory has changed.

        Who is another bridge by now, such as that of a host under a new name, is let in as that anew. With a
        ``bridge`` only who was let in as that is judged: its host's database has said another id of it.
        """
        before = self._let_in_as
        self._let_in_as = (
            {} if bridge is None else {other: of for other, of in before.items() if of != bridge}
        )
        for datapath_id, session in tuple(self.sessions.items()):
            if bridge is not None and before.get(datapath_id) != bridge:
                continue
            admission = self.admit(datapath_id, session.certificate_names, session.peer_address)
            now = self._let_in_as.get(datapath_id)
            if not admission.is_admitted:
                session.close(f"no longer admitted: {admission.reason}")
            elif now != before.get(datapath_id):
                session.close(f"it is {now} by what is known now")

    def _refusal(self, key: BridgeKey, names: frozenset[str] | None, peer: str) -> str:
        declared = self._world().configuration.inventory.hosts[key.host]
        if names is None:
            if not declared.must_show and key.host not in self._have_shown:
                return ""
            missing = f"{peer} speaks for {key} without a certificate; it must show {declared.certificate}"
            return missing if declared.must_show else f"{missing}, {as_before(key.host)}"
        if declared.certificate not in names:
            shown = ", ".join(sorted(names))[:200] or "no name"
            return f"{peer} speaks for {key} with a certificate of {shown}, not {declared.certificate}"
        return ""
