"""Every exception that zonewall raises on purpose.

::

    ZonewallError                 one line for the user, says what to do
    ├── ConfigurationError        the documents are unusable; carries all findings
    ├── CompileError              a valid configuration that a bridge cannot carry out
    ├── EncodingError             a flow or message that has no OpenFlow form
    ├── BridgeError               a bridge refused or broke the protocol
    │   ├── AdmissionError        a bridge or host is not who the inventory says
    │   └── TooManyError          a host's database has more than is believed of one
    ├── JournalError              the journal cannot be read or written
    │   └── JournalDamagedError   its file is no longer a journal
    │       └── JournalNewerError its file is a newer version's
    ├── ControllerBrokenError     a part that the controller cannot do without has ended
    └── ControllerUnreachableError  the command needs a running controller
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zonewall.policy.findings import Finding


class ZonewallError(Exception):
    """Base of all: its text is one line that a user can act on."""


class ConfigurationError(ZonewallError):
    """The configuration cannot be used; nothing of it was applied."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        """Keep every finding; the text shows the errors, one a line."""
        self.findings = findings
        super().__init__("\n".join(str(finding) for finding in findings if finding.is_error))


class CompileError(ZonewallError):
    """A valid configuration that cannot be carried out on a bridge."""


class EncodingError(ZonewallError):
    """A flow or a message that has no OpenFlow form."""


class BridgeError(ZonewallError):
    """A bridge refused something, or broke the protocol."""


class AdmissionError(BridgeError):
    """A bridge or a host is not who the inventory says."""


class TooManyError(BridgeError):
    """A host's database has more than is believed of one."""

    def __init__(self, what: str, most: int) -> None:
        """``what`` there is more of than ``most``."""
        super().__init__(f"its database has more {what} than are believed of a host ({most}); see most-ports")


class JournalError(ZonewallError):
    """The journal cannot be read or written; enforcement does not depend on it."""


class JournalDamagedError(JournalError):
    """What is in the journal's file is no journal any more."""


class JournalNewerError(JournalDamagedError):
    """The journal's file is of a newer version, whose form this one cannot read."""


class ControllerBrokenError(ZonewallError):
    """A part of the controller has ended that it cannot do without; whoever runs it starts it again."""


class ControllerUnreachableError(ZonewallError):
    """No running controller answered."""
