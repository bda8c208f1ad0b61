"""A session with a bridge as the keeper and the events see it."""

from __future__ import annotations

from zonewall.flows.diff import Change
from zonewall.flows.encoded import BridgeState
from zonewall.flows.staging import Plan
from zonewall.openflow import bundle
from zonewall.openflow.session import Session


class SessionLink:
    """One live session; a new connection of the same bridge is another link."""

    def __init__(self, session: Session) -> None:
        """Speak through ``session``."""
        self.session = session

    async def read_state(self) -> BridgeState:
        """Return every flow, group and meter of the bridge."""
        return await self.session.read_state()

    async def watch(self) -> bool:
        """Have the bridge tell of flows that others change; False if it cannot."""
        return await self.session.watch_flows()

    async def change(self, change: Change, planned: Plan) -> None:
        """Change the bridge part by part, and wait until it is done.

        Raises:
            BridgeError: it refused, or the session ended.
        """
        await bundle.apply_plan(self.session, change, planned)

    async def packet_out(self, in_port: int, actions: bytes, frame: bytes) -> None:
        """Have the bridge do actions with a frame."""
        await self.session.packet_out(in_port, actions, frame)
