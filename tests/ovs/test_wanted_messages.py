"""What a bridge tells by itself is what was asked for, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.dummy import DummySwitch
from support.openflow_bridge import connected, heard
from zonewall.flows.diff import Change, Delta
from zonewall.flows.encoded import EncodedGroup
from zonewall.flows.wire import encode_flow
from zonewall.openflow import messages
from zonewall.openflow.bundle import apply
from zonewall.openflow.events import FlowRemoved, PacketIn, PortChanged, RequestForwarded
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.model import Flow, MeterEntry, MeterUnit, ToController
from zonewall.pipeline.tables import ACT, CLASSIFY

pytestmark = pytest.mark.ovs
GROUP, METER = EncodedGroup(7, 0, b""), MeterEntry(3, MeterUnit.PPS, 10, 20)
FRAME = bytes.fromhex("505400000002505400000001") + b"\x08\x00" + bytes(50)
TABLE_STATUS, PACKET_IN, CONTROLLER_STATUS = 31, 10, 35


def test_only_what_is_used_is_told(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch, ports=2) as bridge:
        kinds = heard(bridge)
        # Not wanted: frames that no flow asks for, our own changes, flows that go with a group.
        dummy_switch.ofctl("add-flow", "br-int", "table=0,priority=0,actions=controller")
        dummy_switch.inject("p1", FRAME)
        ours = Change(Delta(), put_groups=(GROUP,), put_meters=(METER,))
        bridge.run(apply(bridge.session, ours))
        dummy_switch.ofctl("add-flow", "br-int", "table=9,priority=5,send_flow_rem,actions=group:7")
        bridge.run(apply(bridge.session, Change(Delta(), delete_groups=(7,), delete_meters=(3,))))
        bridge.run(bridge.session.barrier())
        expected = {messages.BARRIER_REPLY, messages.ECHO_REQUEST, messages.BUNDLE_CONTROL}
        assert set(kinds) <= expected
        assert bridge.events == []

        # Wanted: frames that a flow sends up, flows that end, ports.
        sent_up = encode_flow(Flow(CLASSIFY, 7, ((pf.IN_PORT, 1, None),), (ToController(b"\1"),)))
        bridge.run(apply(bridge.session, Change(Delta((sent_up,)))))
        dummy_switch.appctl("revalidator/purge")  # what was decided on the first frame is not to decide now
        dummy_switch.inject("p1", FRAME)
        assert bridge.until(PacketIn).userdata == b"\1"
        ends = encode_flow(Flow(ACT, 7, (), (), 9, hard_timeout_s=1))
        bridge.run(apply(bridge.session, Change(Delta((ends,)))))
        assert bridge.until(FlowRemoved).cookie == 9
        dummy_switch.add_port("br-int", "later", ofport=9)
        assert bridge.until(PortChanged).port.name == "later"
        assert kinds[messages.EXPERIMENTER] == 1
        assert not set(kinds) & {PACKET_IN, TABLE_STATUS, CONTROLLER_STATUS}


def test_what_others_do_to_groups_and_meters_is_told(dummy_switch: DummySwitch, tmp_path: Path) -> None:
    several = tmp_path / "several"
    several.write_text("group add group_id=8,type=all\ngroup delete group_id=8\n")
    meter = "meter=3,pktps,band=type=drop,rate={}"
    every_group, every_meter = messages.ALL_GROUPS, messages.ANY
    with connected(dummy_switch, ports=2) as bridge:
        for words, told in (
            (("add-group", "br-int", "group_id=7,type=all,bucket=output:2"), [(False, 7)]),
            (("mod-group", "br-int", "group_id=7,type=all,bucket=output:1"), [(False, 7)]),
            (("del-groups", "br-int", "group_id=7"), [(False, 7)]),
            (("bundle", "br-int", str(several)), [(False, 8), (False, 8)]),
            (("del-groups", "br-int"), [(False, every_group)]),
            (("add-meter", "br-int", meter.format(5)), [(True, 3)]),
            (("mod-meter", "br-int", meter.format(6)), [(True, 3)]),
            (("del-meter", "br-int", "meter=3"), [(True, 3)]),
            (("del-meters", "br-int"), [(True, every_meter)]),
        ):
            bridge.events.clear()
            dummy_switch.ofctl(*words)
            bridge.run(bridge.session.barrier())
            assert bridge.events == [RequestForwarded(0xA1, *one) for one in told], words
