"""A directory of documents to one checked configuration: whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zonewall.errors import ConfigurationError
from zonewall.policy.files import read_files
from zonewall.policy.findings import Finding, Location
from zonewall.policy.model import Configuration
from zonewall.policy.notes import MORE


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of reading: a configuration unless there are errors, everything found, and what was read."""

    configuration: Configuration | None
    findings: tuple[Finding, ...]
    texts: Mapping[str, bytes] = field(default_factory=dict)


Load = Callable[[Mapping[str, bytes]], LoadResult]


def load_directory(path: Path) -> Configuration:
    """Return the configuration below a directory.

    Raises:
        ConfigurationError: anything is wrong; it carries every finding.
    """
    result = read_directory(path)
    if result.configuration is None:
        raise ConfigurationError(result.findings)
    return result.configuration


def read_directory(
    path: Path, beside: Mapping[str, bytes | None] | None = None, load: Load | None = None
) -> LoadResult:
    """Return what the documents below a directory say, together with others ``beside`` them.

    One that lies in it and is named beside it, too, says what is said there; None: it does not count.
    ``load``: does what ``load_texts`` does.
    """
    texts, findings = read_files(path)
    if not texts:
        return LoadResult(None, tuple(findings))
    for name, text in (beside or {}).items():
        if text is None:
            texts.pop(name, None)
        else:
            texts[name] = text
    result = (load or load_texts)(texts)
    found = tuple(sorted((*findings, *result.findings), key=place_of))
    return LoadResult(None if findings else result.configuration, found, texts)


def load_texts(texts: Mapping[str, bytes]) -> LoadResult:
    """Return what documents say, by file name; pure."""
    # What reads documents is read itself when there are some to be read: a restart knows them mostly.
    from zonewall.policy.texts import read_texts  # noqa: PLC0415 - see above

    return read_texts(texts)[0]


def place_of(finding: Finding) -> tuple[bool, Location, str]:
    """Return what findings are sorted by: where they stand, and last that there are more."""
    return finding.code == MORE, finding.location, finding.message
