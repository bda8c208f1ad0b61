"""What is applied for good is remembered across restarts only if it came into force."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.configurations import configure
from zonewall.errors import ZonewallError
from zonewall.policy.model import Configuration
from zonewall.reconciler.faults import Faults
from zonewall.reconciler.trial import Trials
from zonewall.store.applied_file import read_applied
from zonewall.values.names import HostName


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
        self.faults = Faults()
        self.accepts = accepts

    async def read(self, _: Path) -> tuple[Configuration, Mapping[str, bytes]]:
        """Return documents that are valid."""
        return self.documents, {}

    def apply(self, _: Configuration, __: Mapping[str, bytes]) -> bool:
        """Put them in force, or say why not."""
        self.refused_configuration = "" if self.accepts else "a bridge would hold too much"
        return self.accepts


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


class Hosts:
    """Which databases are connected; from the second question on nobody knows."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> list[HostName]:
        self.asked += 1
        if self.asked > 1:
            raise KeyError("hv1")
        return []


@pytest.mark.asyncio
@pytest.mark.parametrize("accepts_back", [True, False])
async def test_a_trial_that_cannot_be_watched_goes_back_and_one_that_cannot_go_back_says_so(
    tmp_path: Path, accepts_back: bool
) -> None:
    given, other = tmp_path / "given", tmp_path / "other"
    owner = Owner(given, accepts=True)
    trials = Trials(owner, Hosts(), alive, tmp_path / "applied.json", given)  # type: ignore[arg-type]
    await trials.apply({"directory": str(other), "confirm": 3600}, "ann")
    owner.accepts = accepts_back
    async with asyncio.timeout(30):
        while trials.trial is not None:
            await asyncio.sleep(0.01)
    assert owner.directory == (given if accepts_back else other)
    said = "went back" if accepts_back else "is in force and should have gone back"
    assert said in owner.refused_configuration
    assert "KeyError" in owner.faults.status()[0]["fault"]
