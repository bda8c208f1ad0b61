"""What is applied for good is remembered across restarts only if it came into force."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from support.configurations import configure
from zonewall.errors import ZonewallError
from zonewall.policy.model import Configuration
from zonewall.reconciler.trial import Trials
from zonewall.store.applied_file import read_applied


class Recorder:
    """Takes what is done and keeps nothing."""

    def note(self, *_: object, **__: object) -> None:
        """Take a record."""


class Owner:
    """What a trial needs of the reconciler; says yes to configurations, or no."""

    def __init__(self, directory: Path, accepts: bool) -> None:
        self.directory = directory
        self.documents: Configuration = configure()
        self.texts: Mapping[str, bytes] = {}
        self.keepers: dict[object, object] = {}
        self.recorder = Recorder()
        self.refused_configuration = ""
        self._accepts = accepts

    async def read(self, _: Path) -> tuple[Configuration, Mapping[str, bytes]]:
        """Return documents that are valid."""
        return self.documents, {}

    def apply(self, _: Configuration, __: Mapping[str, bytes]) -> bool:
        """Put them in force, or say why not."""
        self.refused_configuration = "" if self._accepts else "a bridge would hold too much"
        return self._accepts


async def alive(_: object) -> bool:
    return True


@pytest.mark.asyncio
@pytest.mark.parametrize("accepts", [True, False])
async def test_a_directory_that_cannot_be_put_in_force_is_not_remembered(
    tmp_path: Path, accepts: bool
) -> None:
    given, other, file = tmp_path / "given", tmp_path / "other", tmp_path / "applied.json"
    owner = Owner(given, accepts)
    trials = Trials(owner, set, alive, file, given)  # type: ignore[arg-type]
    if accepts:
        await trials.apply({"directory": str(other)}, "ann")
    else:
        with pytest.raises(ZonewallError, match="too much"):
            await trials.apply({"directory": str(other)}, "ann")
    remembered = other if accepts else given
    assert read_applied(file, given) == remembered
    assert owner.directory == remembered
