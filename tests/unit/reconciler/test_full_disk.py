"""A state folder that cannot be written: nothing is in force that a restart would not know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from zonewall.intent.passing import Outliving
from zonewall.policy.model import Configuration
from zonewall.reconciler.reconciler import Reconciler
from zonewall.store.numbering_file import read_numbering
from zonewall.store.outliving_file import read_outliving

INVENTORY = """kind: inventory
endpoints:
  - {name: web1, tenant: acme, iface-id: w1, mac: "52:54:00:00:00:01", ips: [10.0.0.1], labels: {role: web}}
---
kind: tenant
tenant: acme
zones: {web: {labels: {role: web}}}
tiers:
  - name: t
    rules:
      - {name: first, from: any, to: web, services: [tcp/80], action: allow}
"""
SECOND = "      - {name: second, from: any, to: web, services: [tcp/81], action: allow%s}\n"
KEPT = ", on-change: keep"


class Site:
    """A controller's heart, its documents, and a state folder whose files can be kept from being written."""

    def __init__(self, folder: Path) -> None:
        self.document = folder / "policies" / "all.yaml"
        self.document.parent.mkdir(exist_ok=True)
        if not self.document.exists():
            self.document.write_text(INVENTORY)
        self.state = folder / "state"
        self.reconciler = Reconciler(self.document.parent, self.state, b"k" * 32)

    def close(self, name: str) -> None:
        """Put a folder in a file's place, which nothing replaces."""
        (self.state / name).unlink(missing_ok=True)
        (self.state / name / "in-the-way").mkdir(parents=True)

    def open(self, name: str) -> None:
        (self.state / name / "in-the-way").rmdir()
        (self.state / name).rmdir()

    def save(self, *rules: str) -> None:
        self.document.write_text(INVENTORY + "".join(rules))
        asyncio.run(self.reconciler.reload())

    @property
    def rules(self) -> set[str]:
        tiers = self.reconciler.world.configuration.tenants["acme"].tiers  # type: ignore[index]
        return {rule.name for tier in tiers for rule in tier.rules}

    def running(self, body: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            working = asyncio.create_task(self.reconciler.run())
            try:
                await body()
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)

        asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_documents_whose_numbers_cannot_be_written_down_are_refused_and_those_in_force_stay(
    site: Site,
) -> None:
    site.close("numbering.json")
    site.save(SECOND % "")
    assert site.rules == {"first"}
    assert "numbering.json: " in site.reconciler.refused_configuration
    assert site.reconciler.refused_configuration == site.reconciler.numbers.error
    assert [tier.rules[-1].name for tier in site.reconciler.documents.tenants["acme"].tiers] == ["first"]  # type: ignore[index]


def test_once_there_is_room_every_number_in_use_is_on_disk(site: Site) -> None:
    site.close("numbering.json")
    site.save(SECOND % "")
    site.open("numbering.json")
    asyncio.run(site.reconciler.reload())
    assert site.rules == {"first", "second"}
    assert site.reconciler.refused_configuration == site.reconciler.numbers.error == ""
    written = read_numbering(site.state / "numbering.json").to_plain()
    assert written == site.reconciler.world.policy.numbering.to_plain()
    assert "acme/t/second" in written["rule"]


def test_a_rule_is_taken_away_also_where_no_number_can_be_written_down(site: Site) -> None:
    site.save(SECOND % "")
    site.close("numbering.json")
    site.save()
    assert site.rules == {"first"}
    assert site.reconciler.refused_configuration == ""
    assert "numbering.json: " in site.reconciler.numbers.error

    async def body() -> None:
        site.open("numbering.json")
        await until(lambda: site.reconciler.numbers.error == "")
        written = read_numbering(site.state / "numbering.json").to_plain()
        assert written == site.reconciler.world.policy.numbering.to_plain()

    site.running(body)


def test_two_rules_change_places_also_where_that_cannot_be_written_down(site: Site) -> None:
    site.save(SECOND % "")
    site.close("numbering.json")
    before = "      - {name: first"
    site.document.write_text(INVENTORY.replace(before, SECOND % "" + before))
    asyncio.run(site.reconciler.reload())
    (tier,) = site.reconciler.world.configuration.tenants["acme"].tiers  # type: ignore[index]
    assert [rule.name for rule in tier.rules] == ["second", "first"]


def test_what_answers_an_alert_is_put_in_force_by_itself_once_there_is_room(site: Site) -> None:
    def with_another_rule(configuration: Configuration) -> Configuration:
        tenant = configuration.tenants["acme"]  # type: ignore[index]
        (tier,) = tenant.tiers
        more = replace(tier, rules=(*tier.rules, replace(tier.rules[0], name="measure")))
        tenants = {**configuration.tenants, tenant.name: replace(tenant, tiers=(more,))}
        return replace(configuration, tenants=tenants)

    async def body() -> None:
        site.close("numbering.json")
        site.reconciler.amend = with_another_rule
        site.reconciler.post(site.reconciler.amend_again)
        await until(lambda: "numbering.json" in site.reconciler.behind)
        assert site.rules == {"first"}
        site.open("numbering.json")
        await until(lambda: site.rules == {"first", "measure"})
        assert site.reconciler.behind == ""

    site.running(body)


def test_a_rule_goes_also_where_it_cannot_be_written_that_it_is_outlived_and_that_follows(site: Site) -> None:
    site.save(SECOND % KEPT)
    site.close("outliving.json")
    site.save()
    assert site.rules == {"first"}
    assert "outliving.json: " in site.reconciler.schedule.error

    async def body() -> None:
        site.open("outliving.json")
        kept = (Outliving("acme/t/second", None),)
        await until(lambda: read_outliving(site.state / "outliving.json") == kept)
        assert site.reconciler.schedule.error == ""

    site.running(body)


def test_a_rule_expires_also_where_it_cannot_be_written_that_it_is_outlived(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.save(SECOND % f"{KEPT}, expires: 2999-01-01T00:00:00Z")
    over = frozenset({"acme/t/second"})

    async def body() -> None:
        site.close("outliving.json")
        monkeypatch.setattr("zonewall.reconciler.schedule.inactive_rules", lambda *_: over)
        await until(lambda: site.reconciler.world.inactive == over)
        await until(lambda: "outliving.json" in site.reconciler.schedule.error)

    site.running(body)


def test_no_restart_believes_that_what_is_cut_lives_on(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.save(SECOND % KEPT)
    site.save()
    assert read_outliving(site.state / "outliving.json")
    site.save(SECOND % "")

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zonewall.store.outliving_file.replace_file", full)
    site.save()
    assert "No space left" in site.reconciler.schedule.error
    assert Site(tmp_path).reconciler.world.policy.passing.outliving == ()
