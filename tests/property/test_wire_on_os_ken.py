"""Our bytes against os-ken's encoder and parser, for all that os-ken can express."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from os_ken.ofproto import ofproto_v1_5 as ofproto
from os_ken.ofproto import ofproto_v1_5_parser as parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from zonewall.flows.encoded import EncodedFlow
from zonewall.flows.wire import flow_mod_bytes
from zonewall.flows.wire_actions import encode_actions
from zonewall.flows.wire_match import encode_match
from zonewall.openflow.error_names import error_name
from zonewall.openflow.errors import Malformed
from zonewall.openflow.events import RequestForwarded
from zonewall.openflow.messages import set_async
from zonewall.openflow.parse import TOLD
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.model import Condition, Field, Group, Meter, Output, PopVlan, PushVlan, SetField

TCP4 = ((pf.ETH_TYPE, 0x800, None), (pf.IP_PROTO, 6, None))
TCP6 = ((pf.ETH_TYPE, 0x86DD, None), (pf.IP_PROTO, 6, None))
FREE = (pf.ETH_SRC, pf.ETH_DST, pf.TUN_ID)
BY_FAMILY = {
    TCP4: (*FREE, pf.IPV4_SRC, pf.IPV4_DST, pf.TCP_SRC, pf.TCP_DST),
    TCP6: (*FREE, pf.IPV6_SRC, pf.IPV6_DST, pf.TCP_SRC, pf.TCP_DST),
}
OS_KEN_NAMES = {"tun_id": "tunnel_id"}


@st.composite
def matches(draw: st.DrawFn) -> tuple[Condition, ...]:
    prerequisites = draw(st.sampled_from(tuple(BY_FAMILY)))
    fields = draw(st.lists(st.sampled_from(BY_FAMILY[prerequisites]), unique=True))
    return (*prerequisites, *(draw(conditions(field)) for field in fields))


@st.composite
def conditions(draw: st.DrawFn, field: Field) -> Condition:
    mask = draw(st.none() | st.integers(1, field.ones - 1))
    value = draw(st.integers(0, field.ones))
    return field, value if mask is None else value & mask, mask


def _fields_of(raw: bytes) -> set[bytes]:
    fields = set()
    while raw:
        size = 4 + raw[3]
        fields.add(raw[:size])
        raw = raw[size:]
    return fields


@given(matches())
@settings(max_examples=150, deadline=None)
def test_a_match_has_the_same_fields_as_os_kens(match: tuple[Condition, ...]) -> None:
    words = {
        OS_KEN_NAMES.get(field.base, field.base): (
            _os_ken_value(field, value)
            if mask is None
            else (_os_ken_value(field, value), _os_ken_value(field, mask))
        )
        for field, value, mask in match
    }
    theirs = bytearray()
    size = parser.OFPMatch(**words).serialize(theirs, 0)
    length = int.from_bytes(theirs[2:4], "big")
    assert size >= length
    assert _fields_of(encode_match(match)) == _fields_of(bytes(theirs[4:length]))


def _os_ken_value(field: Field, value: int) -> int | str:
    if field.base.startswith("eth_") and field.width == 48:
        return ":".join(f"{byte:02x}" for byte in value.to_bytes(6, "big"))
    if field.base.startswith("ipv4_"):
        return ".".join(str(byte) for byte in value.to_bytes(4, "big"))
    if field.base.startswith("ipv6_"):
        text = value.to_bytes(16, "big").hex()
        return ":".join(text[at : at + 4] for at in range(0, 32, 4))
    return value


@given(st.integers(0, 65279), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFF))
def test_actions_are_os_kens_actions(port: int, number: int, vlan: int) -> None:
    ours = encode_actions(
        (
            Output(port),
            PushVlan(),
            SetField(pf.VLAN_VID, 0x1000 | vlan),
            PopVlan(),
            Meter(number),
            Group(number),
        )
    )
    theirs = bytearray()
    for action in (
        parser.OFPActionOutput(port, 0),
        parser.OFPActionPushVlan(0x8100),
        parser.OFPActionSetField(vlan_vid=0x1000 | vlan),
        parser.OFPActionPopVlan(),
        parser.OFPActionMeter(number),
        parser.OFPActionGroup(number),
    ):
        action.serialize(theirs, len(theirs))
    assert ours == bytes(theirs)


@given(matches(), st.integers(0, 253), st.integers(0, 65535), st.integers(0, 2**64 - 1))
@settings(max_examples=100, deadline=None)
def test_os_ken_reads_a_flow_message_as_it_was_meant(
    match: tuple[Condition, ...], table: int, priority: int, cookie: int
) -> None:
    flow = EncodedFlow(table, priority, encode_match(match), b"", cookie, hard_timeout_s=9)
    raw = flow_mod_bytes(flow, xid=77)
    read = parser.OFPFlowMod.parser(ProtocolDesc(ofproto.OFP_VERSION), 6, 14, len(raw), 77, raw)
    assert (read.table_id, read.priority, read.cookie, read.hard_timeout) == (table, priority, cookie, 9)
    assert (read.out_port, read.out_group) == (ofproto.OFPP_ANY, ofproto.OFPG_ANY)
    assert len(read.match.items()) == len({field.base for field, _, _ in match})


PREFIXES = {
    "OFPET_HELLO_FAILED": "OFPHFC_", "OFPET_BAD_REQUEST": "OFPBRC_", "OFPET_BAD_ACTION": "OFPBAC_",
    "OFPET_BAD_INSTRUCTION": "OFPBIC_", "OFPET_BAD_MATCH": "OFPBMC_", "OFPET_FLOW_MOD_FAILED": "OFPFMFC_",
    "OFPET_GROUP_MOD_FAILED": "OFPGMFC_", "OFPET_ROLE_REQUEST_FAILED": "OFPRRFC_",
    "OFPET_METER_MOD_FAILED": "OFPMMFC_", "OFPET_BUNDLE_FAILED": "OFPBFC_",
}  # fmt: skip


def test_every_error_is_called_as_os_ken_calls_it() -> None:
    ours, theirs = {}, {}
    types = {name: kind for name, kind in vars(ofproto).items() if name.startswith("OFPET_")}
    for name, prefix in PREFIXES.items():
        for word, code in vars(ofproto).items():
            if word.startswith(prefix):
                theirs[types[name], code] = f"{name[len('OFPET_') :]}/{word[len(prefix) :]}"
    for kind, code in theirs:
        ours[kind, code] = error_name(kind, code).partition(":")[0]
    assert ours == theirs
    assert {kind: error_name(kind, 999) for kind in types.values()} == {
        kind: f"{name[len('OFPET_') :]}/code 999" for name, kind in types.items()
    }
    # Nothing is named that os-ken does not know, but for Open vSwitch's own.
    named = {
        (kind, code)
        for kind in range(100)
        for code in range(100)
        if "code" not in error_name(kind, code).partition("/")[2]
    }
    assert named == set(theirs)


def test_the_choice_of_messages_is_os_kens() -> None:
    """As master all that is wanted; as slave nothing of what a master does to groups and meters."""
    changes = 1 << ofproto.OFPRFR_GROUP_MOD | 1 << ofproto.OFPRFR_METER_MOD
    ports = 1 << ofproto.OFPPR_ADD | 1 << ofproto.OFPPR_DELETE | 1 << ofproto.OFPPR_MODIFY
    ends = 1 << ofproto.OFPRR_IDLE_TIMEOUT | 1 << ofproto.OFPRR_HARD_TIMEOUT | 1 << ofproto.OFPRR_DELETE
    wanted = {  # "reasons" of roles have no names there
        ofproto.OFPACPT_PACKET_IN_SLAVE: 0,
        ofproto.OFPACPT_PACKET_IN_MASTER: 1 << ofproto.OFPR_APPLY_ACTION,
        ofproto.OFPACPT_PORT_STATUS_SLAVE: ports,
        ofproto.OFPACPT_PORT_STATUS_MASTER: ports,
        ofproto.OFPACPT_FLOW_REMOVED_SLAVE: 0,
        ofproto.OFPACPT_FLOW_REMOVED_MASTER: ends | 1 << ofproto.OFPRR_EVICTION,
        ofproto.OFPACPT_ROLE_STATUS_SLAVE: 0,
        ofproto.OFPACPT_ROLE_STATUS_MASTER: 0b111,
        ofproto.OFPACPT_TABLE_STATUS_SLAVE: 0,
        ofproto.OFPACPT_TABLE_STATUS_MASTER: 0,
        ofproto.OFPACPT_REQUESTFORWARD_SLAVE: 0,
        ofproto.OFPACPT_REQUESTFORWARD_MASTER: changes,
    }
    theirs = parser.OFPSetAsync(
        ProtocolDesc(ofproto.OFP_VERSION),
        [parser.OFPAsyncConfigPropReasons(kind, 8, mask) for kind, mask in wanted.items()],
    )
    theirs.set_xid(9)
    theirs.serialize()
    assert set_async(9) == bytes(theirs.buf)


@given(st.booleans(), st.integers(0, 2**32 - 1), st.integers(0, 2))
def test_a_forwarded_request_is_read_as_os_ken_writes_it(is_meter: bool, number: int, parts: int) -> None:
    switch = ProtocolDesc(ofproto.OFP_VERSION)
    actions = [parser.OFPActionOutput(1, 0)]
    if is_meter:
        bands = [parser.OFPMeterBandDrop(rate=5, burst_size=6)] * parts
        request = parser.OFPMeterMod(switch, ofproto.OFPMC_MODIFY, ofproto.OFPMF_PKTPS, number, bands)
    else:
        buckets = [parser.OFPBucket(bucket_id=n, actions=actions) for n in range(parts)]
        request = parser.OFPGroupMod(switch, ofproto.OFPGC_MODIFY, ofproto.OFPGT_ALL, number, 0, buckets, [])
    request.set_xid(0)
    whole = parser.OFPRequestForward(switch, request)
    whole.set_xid(0)
    whole.serialize()
    kind, body = whole.buf[1], bytes(whole.buf[8:])
    assert TOLD[kind](0xA1, body) == RequestForwarded(0xA1, is_meter, number)
    for damaged in (body[:12], body[:-1], body + b"\0", body[:1] + b"\x0e" + body[2:], bytes(16)):
        with pytest.raises(Malformed):
            TOLD[kind](0xA1, damaged)
