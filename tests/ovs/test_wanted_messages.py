"""What a bridge tells by itself is what was asked for, and nothing else."""

from __future__ import annotations

from collections import Counter

import pytest

from support.dummy import DummySwitch
from support.openflow_bridge import ListenerUnderTest, connected
from zonewall.flows.diff import Change, Delta
from zonewall.flows.wire import encode_flow
from zonewall.openflow import messages
from zonewall.openflow.bundle import apply
from zonewall.openflow.events import FlowRemoved, PacketIn, PortChanged
from zonewall.openflow.parse import Header
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.model import Flow, ToController
from zonewall.pipeline.tables import ACT, CLASSIFY

pytestmark = pytest.mark.ovs
FRAME = bytes.fromhex("505400000002505400000001") + b"\x08\x00" + bytes(50)
REQUEST_FORWARD, TABLE_STATUS, PACKET_IN = 35, 31, 10


def heard(bridge: ListenerUnderTest) -> Counter[int]:
    """Return, and go on to count, the kinds of all messages that the session takes."""
    kinds: Counter[int] = Counter()
    session = bridge.session
    take = session._take

    def counted(header: Header, body: bytes) -> None:
        kinds[header.kind] += 1
        take(header, body)

    session._take = counted  # type: ignore[method-assign]
    return kinds


def test_only_what_is_used_is_told(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch, ports=2) as bridge:
        kinds = heard(bridge)
        # Not wanted: frames that no flow asks for, others' changes of groups, flows that go with a group.
        dummy_switch.ofctl("add-flow", "br-int", "table=0,priority=0,actions=controller")
        dummy_switch.inject("p1", FRAME)
        dummy_switch.ofctl("add-group", "br-int", "group_id=7,type=all,bucket=output:2")
        dummy_switch.ofctl("mod-group", "br-int", "group_id=7,type=all,bucket=output:1")
        dummy_switch.ofctl("add-flow", "br-int", "table=9,priority=5,send_flow_rem,actions=group:7")
        dummy_switch.ofctl("del-groups", "br-int")
        bridge.run(bridge.session.barrier())
        assert set(kinds) <= {messages.BARRIER_REPLY, messages.ECHO_REQUEST}
        assert bridge.events == []

        # Wanted: frames that a flow sends up, flows that end, ports.
        sent_up = encode_flow(Flow(CLASSIFY, 7, ((pf.IN_PORT, 1, None),), (ToController(b"\1"),)))
        ends = encode_flow(Flow(ACT, 7, (), (), 9, hard_timeout_s=1))
        bridge.run(apply(bridge.session, Change(Delta((sent_up, ends)))))
        dummy_switch.appctl("revalidator/purge")  # what was decided on the first frame is not to decide now
        dummy_switch.inject("p1", FRAME)
        assert bridge.until(PacketIn).userdata == b"\1"
        assert bridge.until(FlowRemoved).cookie == 9
        dummy_switch.add_port("br-int", "later", ofport=9)
        assert bridge.until(PortChanged).port.name == "later"
        assert kinds[messages.EXPERIMENTER] == 1
        assert not set(kinds) & {PACKET_IN, REQUEST_FORWARD, TABLE_STATUS}
