"""What is wrong with the documents, and where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a document; line and column count from 1, the file is relative to the configuration."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """Return ``file:line:column``."""
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def at(self) -> str:
        """Return ``file:line``, the form that verdicts and flows carry."""
        return f"{self.file}:{self.line}"


class Severity(Enum):
    """Errors refuse the configuration; warnings do not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to tell the author of a document.

    Attributes:
        code: a stable word for the kind of finding, such as ``unknown-zone``.
        message: what is wrong and what would be right, one line.
    """

    severity: Severity
    code: str
    location: Location
    message: str

    @property
    def is_error(self) -> bool:
        """Say whether the configuration is unusable because of this."""
        return self.severity is Severity.ERROR

    def __str__(self) -> str:
        """Return ``file:line:column: message``, warnings marked."""
        prefix = "" if self.is_error else "warning: "
        return f"{self.location}: {prefix}{self.message}"
