"""A running controller and time: rules that go are remembered as long as their connections may live on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from zonewall.intent.passing import Outliving
from zonewall.reconciler.reconciler import Reconciler
from zonewall.store.outliving_file import read_outliving, write_outliving

INVENTORY = """kind: inventory
endpoints:
  - {name: web1, tenant: acme, iface-id: w1, mac: "52:54:00:00:00:01", ips: [10.0.0.1], labels: {role: web}}
"""


def write(folder: Path, *rules: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "inventory.yaml").write_text(INVENTORY)
    lines = "".join(f"      - {{{rule}}}\n" for rule in rules) or "      []\n"
    zones = "zones: {web: {labels: {role: web}}}"
    (folder / "acme.yaml").write_text(
        f"kind: tenant\ntenant: acme\n{zones}\ntiers:\n  - name: t\n    rules:\n{lines}"
    )
    return folder


def running(folder: Path, state: Path, body: Callable[[Reconciler], Awaitable[None]]) -> None:
    async def run() -> None:
        reconciler = Reconciler(folder, state, b"k" * 32)
        working = asyncio.create_task(reconciler.run())
        try:
            await body(reconciler)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


DRAIN = "name: app, from: any, to: web, action: allow, on-change: drain 300"
KEEP = "name: app, from: any, to: web, action: allow, on-change: keep"
SHORT = "name: app, from: any, to: web, action: allow, on-change: drain 1"


def test_a_drained_rule_is_remembered_over_a_restart(tmp_path: Path) -> None:
    folder, state = write(tmp_path / "c", DRAIN), tmp_path / "state"

    async def remove(reconciler: Reconciler) -> None:
        write(folder)
        await reconciler.reload()
        await until(lambda: bool(reconciler.world.policy.passing.outliving))

    async def again(reconciler: Reconciler) -> None:
        (one,) = reconciler.world.policy.passing.outliving
        assert one.rule == "acme/t/app"
        assert one.until is not None
        assert 200 < one.until - time.time() <= 301

    running(folder, state, remove)
    running(folder, state, again)


def test_what_is_drained_is_forgotten_when_its_time_is_over(tmp_path: Path) -> None:
    folder, state = write(tmp_path / "c", SHORT), tmp_path / "state"

    async def remove(reconciler: Reconciler) -> None:
        write(folder)
        await reconciler.reload()
        await until(lambda: bool(reconciler.world.policy.passing.outliving))
        await until(lambda: not reconciler.world.policy.passing.outliving)
        assert read_outliving(state / "outliving.json") == ()

    running(folder, state, remove)


def test_what_is_kept_stays_for_good_and_no_other_rule_is_touched(tmp_path: Path) -> None:
    folder, state = write(tmp_path / "c", KEEP), tmp_path / "state"

    async def remove(reconciler: Reconciler) -> None:
        write(folder)
        await reconciler.reload()
        await until(lambda: bool(reconciler.world.policy.passing.outliving))
        assert reconciler.world.policy.passing.outliving == (Outliving("acme/t/app", None),)

    running(folder, state, remove)


def test_a_rule_that_expires_goes_by_itself(tmp_path: Path) -> None:
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    folder = write(tmp_path / "c", f"{DRAIN}, expires: {soon}")

    async def wait(reconciler: Reconciler) -> None:
        assert reconciler.world.policy.passing.ends.keys() == {"acme/t/app"}
        await until(lambda: reconciler.world.inactive == {"acme/t/app"})
        assert [one.rule for one in reconciler.world.policy.passing.outliving] == ["acme/t/app"]

    running(folder, tmp_path / "state", wait)


def test_a_damaged_file_keeps_nothing(tmp_path: Path) -> None:
    file = tmp_path / "outliving.json"
    write_outliving(file, (Outliving("acme/t/app", 5), Outliving("acme/t/b", None)))
    assert read_outliving(file) == (Outliving("acme/t/app", 5), Outliving("acme/t/b", None))

    file.write_text(json.dumps({"outliving": [["acme", 5]]}))
    assert read_outliving(file) == ()
    for text in ("{", "[]", '{"outliving": [["a/b/c"]]}', '{"outliving": [["a/b/c", "5"]]}', '{"more": 1}'):
        file.write_text(text)
        assert read_outliving(file) == ()
