"""How a session fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from zonewall.errors import BridgeError
from zonewall.flows.encoded import EncodedFlow, FlowKey
from zonewall.flows.oxm import FORMS
from zonewall.openflow.error_names import error_name, is_known

FENCED: Final = "another controller, started later, is the bridge's master"


def forget_frames(error: BaseException) -> None:
    """Let go of what a connection that has ended was made of, a quarter of a megabyte with TLS.

    An error that a future keeps holds the frames that it came through, and these the future: that would be
    there until all garbage is looked for, which is seldom, and strangers can have any number of it made.
    """
    left: list[BaseException | None] = [error]
    while left:
        if (one := left.pop()) is not None and one.__traceback__ is not None:
            one.__traceback__ = None
            left += [one.__cause__, one.__context__]


_NOT_KNOWN: Final = frozenset({(1, 1), (1, 2), (1, 3), (1, 4)})
"""BAD_REQUEST: BAD_TYPE, BAD_MULTIPART, BAD_EXPERIMENTER, BAD_EXPERIMENTER_TYPE (OpenFlow 1.5.1, 7.5.4.2)."""


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
        self.reason = error_name(kind, code)
        if (kind, code) in _NOT_KNOWN:
            said = f"the bridge lacks support for {what}: {self.reason}; it takes Open vSwitch 2.17 or newer"
        else:
            said = f"the bridge refused {what}: {self.reason}"
        super().__init__(said)

    @property
    def is_stale(self) -> bool:
        """Say whether a controller of a newer generation is master (OFPRRFC_STALE)."""
        return (self.kind, self.code) == (11, 0)


class MeterRefused(RequestRefused):
    """A bridge refused a meter."""

    def __init__(self, number: int, what: str, kind: int, code: int) -> None:
        """Keep the meter's number, and OpenFlow's error type and code."""
        self.number = number
        super().__init__(what, kind, code)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One message of a bundle that a bridge refused.

    Attributes:
        flow: the flow, or the key of the deletion; None when it is a group or unknown.
    """

    what: str
    kind: int
    code: int
    flow: EncodedFlow | FlowKey | None

    @property
    def reason(self) -> str:
        """Return what the standard calls the error, and of connection tracking which fields are matched."""
        text = error_name(self.kind, self.code)
        if (self.kind, self.code) == _LACKS_TRACKING and self.flow is not None:
            return f"{text}: {', '.join(_tracking_fields(self.flow.match))}"
        return text

    @property
    def is_table_full(self) -> bool:
        """Say whether the table has no room (OFPFMFC_TABLE_FULL)."""
        return (self.kind, self.code) == (5, 1)

    @property
    def is_about_the_flow(self) -> bool:
        """Say whether the flow itself is refused: it, not the session's rights or the bundle, is at fault.

        So is an error that has no name here, as a later version or another switch may have: it came for it.
        """
        is_its = self.kind in _ABOUT_A_FLOW or not is_known(self.kind, self.code)
        return is_its and isinstance(self.flow, EncodedFlow)


_LACKS_TRACKING: Final = (0xFFFF, 43)
_TRACKING: Final = {FORMS[name].header >> 9: name for name in ("ct_state", "ct_zone", "ct_mark", "ct_label")}


def _tracking_fields(match: bytes) -> Iterator[str]:
    """Yield the fields of connection tracking that a match in canonical bytes is about."""
    position = 0
    while position + 4 <= len(match):
        header = int.from_bytes(match[position : position + 4], "big")
        if header >> 9 in _TRACKING:
            yield _TRACKING[header >> 9]
        position += 4 + (header & 0xFF)


_ABOUT_A_FLOW = frozenset({2, 3, 4, 5, 0xFFFF})
"""BAD_ACTION, BAD_INSTRUCTION, BAD_MATCH, FLOW_MOD_FAILED, and Open vSwitch's own."""


class BundleRefused(RequestRefused):
    """A bundle was refused: nothing of it was done, or of one committed at once what was not refused.

    Attributes:
        refusals: what the bridge named, in the bundle's order; at least one.
        is_partly_done: what was not refused may be in force; what the bridge holds is to be read.
    """

    def __init__(self, refusals: tuple[Refusal, ...], *, is_partly_done: bool = False) -> None:
        """Keep what was refused; the text is the first one's."""
        self.refusals = refusals
        self.is_partly_done = is_partly_done
        first = refusals[0]
        super().__init__(first.what, first.kind, first.code)

    @property
    def flow(self) -> EncodedFlow | FlowKey | None:
        """Return the first flow, or key of a deletion, that the bridge named."""
        return self.refusals[0].flow
