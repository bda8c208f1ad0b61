"""How a session fails."""

from __future__ import annotations

from zonewall.errors import BridgeError
from zonewall.flows.encoded import EncodedFlow, FlowKey
from zonewall.openflow.error_names import error_name


class SessionClosed(BridgeError):  # noqa: N818
    """The session ended before the answer came; what was asked may or may not have been done."""


class Malformed(BridgeError):  # noqa: N818
    """A message that breaks OpenFlow's rules; its session is cut."""


class RequestRefused(BridgeError):  # noqa: N818
    """A bridge answered a request with an error."""

    def __init__(self, what: str, kind: int, code: int) -> None:
        """Keep OpenFlow's error type and code (OpenFlow 1.5.1, 7.5.4)."""
        self.kind = kind
        self.code = code
        super().__init__(f"the bridge refused {what}: {error_name(kind, code)}")


class BundleRefused(RequestRefused):
    """A bundle was refused, so that nothing of it was done.

    Attributes:
        flow: the flow, or the key of the deletion, that the bridge named; None when it is a group or unknown.
    """

    def __init__(self, what: str, kind: int, code: int, flow: EncodedFlow | FlowKey | None) -> None:
        """Keep the flow, and OpenFlow's error type and code."""
        self.flow = flow
        super().__init__(what, kind, code)
