"""Of two controllers the one that started last has the bridge; the other hears of it, says so, and stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.dummy import DummySwitch
from support.openflow_bridge import connected, listening
from support.whole_controller import one_bridge, whole_controller
from zonewall.openflow.errors import SessionClosed
from zonewall.openflow.events import BridgeDown, BridgeUp, Fenced
from zonewall.store.generation_file import next_generation

pytestmark = pytest.mark.ovs
YEAR_MS = 365 * 24 * 3600 * 1000


def test_a_connected_master_hears_that_another_took_its_place(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as older, listening() as newer:
        session = older.session
        dummy_switch.vsctl("set-controller", "br-int", older.remote, newer.remote)
        newer.until(BridgeUp)
        assert older.until(Fenced).datapath_id == 0xA1
        assert "another controller" in older.until(BridgeDown).reason
        with pytest.raises(SessionClosed, match="another controller"):
            older.run(session.barrier())
        # The bridge comes back to the one that was master, and is told that it is so no more.
        assert older.until(Fenced).datapath_id == 0xA1
        assert not [event for event in older.events if isinstance(event, BridgeUp)]
        assert newer.run(newer.session.is_alive())


def test_an_old_master_says_that_it_is_fenced_and_a_clock_set_back_locks_no_new_one_out(
    dummy_switch: DummySwitch, tmp_path: Path
) -> None:
    policies = one_bridge(tmp_path / "policies")
    ahead = next_generation(tmp_path / "newer" / "generation.json", YEAR_MS * 1000)
    with whole_controller(policies, tmp_path / "older") as (older, old_remote):
        dummy_switch.add_bridge("br-int", datapath_id=0xA1, controller=old_remote)
        older.until(lambda row: row["state"] == "in-force")
        with whole_controller(policies, tmp_path / "newer") as (newer, remote):
            dummy_switch.vsctl("set-controller", "br-int", old_remote, remote)
            newer.until(lambda row: row["state"] == "in-force" and not row["pending"])
            row = older.until(lambda row: row["state"] == "fenced")
            assert "another controller" in row["error"]
        # By the clock, the next one would begin a thousand years earlier than the bridge has heard of.
        with whole_controller(policies, tmp_path / "newer") as (again, remote):
            dummy_switch.vsctl("set-controller", "br-int", old_remote, remote)
            again.until(lambda row: row["state"] == "in-force" and not row["pending"])
            assert older.bridge()["state"] == "fenced"
    assert next_generation(tmp_path / "newer" / "generation.json", 0) == ahead + 3
