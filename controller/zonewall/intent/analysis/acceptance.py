"""Whether what was read may be applied: valid documents whose own assertions hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from zonewall.errors import ConfigurationError
from zonewall.intent.analysis.assertions import assertion_findings
from zonewall.policy.load import Load, LoadResult, load_texts, read_directory
from zonewall.policy.model import Configuration


def accept(result: LoadResult, at: datetime) -> LoadResult:
    """Return what was read, refused if an assertion does not hold at ``at`` or later."""
    if result.configuration is None:
        return result
    broken = assertion_findings(result.configuration, at)
    if not broken:
        return result
    found = sorted((*result.findings, *broken), key=lambda finding: (finding.location, finding.message))
    return replace(result, configuration=None, findings=tuple(found))


def load_accepted(
    path: Path, at: datetime, beside: Mapping[str, bytes | None] | None = None, load: Load | None = None
) -> tuple[Configuration, Mapping[str, bytes]]:
    """Return the configuration below a directory if it may be applied, and the documents by file name.

    ``beside`` and ``load``: as ``read_directory`` has them.

    Raises:
        ConfigurationError: anything is wrong, or an assertion does not hold; it carries every finding.
    """
    return _accepted(read_directory(path, beside, load), at)


def accepted_texts(
    texts: Mapping[str, bytes], at: datetime, load: Load | None = None
) -> tuple[Configuration, Mapping[str, bytes]]:
    """Return what documents say if it may be applied, and them.

    Raises:
        ConfigurationError: as ``load_accepted``.
    """
    return _accepted(replace((load or load_texts)(texts), texts=texts), at)


def _accepted(read: LoadResult, at: datetime) -> tuple[Configuration, Mapping[str, bytes]]:
    result = accept(read, at)
    if result.configuration is None:
        raise ConfigurationError(result.findings)
    return result.configuration, result.texts
