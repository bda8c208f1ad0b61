"""The common form of a case, and where the cases are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from zonewall.intent.semantics import Probe, Verdict, verdict
from zonewall.policy.model import Action, Configuration

ALLOWED = frozenset({Action.ALLOW})
DROPPED = frozenset({Action.DROP})
REJECTED = frozenset({Action.REJECT})
BLOCKED = DROPPED | REJECTED

_DEFAULT = Path(__file__).parents[2].parent / "shared" / "conformance"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must come out of one probe: any of the verdicts, and by this rule if one is said."""

    probe: Probe
    verdicts: frozenset[Action]
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One state of one system.

    Attributes:
        id: unique over all suites.
        group: cases of one group are successive states, in the order in which they are listed.
    """

    id: str
    configuration: Configuration
    expectations: tuple[Expectation, ...]
    group: str

    def __str__(self) -> str:
        """Return the id, which names the test."""
        return self.id


def directory() -> Path:
    """Return where the cases are: ``ZONEWALL_CONFORMANCE``, or ``../shared/conformance``.

    Raises:
        FileNotFoundError: they are not there, so that a run without them is never green.
    """
    path = Path(os.environ.get("ZONEWALL_CONFORMANCE", _DEFAULT))
    if not path.is_dir():
        raise FileNotFoundError(f"no conformance cases in {path}; set ZONEWALL_CONFORMANCE to where they are")
    return path


def failures(case: Case) -> list[str]:
    """Return each probe of the case that the evaluator judges otherwise, in words."""
    found = []
    for expected in case.expectations:
        answer = verdict(case.configuration, expected.probe)
        right = (
            isinstance(answer, Verdict)
            and answer.verdict in expected.verdicts
            and expected.rule in (None, answer.rule)
        )
        if not right:
            found.append(f"{expected.probe}: {answer}, but should be {expected.verdicts} {expected.rule}")
    return found
