"""What would part a host's own port from its uplink, an edit or a directory, counts only if that is said."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from support.dummy import DummySwitch
from support.running_controller import RunningController, bridge_row, running_controller
from support.whole_controller import (
    PATIENCE_S,
    WholeController,
    is_at_rest,
    is_settled,
    one_bridge,
    whole_controller,
)
from zonewall.api.control import tell
from zonewall.cli import scene
from zonewall.cli.app import build_app
from zonewall.errors import ZonewallError

pytestmark = pytest.mark.ovs
LOST = "hv1/br-int would no longer join its host port mgmt with uplink eth1"


def in_band(folder: Path, vlan: int = 100, address: str = "10.0.0.1", **said: Any) -> Path:
    """Write documents of a host reached through its bridge, unless untagged frames (0) are a tenant's."""
    ports = {"mgmt": {"role": "host"}, "eth1": {"role": "uplink", "vlans": {vlan: "acme"}}}
    folder.mkdir(exist_ok=True)
    made = one_bridge(folder.with_name("made"), attachment="underlay", ports=ports, **said) / "all.yaml"
    made.write_text(made.read_text().replace("10.0.0.1", address))
    made.replace(folder / "all.yaml")  # one change
    return folder


def apply(whole: WholeController, directory: Path, **more: Any) -> None:
    acting = whole.controller.act("apply", {"directory": str(directory), **more}, "ann")
    asyncio.run_coroutine_threadsafe(acting, whole.loop).result(PATIENCE_S)


def configuration(whole: WholeController) -> dict[str, Any]:
    return dict(whole.status()["configuration"])


def test_who_may_cut_a_host_off_has_to_say_so(
    dummy_switch: DummySwitch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, state = in_band(tmp_path / "given"), tmp_path / "state"

    def joined() -> bool:
        return bool(dummy_switch.dump_flows("br-int", "table=0,in_port=2"))

    def look(_: Path, name: str) -> dict[str, Any]:
        return asyncio.run_coroutine_threadsafe(whole.controller.look(name, {}), whole.loop).result(
            PATIENCE_S
        )

    monkeypatch.setattr(scene, "look", look)
    with whole_controller(given, state) as (whole, remote):
        in_band(given, 0)
        whole.until_status(
            lambda status: status["configuration"]["revision"] == 2
        )  # nothing was seen of it yet
        in_band(given)
        dummy_switch.add_bridge("br-int", datapath_id=0xA1, controller=remote)
        for number, name in enumerate(("vm", "mgmt", "eth1"), 1):
            dummy_switch.add_port("br-int", name, ofport=number)
        whole.until(lambda row: is_settled(row) and joined())

        in_band(given, 0, "10.0.0.2")
        refused = whole.until_status(lambda status: status["configuration"]["refused"])["configuration"]
        assert LOST in refused["refused"]
        assert f"say `zonewall apply {given} --even-if-cut-off`" in refused["refused"]
        planned = CliRunner().invoke(build_app(), ["plan", str(given), "--state", str(state)])
        assert planned.exit_code == 2, planned.output
        assert f"warning: {LOST}" in planned.output
        for more in ({}, {"confirm": 3600}):
            with pytest.raises(ZonewallError, match=LOST):
                apply(whole, given, **more)
        now = configuration(whole)
        assert (now["revision"], now["trial"]) == (refused["revision"], None)
        assert joined()

        in_band(given, 100, "10.0.0.3")
        whole.until_status(lambda status: not status["configuration"]["refused"])
        in_band(given, 0, "10.0.0.3")
        whole.until_status(lambda status: status["configuration"]["refused"])
        apply(whole, given, even_if_cut_off=True)
        whole.until(lambda row: not row["pending"] and not joined())
        accepted = configuration(whole)
        assert accepted["refused"] is None
        in_band(given, 0, "10.0.0.4")
        whole.until_status(lambda status: status["configuration"]["revision"] > accepted["revision"])

    with whole_controller(given, state) as (whole, remote):
        dummy_switch.vsctl("set-controller", "br-int", remote)
        whole.until(is_settled)
        assert configuration(whole)["refused"] is None


def refused(running: RunningController, why: str) -> dict[str, Any]:
    """Wait until documents are refused for a reason, and return what the status says of them."""
    status = running.until(lambda status: why in (status["configuration"]["refused"] or ""))
    return dict(status["configuration"])


def killed(running: RunningController) -> None:
    running.stop(kill=True)
    running.start()


def test_what_a_controller_refused_is_not_in_force_after_it_was_killed_and_started(
    dummy_switch: DummySwitch, tmp_path: Path
) -> None:
    def joined() -> bool:
        return bool(dummy_switch.dump_flows("br-int", "table=0,in_port=2"))

    with running_controller(tmp_path) as running:
        given = in_band(running.policies)
        running.start()
        dummy_switch.add_bridge("br-int", datapath_id=0xA1)
        for number, name in enumerate(("vm", "mgmt", "eth1"), 1):
            dummy_switch.add_port("br-int", name, ofport=number)
        running.join(dummy_switch, "br-int")
        for table in ("controller", "manager"):  # the switch's pauses would grow to 8 s
            (row,) = dummy_switch.vsctl("--bare", "--columns=_uuid", "list", table).split()
            dummy_switch.vsctl("set", table, row, "max_backoff=1000")
        running.until(lambda status: is_at_rest(dummy_switch, bridge_row(status, "hv1")) and joined())
        in_force = running.status()["configuration"]["documents"]

        in_band(given, 0)
        refused(running, LOST)
        killed(running)
        assert refused(running, LOST)["documents"] == in_force
        running.until(lambda status: is_settled(bridge_row(status, "hv1")))
        assert joined()
        tell(running.state / "control.sock", "apply", {"directory": str(given), "even_if_cut_off": True})
        running.until(lambda status: is_settled(bridge_row(status, "hv1")) and not joined())
        killed(running)
        now = running.until(lambda status: is_settled(bridge_row(status, "hv1")))
        assert now["configuration"]["refused"] is None
        assert not joined()
