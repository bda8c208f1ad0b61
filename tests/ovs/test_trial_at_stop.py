"""A controller that is stopped in the middle of a trial goes back first: nobody else would."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.dummy import DummySwitch
from support.whole_controller import PATIENCE_S, one_bridge, whole_controller

pytestmark = pytest.mark.ovs


def test_what_is_on_trial_does_not_outlast_a_controller_that_is_stopped(
    dummy_switch: DummySwitch, tmp_path: Path
) -> None:
    given, other = one_bridge(tmp_path / "given"), one_bridge(tmp_path / "other")
    (other / "all.yaml").write_text((other / "all.yaml").read_text().replace("10.0.0.1", "10.0.0.2"))

    def holds(address: str) -> bool:
        return any(f"nw_src={address}" in flow for flow in dummy_switch.dump_flows("br-int"))

    with whole_controller(given, tmp_path / "state") as (whole, remote):
        dummy_switch.add_bridge("br-int", datapath_id=0xA1, controller=remote)
        dummy_switch.add_port("br-int", "vm", ofport=1)
        whole.until(lambda row: row["state"] == "in-force" and not row["pending"] and holds("10.0.0.1"))
        trial = whole.controller.act("apply", {"directory": str(other), "confirm": 3600}, "ann")
        asyncio.run_coroutine_threadsafe(trial, whole.loop).result(PATIENCE_S)
        whole.until(lambda row: not row["pending"] and holds("10.0.0.2"))
        assert not holds("10.0.0.1")
    assert holds("10.0.0.1")
    assert not holds("10.0.0.2")
