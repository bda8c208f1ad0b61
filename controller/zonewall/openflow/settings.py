"""What a session sets on its bridge as a whole, and anybody can set otherwise: looked at again."""

from __future__ import annotations

from zonewall.flows.wire import message
from zonewall.openflow import messages
from zonewall.openflow.session import Session

FRAGMENTS = "the handling of fragments"


async def keep_settings(session: Session) -> bool:
    """Set again how a bridge handles fragments, if somebody has set that otherwise; say whether.

    Raises:
        RequestRefused, SessionClosed: as the session's requests do.
    """
    kind = messages.GET_CONFIG_REQUEST
    if messages.handles_fragments_so(await session.request(FRAGMENTS, lambda xid: message(kind, xid, b""))):
        return False
    await session.request(FRAGMENTS, messages.set_config, barrier=True)
    return True
