"""Changes by which a controller may cut itself off from a host: refused unless an operator says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zonewall.errors import ZonewallError
from zonewall.intent.host_ways import LostWay

FLAG = "--even-if-cut-off"
_FOR_GOOD = "it would lose it for good"


def refuse_edit(lost: Sequence[LostWay], directory: Path) -> None:
    """Refuse documents that were saved.

    Raises:
        ZonewallError: they take a host's way.
    """
    _refuse(lost, _FOR_GOOD, f"`zonewall apply {directory} {FLAG}`")


def refuse_apply(lost: Sequence[LostWay], *, is_trial: bool) -> None:
    """Refuse documents that were applied.

    Raises:
        ZonewallError: they take a host's way; a trial of them could not go back.
    """
    _refuse(lost, "no trial of this can go back" if is_trial else _FOR_GOOD, FLAG)


def _refuse(lost: Sequence[LostWay], outcome: str, say: str) -> None:
    if lost:
        ways = "\n".join(map(str, lost))
        raise ZonewallError(
            f"{ways}\nif the controller reaches that host this way, {outcome}; if it does not, say {say}"
        )
