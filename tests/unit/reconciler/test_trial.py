"""What is applied for good is remembered across restarts only if it came into force."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.configurations import at, configure
from zonewall.errors import ZonewallError
from zonewall.intent.host_ways import LostWay, lost_ways
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import (
    Attachment,
    BridgeDeclaration,
    HostDeclaration,
    PortDeclaration,
    PortRole,
)
from zonewall.policy.model import Configuration
from zonewall.reconciler import trial as trial_module
from zonewall.reconciler.controller import Controller
from zonewall.reconciler.faults import Faults
from zonewall.reconciler.reading import Texts
from zonewall.reconciler.trial import Trials
from zonewall.store.applied_file import read_applied, write_applied
from zonewall.store.options import Options
from zonewall.values.names import BridgeName, HostName, TenantName


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
        self.offered: Configuration | None = None

    async def read(self, _: Path) -> tuple[Configuration, Mapping[str, bytes]]:
        """Return documents that are valid."""
        return self.offered or self.documents, {}

    async def foresee(self, _: Configuration, _texts: Texts) -> None:
        """Work out nothing beforehand."""

    def lost_ways(self, configuration: Configuration) -> list[LostWay]:
        """Return which ways would be taken where every port is there."""
        return lost_ways(self.documents, configuration, lambda _, __: True)

    def apply(self, _: Configuration, __: Mapping[str, bytes], *, is_trial: bool = False) -> bool:
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


BRIDGE = BridgeKey(HostName("hv1"), BridgeName("br-int"))


def in_band(vlans: Mapping[int, TenantName], host_port: PortRole = PortRole.HOST) -> Configuration:
    """Return a configuration whose host may be reached through its bridge."""
    ports = {
        "br-int": PortDeclaration("br-int", host_port, at()),
        "eth1": PortDeclaration("eth1", PortRole.UPLINK, at(), vlans=vlans),
    }
    bridge = BridgeDeclaration(BRIDGE.bridge, Attachment.UNDERLAY, ports, at())
    host = HostDeclaration(BRIDGE.host, "hv1", "hv1", {BRIDGE.bridge: bridge}, at())
    return replace(configure(), inventory=replace(configure().inventory, hosts={BRIDGE.host: host}))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("after", "goes"),
    [
        (in_band({200: TenantName("acme")}), True),
        (in_band({0: TenantName("acme")}), False),
        (in_band({}, PortRole.FABRIC), False),
    ],
    ids=["another VLAN", "untagged frames become a tenant's", "no host port any more"],
)
@pytest.mark.parametrize(
    ("more", "why"),
    [({"confirm": 3600}, "no trial of this can go back"), ({}, "would lose it for good")],
    ids=["on trial", "for good"],
)
async def test_what_may_cut_a_host_off_is_applied_only_if_that_is_said(
    tmp_path: Path, after: Configuration, goes: bool, more: Mapping[str, object], why: str
) -> None:
    owner = Owner(tmp_path / "given", accepts=True)
    owner.documents, owner.offered = in_band({100: TenantName("acme")}), after
    owner.keepers = {BRIDGE: SimpleNamespace(link=object(), settled=alive)}
    trials = Trials(owner, set, alive, tmp_path / "applied.json", owner.directory)  # type: ignore[arg-type]
    said = {"directory": str(tmp_path / "other"), **more}
    if goes:
        await trials.apply(said, "ann")
    else:
        words = "hv1/br-int would no longer join its host port br-int with uplink eth1"
        with pytest.raises(ZonewallError, match=f"(?s){words}.*{why}.* say --even-if-cut-off$"):
            await trials.apply(said, "ann")
        assert (owner.directory, trials.trial) == (tmp_path / "given", None)
        assert not (tmp_path / "applied.json").exists()
        await trials.apply({**said, "even_if_cut_off": True}, "ann")
    assert owner.directory == tmp_path / "other"
    await trials.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize("is_given", [True, False])
async def test_of_a_link_the_link_is_followed_and_remembered(tmp_path: Path, is_given: bool) -> None:
    for version in ("41", "42"):
        (tmp_path / version).mkdir()
    current, given, file = tmp_path / "current", tmp_path / "given", tmp_path / "applied.json"
    current.symlink_to("41")
    given = current if is_given else given
    owner = Owner(given, accepts=True)
    trials = Trials(owner, set, alive, file, given)  # type: ignore[arg-type]
    await trials.apply({"directory": str(current)}, "ann")
    assert (owner.directory, read_applied(file, given)) == (current, current)
    await trials.apply({"directory": str(tmp_path / "41")}, "ann")
    assert read_applied(file, given) == tmp_path / "41", "to swap the link is not to change that one"


@pytest.mark.asyncio
async def test_a_pause_of_the_controller_is_not_taken_for_a_bridges_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_module, "ALIVE_S", 0.0)
    monkeypatch.setattr(trial_module, "LOOK_S", 0.0)
    owner = Owner(tmp_path / "given", accepts=True)
    owner.documents = in_band({})
    owner.keepers = {BRIDGE: SimpleNamespace(link=object(), settled=alive)}
    asked: list[object] = []

    async def silent_after_a_pause(key: object) -> bool:
        asked.append(key)
        if len(asked) == 1:
            time.sleep(trial_module.OWN_PAUSE_S + 0.1)  # the whole loop stands still
        return False

    file, trial = tmp_path / "applied.json", {"directory": str(tmp_path / "other"), "confirm": 3600}
    trials = Trials(owner, set, silent_after_a_pause, file, owner.directory)  # type: ignore[arg-type]
    await trials.apply(trial, "ann")
    async with asyncio.timeout(30):
        while trials.trial is not None:
            await asyncio.sleep(0)
    assert len(asked) > 1
    assert "hv1/br-int does not answer" in owner.refused_configuration


def test_where_what_was_applied_is_gone_the_error_says_how_to_do_without(tmp_path: Path) -> None:
    given, state = tmp_path / "given", tmp_path / "state"
    state.mkdir()
    with pytest.raises(ZonewallError, match=r"no such directory$"):
        Controller(given, Options(state=state))
    write_applied(state / "applied.json", tmp_path / "gone", given)
    words = f"(?s)no such directory.*put it right, or remove {state}/applied.json to begin with {given}$"
    with pytest.raises(ZonewallError, match=words):
        Controller(given, Options(state=state))


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
    closely: list[bool] = []
    file = tmp_path / "applied.json"
    trials = Trials(owner, Hosts(), alive, file, given, closely.append)  # type: ignore[arg-type]
    await trials.apply({"directory": str(other), "confirm": 3600}, "ann")
    owner.accepts = accepts_back
    async with asyncio.timeout(30):
        while trials.trial is not None:
            await asyncio.sleep(0.01)
    assert owner.directory == (given if accepts_back else other)
    said = "went back" if accepts_back else "is in force and should have gone back"
    assert said in owner.refused_configuration
    assert "KeyError" in owner.faults.status()[0]["fault"]
    assert closely == [True, False]


@pytest.mark.asyncio
@pytest.mark.parametrize("is_there", [False, True], ids=["the bridge goes", "the bridge stands mute"])
async def test_a_trial_by_which_a_bridge_is_lost_goes_back_at_once(tmp_path: Path, is_there: bool) -> None:
    given, other = tmp_path / "given", tmp_path / "other"
    owner = Owner(given, accepts=True)
    owner.documents = in_band({})
    bridge = SimpleNamespace(link=object())
    owner.keepers = {BRIDGE: bridge}
    is_mute = False

    async def answers(_: object) -> bool:
        return not is_mute

    trials = Trials(owner, set, answers, tmp_path / "applied.json", given)  # type: ignore[arg-type]
    await trials.apply({"directory": str(other), "confirm": 3600}, "ann")
    assert owner.directory == other
    is_mute = True
    bridge.link = bridge.link if is_there else None
    async with asyncio.timeout(30):
        while trials.trial is not None:
            await asyncio.sleep(0.01)
    assert owner.directory == given
    reason = "hv1/br-int does not answer" if is_there else "hv1/br-int was lost"
    assert reason in owner.refused_configuration


@pytest.mark.asyncio
async def test_of_two_trials_that_are_asked_for_at_once_the_later_one_is_refused(tmp_path: Path) -> None:
    class Slow(Owner):
        async def foresee(self, _: Configuration, _texts: Texts) -> None:
            await asyncio.sleep(0)

    owner = Slow(tmp_path / "given", accepts=True)
    trials = Trials(owner, set, alive, tmp_path / "applied.json", owner.directory)  # type: ignore[arg-type]
    first, second = ({"directory": str(tmp_path / name), "confirm": 3600} for name in "ab")
    done, refused = await asyncio.gather(
        trials.apply(first, "ann"), trials.apply(second, "bob"), return_exceptions=True
    )
    assert done is None
    assert "on trial since a moment ago" in str(refused)
    assert owner.directory == tmp_path / "a"
    await trials.stop()
