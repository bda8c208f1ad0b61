"""The switch that tests ask: what it is told it holds, and what it is given it forwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.dummy import DummySwitch, running_dummy_switch

pytestmark = pytest.mark.ovs

FRAME = bytes.fromhex("ffffffffffff52540000000108060001") + bytes(46)


def test_a_frame_that_a_flow_forwards_leaves_through_its_port_alone(dummy_switch: DummySwitch) -> None:
    dummy_switch.add_bridge()
    dummy_switch.add_ports("br-int", range(1, 4))
    dummy_switch.load_flows("br-int", ["in_port=1 actions=output:2", "in_port=2 actions=drop"])

    dummy_switch.inject("p1", FRAME)
    dummy_switch.inject("p2", FRAME)

    assert [frame[: len(FRAME)] for frame in dummy_switch.captured("p2")] == [FRAME]
    assert dummy_switch.captured("p1") == dummy_switch.captured("p2") == dummy_switch.captured("p3") == []


def test_a_dump_reads_back_the_flows_groups_and_meters_of_a_program(dummy_switch: DummySwitch) -> None:
    dummy_switch.add_bridge(datapath_id=0xA1)
    dummy_switch.load_program(
        "br-int",
        "#group group_id=1,type=all,bucket=actions=drop\n"
        "#meter meter=1,pktps,bands=type=drop,rate=5\n"
        "cookie=0x7,table=3,priority=9,in_port=1 actions=meter:1,group:1\n",
    )

    flows = dummy_switch.dump_flows("br-int")

    assert flows == ["cookie=0x7, table=3, priority=9,in_port=1 actions=meter:1,group:1"]
    assert dummy_switch.vsctl("get", "bridge", "br-int", "datapath_id") == '"00000000000000a1"'


def test_a_refused_flow_is_an_error_in_the_words_of_the_switch(dummy_switch: DummySwitch) -> None:
    dummy_switch.add_bridge()

    with pytest.raises(AssertionError, match="OFPBAC_BAD_OUT_GROUP"):
        dummy_switch.load_flows("br-int", "table=0 actions=group:9")


def test_a_trace_ends_in_the_datapath_actions(dummy_switch: DummySwitch) -> None:
    dummy_switch.add_bridge()
    number = dummy_switch.add_port("br-int", "vm1", ofport=5, iface_id="vm1", mac="52:54:00:00:00:01")
    dummy_switch.load_flows("br-int", "table=0,tcp actions=drop")

    assert number == 5
    assert "priority 32768" in dummy_switch.trace("in_port=5,tcp")
    assert dummy_switch.datapath_actions("in_port=5,tcp") == "drop"
    assert dummy_switch.vsctl("get", "interface", "vm1", "external_ids:iface-id") == "vm1"


def test_after_a_restart_the_bridges_are_there_and_the_flows_are_not(dummy_switch: DummySwitch) -> None:
    dummy_switch.add_bridge()
    dummy_switch.load_flows("br-int", "table=0 actions=drop")

    dummy_switch.stop_vswitchd()
    dummy_switch.start_vswitchd()

    assert dummy_switch.vsctl("list-br") == "br-int"
    assert dummy_switch.dump_flows("br-int") == []


def test_closing_ends_both_daemons(tmp_path: Path) -> None:
    with running_dummy_switch(tmp_path / "ovs") as switch:
        pids = [int(path.read_text()) for path in switch.run_dir.glob("*.pid")]
        assert len(pids) == 2

    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
