"""Copies: one for each target that is due, whole or cut, out of a port, on a VLAN, or to another bridge."""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.model import BridgeIntent, MirrorSink
from zonewall.pipeline.cookie import Category, Reason
from zonewall.pipeline.make import flow
from zonewall.pipeline.model import (
    Action,
    Clone,
    Condition,
    Flow,
    MeterEntry,
    MeterUnit,
    Move,
    Output,
    OutputCut,
    OutputField,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    ToController,
)
from zonewall.pipeline.packet_fields import IN_PORT, TUN_DST, TUN_ID, VLAN_NUMBER, VLAN_VID
from zonewall.pipeline.registers import (
    FROM_FABRIC,
    FROM_SERVICE,
    MIRROR_DUE,
    MIRROR_SENT,
    ORIGIN,
    OUT_PORT,
    TENANT,
    TRACK_ZONE,
    VIA,
)
from zonewall.pipeline.stages.classify import announcement_meter
from zonewall.pipeline.tables import CLASSIFY, DELIVER, MIRROR_EMIT, MIRROR_IN, OVERLAY_IN

OFPP_IN_PORT = 0xFFFFFFF8
SPOKE_PPS = 1
SPOKE_BYTES = 64


def mirror_emit_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows for each target: a copy if it is due and has not been sent, then the next target.

    The bridge where a packet enters makes the copies; what came from another bridge was copied there.
    """
    if not intent.sinks:
        return
    for origin in (FROM_FABRIC, FROM_SERVICE):
        yield flow(MIRROR_EMIT, 1000, ((ORIGIN, origin, None),), category=Category.MIRROR)
    for sink in intent.sinks + intent.cut_sinks:
        bit, target = 1 << sink.bit, 1 << sink.target
        due: tuple[Condition, ...] = ((MIRROR_DUE, bit, bit), (MIRROR_SENT, 0, target))
        if sink.zone is not None:
            due += ((TRACK_ZONE, sink.zone, None),)
        done = (SetField(MIRROR_SENT, target, target), Resubmit(MIRROR_EMIT))
        send = _copy(sink)
        yield flow(MIRROR_EMIT, 500 - sink.bit, due, *send, *done, category=Category.MIRROR)
        if sink.ofport is not None and sink.vlan:
            back = _out(sink, OFPP_IN_PORT)
            match = ((IN_PORT, sink.ofport, None), *due)
            yield flow(MIRROR_EMIT, 600 - sink.bit, match, *back, *done, category=Category.MIRROR)


def _copy(sink: MirrorSink) -> tuple[Action, ...]:
    if sink.ofport is not None:
        return _out(sink, sink.ofport)
    number = sink.destination or 0
    if sink.max_len is None:
        return (Clone((SetField(VIA, number), Resubmit(DELIVER))),)
    way = sink.way
    if way is None:
        return ()
    if way.tunnel_to is not None:
        to_peer = (SetField(TUN_ID, number << 12), SetField(TUN_DST, int(way.tunnel_to)))
        return (Clone((*to_peer, OutputCut(way.ofport, sink.max_len))),)
    tags = (PushVlan(), Move(TENANT, VLAN_NUMBER), PushVlan(), SetField(VLAN_VID, 0x1000 | number))
    return (Clone((*tags, OutputCut(way.ofport, sink.max_len))),)


def _out(sink: MirrorSink, port: int) -> tuple[Action, ...]:
    """Return what sends a copy out of a port of this bridge."""
    before = _dressed(sink)
    # Open vSwitch cuts the packet as it came, before the tags that the same pass pushes.
    out: Action = Output(port) if sink.max_len is None else OutputCut(port, sink.max_len)
    return (Clone((*before, out)),) if before else (out,)


def _dressed(sink: MirrorSink) -> tuple[Action, ...]:
    if sink.vlan:
        return (PushVlan(), SetField(VLAN_VID, 0x1000 | sink.vlan))
    if sink.remote is not None and sink.remote.version == 4:
        return (SetField(TUN_DST, int(sink.remote)),)
    return ()


def mirror_in_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows that bring a copy from another bridge to its target: without its inner tag."""
    if not intent.sinks_here:
        return
    inner = (VLAN_VID, 0x1000, 0x1000)
    yield flow(MIRROR_IN, 100, (inner,), PopVlan(), OutputField(OUT_PORT), category=Category.MIRROR)
    for sink in intent.sinks_here:
        here: tuple[Condition, ...] = ((OUT_PORT, sink.ofport or 0, None), inner)
        change: tuple[Action, ...] = ()
        if sink.vlan:
            change = (SetField(VLAN_VID, 0x1000 | sink.vlan),)
        elif sink.remote is not None:
            change = (PopVlan(), *_dressed(sink))
        if intent.tunnel_peers:
            tunnelled = ((TUN_ID, (sink.destination or 0) << 12, 0xFFF000),)
            send = _out(sink, sink.ofport or 0)
            yield flow(OVERLAY_IN, 200, tunnelled, *send, category=Category.MIRROR)
        if change:
            yield flow(MIRROR_IN, 200, here, *change, OutputField(OUT_PORT), category=Category.MIRROR)


def silent_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of the ports that only receive: what they send is dropped, and reported by a meter."""
    for ofport in intent.silent_ports:
        report = ToController(bytes([Reason.SPOKE]), announcement_meter(ofport), SPOKE_BYTES)
        yield flow(CLASSIFY, 200, ((IN_PORT, ofport, None),), report, category=Category.REFUSED)


def silent_meters(intent: BridgeIntent) -> Iterator[MeterEntry]:
    """Yield the meters of these reports."""
    for ofport in intent.silent_ports:
        yield MeterEntry(announcement_meter(ofport), MeterUnit.PPS, SPOKE_PPS, SPOKE_PPS)
