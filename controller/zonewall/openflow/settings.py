"""What a session sets on its bridge as a whole, and anybody can set otherwise: looked at again."""

from __future__ import annotations

from zonewall.flows.wire import message
from zonewall.openflow import messages
from zonewall.openflow.errors import RequestRefused
from zonewall.openflow.session import Session

FRAGMENTS = "the handling of fragments"


async def keep_settings(session: Session) -> bool:
    """Set again how a bridge handles fragments, if somebody has set that otherwise; say whether.

    Raises:
        RequestRefused: it does not take that any more.
        SessionClosed: it did not answer.
    """
    kind = messages.GET_CONFIG_REQUEST
    try:
        said = await session.request(FRAGMENTS, lambda xid: message(kind, xid, b""))
    except RequestRefused:
        return False  # who does not say it has been told when the session began
    if messages.handles_fragments_so(said):
        return False
    await session.request(FRAGMENTS, messages.set_config, barrier=True)
    return True
