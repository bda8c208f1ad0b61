"""What documents will lead to is worked out before they count; it is used for nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zonewall.flows.encoded import BridgeState
from zonewall.flows.layers import Layers
from zonewall.intent.fleet import Fleet
from zonewall.intent.passing import NOTHING_PASSES
from zonewall.placement.model import BridgeKey
from zonewall.policy.model import Configuration
from zonewall.reconciler.actions import carry_out
from zonewall.reconciler.compiler import Compiler
from zonewall.reconciler.foresight import Foresight
from zonewall.reconciler.holdings import Holdings
from zonewall.reconciler.reading import Texts
from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.world import World
from zonewall.values.names import BridgeName, EndpointKey, HostName, TenantName

DOCUMENTS = """\
kind: inventory
hosts: {{hv1: {{bridges: {{br-int: {{attachment: fabric}}}}}}}}
endpoints:
  - {{name: web1, tenant: acme, iface-id: web1, mac: "52:54:00:00:00:01", ips: [10.0.0.1]}}
  - {{name: db1, tenant: acme, iface-id: db1, mac: "52:54:00:00:00:02", ips: [10.0.0.2]}}
---
kind: tenant
tenant: acme
tiers:
  - name: application
    rules: [{{name: web, from: any, to: any, services: [{service}], action: allow}}]
"""
Edit = tuple[Configuration, Texts]
KEY = BridgeKey(HostName("hv1"), BridgeName("br-int"))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Configuration]:
    """Return the configurations for which a next world was worked out."""
    asked: list[Configuration] = []
    reconfigured = World.reconfigured

    def noted(self: World, wanted: Configuration, *said: object) -> object:
        asked.append(wanted)
        return reconfigured(self, wanted, *said)  # type: ignore[arg-type]

    monkeypatch.setattr(World, "reconfigured", noted)
    return asked


def saved(tmp_path: Path, service: str) -> None:
    policies = tmp_path / "policies"
    policies.mkdir(exist_ok=True)
    (policies / "all.yaml").write_text(DOCUMENTS.format(service=service))


def running(tmp_path: Path, do: Callable[[Reconciler, Edit], Awaitable[None]]) -> Reconciler:
    """Return a reconciler with which something was done once a rule for tcp/22 was read."""
    saved(tmp_path, "tcp/80")
    reconciler = Reconciler(tmp_path / "policies", tmp_path / "state", b"k" * 32)

    async def run() -> None:
        saved(tmp_path, "tcp/22")
        await do(reconciler, await reconciler.read(reconciler.directory))

    asyncio.run(run())
    return reconciler


def ports(reconciler: Reconciler) -> list[tuple[int, int]]:
    (tier,) = reconciler.world.configuration.tenants[TenantName("acme")].tiers
    return [ports for rule in tier.rules for service in rule.services for ports in service.ports]


def test_what_was_foreseen_is_put_in_force_and_not_worked_out_again(
    tmp_path: Path, steps: list[Configuration]
) -> None:
    async def do(reconciler: Reconciler, edit: Edit) -> None:
        await reconciler.foresee(edit[0], {})
        assert ports(reconciler) == [(80, 80)]
        assert len(steps) == 1
        assert reconciler.apply(*edit)

    assert ports(running(tmp_path, do)) == [(22, 22)]
    assert len(steps) == 1


def test_what_happens_meanwhile_is_not_lost(tmp_path: Path, steps: list[Configuration]) -> None:
    async def do(reconciler: Reconciler, edit: Edit) -> None:
        await reconciler.foresee(edit[0], {})
        carry_out(reconciler, "quarantine", {"endpoint": "acme/web1", "reason": "odd traffic"}, "root")
        assert reconciler.apply(*edit)

    reconciler = running(tmp_path, do)
    assert ports(reconciler) == [(22, 22)]
    assert [one.reason for one in reconciler.world.fleet.records[EndpointKey("acme/web1")].holds] == [
        "odd traffic"
    ]
    assert len(steps) == 2


def test_what_is_overtaken_leaves_nothing_behind(tmp_path: Path, steps: list[Configuration]) -> None:
    async def do(reconciler: Reconciler, edit: Edit) -> None:
        await reconciler.foresee(edit[0], {})
        before = reconciler.world
        saved(tmp_path, "tcp/443")
        other = await reconciler.read(reconciler.directory)
        assert reconciler.world is before
        assert reconciler.apply(*other)

    assert ports(running(tmp_path, do)) == [(443, 443)]
    assert len(steps) == 2


def test_what_cannot_be_foreseen_is_told_when_it_is_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("no more numbers")

    async def do(reconciler: Reconciler, edit: Edit) -> None:
        monkeypatch.setattr(World, "reconfigured", fails)
        await reconciler.foresee(edit[0], {})
        assert not reconciler.refused_configuration
        assert not reconciler.apply(*edit)

    reconciler = running(tmp_path, do)
    assert "no more numbers" in reconciler.refused_configuration
    assert ports(reconciler) == [(80, 80)]


@pytest.mark.parametrize(("bridges", "are_made"), [(1, True), (8, True), (9, False)])
def test_flows_of_a_few_bridges_are_made_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bridges: int, are_made: bool
) -> None:
    made: list[BridgeKey] = []

    def noted(self: Compiler, fleet: Fleet, key: BridgeKey, *said: object) -> None:
        made.append(key)

    monkeypatch.setattr(Compiler, "begin", noted)

    async def do(reconciler: Reconciler, edit: Edit) -> None:
        keys = [BridgeKey(HostName("hv1"), BridgeName(f"br{number}")) for number in range(bridges)]
        keeper: Any = SimpleNamespace(holdings=Holdings(KEY))
        reconciler.keepers = dict.fromkeys(keys, keeper)
        await reconciler.foresee(edit[0], {})
        assert sorted(made) == (sorted(keys) if are_made else [])
        reconciler.keepers = {}

    running(tmp_path, do)


def test_what_differs_from_what_the_bridge_holds_is_compared_beforehand(tmp_path: Path) -> None:
    compared: list[Layers] = []

    async def do(reconciler: Reconciler, edit: Edit) -> None:
        compiler, loop = Compiler(), asyncio.get_running_loop()
        held, _ = await compiler.wanted(reconciler.world.indexed, KEY, lambda _: None)
        holdings = Holdings(KEY)
        holdings.confirmed(held, frozenset())
        foresight = Foresight(compiler)
        made: asyncio.Future[BridgeState] = loop.create_future()

        def compare(wanted: BridgeState) -> None:
            holdings.compare(wanted)
            loop.call_soon_threadsafe(made.set_result, wanted)

        await foresight.look(reconciler.world, edit[0], (frozenset(), NOTHING_PASSES), {KEY: compare})
        wanted, held_flows = (await made).flows, held.flows
        assert isinstance(wanted, Layers)
        assert isinstance(held_flows, Layers)
        ((before, difference),) = wanted._asked
        assert before is held_flows.itself
        assert wanted.changed_since(held_flows) == difference
        compared.append(wanted)

    running(tmp_path, do)
    assert compared
