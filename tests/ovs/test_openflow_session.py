"""Sessions with a real bridge: programmed, changed, refused, lost and found again."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.dummy import DummySwitch
from support.openflow_bridge import connected, listening
from zonewall.errors import AdmissionError
from zonewall.flows.diff import Change, Delta, diff_state
from zonewall.flows.encoded import BridgeState
from zonewall.flows.staging import plan
from zonewall.flows.wire import encode_flow, encode_program
from zonewall.flows.wire_actions import encode_actions
from zonewall.openflow import messages
from zonewall.openflow.bundle import apply, apply_plan
from zonewall.openflow.channel import Channel
from zonewall.openflow.door import Admission
from zonewall.openflow.errors import BundleRefused, MeterRefused, RequestRefused, SessionClosed
from zonewall.openflow.events import (
    BridgeDown,
    BridgeUp,
    ConnectionRefused,
    FlowRemoved,
    PacketIn,
    PortChange,
    PortChanged,
    SwitchError,
)
from zonewall.openflow.fingerprint import Fingerprinter
from zonewall.openflow.listener import Listener, ListenerOptions
from zonewall.openflow.tls import TlsFiles
from zonewall.openflow.waiting import Limits
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.model import (
    BridgeProgram,
    Flow,
    Goto,
    Group,
    MeterEntry,
    MeterUnit,
    Output,
    PopVlan,
    SetField,
    ToController,
)
from zonewall.pipeline.registers import BANK, RULE, SRC_IDENTITY, TENANT, VERDICT
from zonewall.pipeline.tables import ACT, CLASSIFY, VERDICT_TABLE

pytestmark = pytest.mark.ovs

EMPTY = BridgeState({}, {}, {})
FRAME = bytes.fromhex("505400000002505400000001") + b"\x08\x00" + bytes(50)


def _rules(count: int, bank: int = 5) -> BridgeState:
    return encode_program(
        BridgeProgram(
            tuple(
                Flow(
                    VERDICT_TABLE,
                    900,
                    (
                        (BANK, bank, None),
                        (SRC_IDENTITY, rule, None),
                        (pf.ETH_TYPE, 0x800, None),
                        (pf.TCP_DST, 80, None),
                    ),
                    (SetField(RULE, rule), SetField(VERDICT, 1), Goto(ACT)),
                    rule,
                )
                for rule in range(count)
            )
        )
    )


@pytest.mark.parametrize("atomic", [True, False])
def test_ten_thousand_flows_are_put_read_back_changed_and_removed(
    dummy_switch: DummySwitch, atomic: bool
) -> None:
    wanted = _rules(10_000)
    with connected(dummy_switch) as bridge:
        bridge.run(apply(bridge.session, diff_state(EMPTY, wanted), atomic=atomic))
        held = bridge.run(bridge.session.read_state())
        assert held.flows == wanted.flows
        fewer = BridgeState(dict(list(wanted.flows.items())[:10]), {}, {})
        bridge.run(apply(bridge.session, diff_state(held, fewer), atomic=atomic))
        assert bridge.run(bridge.session.read_flows()) == fewer.flows


def test_only_flows_of_the_asked_cookie_are_read(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as bridge:
        bridge.run(apply(bridge.session, diff_state(EMPTY, _rules(16))))
        assert {flow.cookie for flow in bridge.run(bridge.session.read_flows(4, 0x0C)).values()} == {
            4,
            5,
            6,
            7,
        }


@pytest.mark.parametrize(
    ("actions", "reason"),
    [((Group(99),), "no such group"), ((PopVlan(), SetField(pf.TCP_DST, 5)), "needs a match it lacks")],
    ids=["at-commit", "when-added"],
)
def test_a_refused_bundle_names_the_flow_and_changes_nothing(
    dummy_switch: DummySwitch, actions: tuple[Group | PopVlan | SetField, ...], reason: str
) -> None:
    bad = encode_flow(Flow(ACT, 7, (), actions))
    good = tuple(_rules(3).flows.values())
    with connected(dummy_switch) as bridge:
        with pytest.raises(BundleRefused, match=f"table {ACT.number}, priority 7: .*{reason}") as refusal:
            bridge.run(apply(bridge.session, Change(Delta((good[0], bad, *good[1:])))))
        assert refusal.value.flow == bad
        assert bridge.run(bridge.session.read_flows()) == {}
        bridge.run(apply(bridge.session, Change(Delta(good))))
        assert len(bridge.run(bridge.session.read_flows())) == 3


def test_a_meter_is_changed_in_place_and_one_that_exists_is_refused(dummy_switch: DummySwitch) -> None:
    meter = MeterEntry(1, MeterUnit.PPS, 10, 20)
    with connected(dummy_switch) as bridge:
        bridge.run(apply(bridge.session, Change(put_meters=(meter,))))
        with pytest.raises(RequestRefused, match=r"meter 1: .*METER_EXISTS"):
            bridge.run(apply(bridge.session, Change(put_meters=(meter,))))
        changed = replace(meter, rate=30)
        wanted = BridgeState({}, {}, {1: changed})
        bridge.run(apply(bridge.session, diff_state(bridge.run(bridge.session.read_state()), wanted)))
        assert bridge.run(bridge.session.read_meters()) == {1: changed}
        bridge.run(apply(bridge.session, diff_state(wanted, EMPTY)))
        assert bridge.run(bridge.session.read_meters()) == {}


def test_a_meter_that_is_refused_keeps_the_flows_that_were_sent_with_it_out(
    dummy_switch: DummySwitch,
) -> None:
    meters = tuple(MeterEntry(number, MeterUnit.PPS, 10, 20) for number in (1, 2, 3))
    flows = tuple(_rules(3).flows.values())
    change = Change(Delta(flows), put_meters=meters)
    with connected(dummy_switch) as bridge:
        bridge.run(apply(bridge.session, Change(put_meters=meters[1:2])))
        with pytest.raises(MeterRefused, match=r"meter 2: .*METER_EXISTS"):
            bridge.run(apply_plan(bridge.session, change, plan(change, {}, _rules(3).flows)))
        assert bridge.run(bridge.session.read_flows()) == {}
        bridge.run(apply(bridge.session, Change(delete_meters=(1, 2, 3))))

        bridge.run(apply_plan(bridge.session, change, plan(change, {}, _rules(3).flows)))
        assert bridge.run(bridge.session.read_meters()) == {meter.number: meter for meter in meters}
        assert bridge.run(bridge.session.read_flows()).keys() == {flow.key for flow in flows}


def test_a_frame_comes_up_with_its_reason_and_registers_and_goes_out_where_it_is_told(
    dummy_switch: DummySwitch,
) -> None:
    flow = Flow(CLASSIFY, 7, ((pf.IN_PORT, 1, None),), (SetField(TENANT, 77), ToController(b"\1\2")), 0xC0)
    with connected(dummy_switch, ports=2) as bridge:
        bridge.run(apply(bridge.session, Change(Delta((encode_flow(flow),)))))
        dummy_switch.inject("p1", FRAME)
        event = bridge.until(PacketIn)
        assert (event.userdata, event.in_port, event.registers, event.cookie) == (
            b"\1\2",
            1,
            ((4, 77),),
            0xC0,
        )
        assert (event.frame, event.full_len) == (FRAME, len(FRAME))
        bridge.run(bridge.session.packet_out(1, encode_actions((Output(2),)), FRAME))
        bridge.run(bridge.session.barrier())
        assert dummy_switch.captured("p2") == [FRAME]


def test_a_refused_packet_out_is_told_as_an_error(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as bridge:
        bridge.run(bridge.session.packet_out(1, encode_actions((Group(5),)), FRAME))
        bridge.until(SwitchError, lambda event: event.kind == 2)


def test_ports_are_told_as_they_come_and_go(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch, ports=1) as bridge:
        assert [p.number for p in bridge.run(bridge.session.read_ports()) if p.name == "p1"] == [1]
        dummy_switch.add_port("br-int", "later", ofport=9)
        came = bridge.until(PortChanged, lambda event: event.change is PortChange.ADDED)
        assert (came.port.name, came.port.number) == ("later", 9)
        dummy_switch.del_port("br-int", "later")
        bridge.until(PortChanged, lambda event: event.change is PortChange.DELETED and event.port.number == 9)


def test_a_flow_that_ends_by_itself_is_told_and_its_time_left_is_read(dummy_switch: DummySwitch) -> None:
    short = encode_flow(Flow(ACT, 7, ((TENANT, 5, None),), (), 9, hard_timeout_s=2))
    long = encode_flow(Flow(ACT, 8, ((TENANT, 5, None),), (), 9, hard_timeout_s=100))
    with connected(dummy_switch) as bridge:
        bridge.run(apply(bridge.session, Change(Delta((short, long)))))
        ended = bridge.until(FlowRemoved)
        assert (ended.table, ended.priority, ended.match, ended.cookie) == (*short.key, 9)
        assert 90 <= bridge.run(bridge.session.read_flows())[long.key].hard_timeout_s < 100


@pytest.mark.parametrize(
    "words",
    [
        ("mod-flows", "br-int", f"table={VERDICT_TABLE.number},tcp,tp_dst=81 actions=drop"),
        ("--strict", "del-flows", "br-int", f"table={VERDICT_TABLE.number},priority=7,tcp,tp_dst=81"),
        ("add-flow", "br-int", "table=9,priority=1 actions=drop"),
        ("add-flow", "br-int", f"table={VERDICT_TABLE.number},priority=7,cookie=9,tcp,tp_dst=81 actions=5"),
        ("add-flow", "br-int", "table=9,priority=1,hard_timeout=99 actions=drop"),
    ],
    ids=["other actions", "one fewer", "one more", "another cookie", "one that ends"],
)
def test_a_fingerprint_is_the_same_until_a_flow_is_another(
    dummy_switch: DummySwitch, words: tuple[str, ...]
) -> None:
    flow = f"table={VERDICT_TABLE.number},priority=7,tcp,tp_dst={{}} actions=5"
    with connected(dummy_switch) as bridge:
        dummy_switch.load_flows("br-int", [flow.format(port) for port in range(80, 90)])
        seen = Fingerprinter()
        asked = (messages.flow_desc_body(0, 0),)
        assert len(bridge.run(bridge.session.read_flows_of(asked, seen))) == 10
        # A second later every flow's own time is another, as counters are under traffic.
        time.sleep(1.1)
        assert bridge.run(bridge.session.fingerprint()) == seen.result
        assert seen.result is not None
        dummy_switch.ofctl(*words)
        assert bridge.run(bridge.session.fingerprint()) != seen.result


def test_a_bridge_that_restarts_is_down_and_then_up_and_empty(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as bridge:
        bridge.run(apply(bridge.session, diff_state(EMPTY, _rules(5))))
        dummy_switch.stop_vswitchd()
        bridge.until(BridgeDown)
        dummy_switch.start_vswitchd()
        assert bridge.until(BridgeUp).datapath_id == 0xA1
        assert bridge.run(bridge.session.read_flows()) == {}


def test_a_controller_that_restarts_finds_nothing_to_send(dummy_switch: DummySwitch) -> None:
    wanted = _rules(200)
    with connected(dummy_switch) as bridge:
        port = bridge.listener.port
        bridge.run(apply(bridge.session, diff_state(EMPTY, wanted)))
    assert len(dummy_switch.dump_flows("br-int")) == 200
    with listening(port=port) as again:
        again.until(BridgeUp)
        assert not diff_state(again.run(again.session.read_state()), wanted)


def test_a_silent_bridge_is_asked_for_an_echo_and_answers(dummy_switch: DummySwitch) -> None:
    limits = Limits(echo_after_s=0.2, dead_after_s=1.0)
    with listening(limits=limits) as controller:
        dummy_switch.add_bridge("br-int", controller=controller.remote)
        controller.until(BridgeUp)
        controller.pause(2.0)
        assert not [event for event in controller.events if isinstance(event, BridgeDown)]
        assert controller.run(controller.session.is_alive())


def test_a_bridge_without_openflow_1_5_is_told_what_is_missing(dummy_switch: DummySwitch) -> None:
    with listening() as controller:
        dummy_switch.add_bridge("br-int")
        dummy_switch.vsctl("set", "bridge", "br-int", "protocols=OpenFlow10,OpenFlow13")
        dummy_switch.vsctl("set-controller", "br-int", controller.remote)
        refused = controller.until(ConnectionRefused)
        assert "speaks OpenFlow 1.0, 1.3; OpenFlow 1.5 is missing: run `ovs-vsctl" in refused.reason


def test_a_bridge_that_the_inventory_does_not_know_is_refused(dummy_switch: DummySwitch) -> None:
    with listening(admit=lambda *_: Admission(False, "no such bridge in the inventory")) as controller:
        dummy_switch.add_bridge("br-int", datapath_id=0xBAD, controller=controller.remote)
        refused = controller.until(ConnectionRefused)
        assert refused.datapath_id == 0xBAD
        assert "no such bridge in the inventory" in refused.reason
        assert controller.listener.sessions == {}


def test_a_second_bridge_of_the_same_datapath_id_is_refused_while_the_first_lives(
    dummy_switch: DummySwitch, tmp_path: Path
) -> None:
    with connected(dummy_switch) as controller:
        impostor = DummySwitch(tmp_path / "other", "hv2")
        try:
            impostor.start()
            impostor.add_bridge("br-int", datapath_id=0xA1, controller=controller.remote)
            refused = controller.until(ConnectionRefused)
        finally:
            impostor.close()
        assert "connected with this datapath id already" in refused.reason
        assert controller.run(controller.session.is_alive())


def test_an_older_controller_does_not_take_the_bridge_back(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as newer, listening() as older:
        older.listener.generation_id = 0
        dummy_switch.vsctl("set-controller", "br-int", newer.remote, older.remote)
        refused = older.until(ConnectionRefused)
        assert "another controller has a newer generation" in refused.reason


def test_a_lost_session_ends_what_waits_for_it(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as bridge:
        session = bridge.session
        session.close("the test says so")
        with pytest.raises(SessionClosed, match="the test says so"):
            bridge.run(session.barrier())
        assert bridge.until(BridgeDown).reason == "the test says so"


def test_plain_tcp_is_for_loopback_only() -> None:
    with pytest.raises(AdmissionError, match=r"192\.0\.2\.1:6653: OpenFlow without TLS"):
        Listener(ListenerOptions("192.0.2.1", 6653, 1), lambda *_: Admission(True), lambda _: None)


def _pki(folder: Path, *words: str) -> None:
    done = subprocess.run(
        ["ovs-pki", "--dir", str(folder / "pki"), "--force", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """Two authorities of ovs-pki(8), and a certificate of each: ctl and sw."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    _pki(folder, "--log", str(folder / "log"), "init")
    _pki(folder, "--log", str(folder / "log"), "-u", "req+sign", "ctl", "controller")
    _pki(folder, "--log", str(folder / "log"), "-u", "req+sign", "sw", "switch")
    return folder


async def _cut_and_closed(channel: Channel) -> None:
    """A session that is cut closes its channel, too, and cuts it again where the bridge says nothing."""
    channel.abort()
    await channel.close()
    channel.abort()


def test_a_bridge_shows_its_certificate_and_its_names_decide(
    dummy_switch: DummySwitch, certificates: Path
) -> None:
    seen: list[frozenset[str] | None] = []

    def admit(datapath_id: int, names: frozenset[str] | None, peer: str) -> Admission:
        seen.append(names)
        return Admission(names is not None and any(name.startswith("sw") for name in names), "not a switch")

    files = TlsFiles(
        certificates / "ctl-privkey.pem",
        certificates / "ctl-cert.pem",
        certificates / "pki/switchca/cacert.pem",
    )
    with listening(admit=admit, tls=files) as controller:
        authority = certificates / "pki/controllerca/cacert.pem"
        pair = (str(certificates / "sw-privkey.pem"), str(certificates / "sw-cert.pem"))
        dummy_switch.vsctl("set-ssl", *pair, str(authority))
        dummy_switch.add_bridge("br-int", controller=controller.remote)
        controller.until(BridgeUp)
        controller.run(apply(controller.session, diff_state(EMPTY, _rules(2000))))
        assert len(controller.run(controller.session.read_flows())) == 2000
        controller.listener.reload_certificates()
        dummy_switch.stop_vswitchd()
        controller.until(BridgeDown)
        dummy_switch.start_vswitchd()
        controller.until(BridgeUp)
        controller.run(_cut_and_closed(controller.session.channel))
    assert len(seen) == 2
    assert all(names and any(name.startswith("sw") for name in names) for names in seen)


def test_a_bridge_with_a_certificate_of_another_authority_is_refused(
    dummy_switch: DummySwitch, certificates: Path
) -> None:
    files = TlsFiles(
        certificates / "ctl-privkey.pem",
        certificates / "ctl-cert.pem",
        certificates / "pki/switchca/cacert.pem",
    )
    with listening(tls=files) as controller:
        pair = (str(certificates / "ctl-privkey.pem"), str(certificates / "ctl-cert.pem"))
        dummy_switch.vsctl("set-ssl", *pair, str(certificates / "pki/controllerca/cacert.pem"))
        dummy_switch.add_bridge("br-int", controller=controller.remote)
        refused = controller.until(ConnectionRefused)
        assert "CERTIFICATE_VERIFY_FAILED" in refused.reason
        assert controller.listener.sessions == {}


def _hello_and_features(datapath_id: int) -> bytes:
    hello = struct.pack("!BBHIHHI", 6, 0, 16, 1, 1, 8, 1 << 6)
    return hello + struct.pack("!BBHIQIBBHII", 6, 6, 32, 2, datapath_id, 0, 254, 0, 0, 0, 0)


def test_garbage_on_one_connection_does_not_touch_another(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as bridge:
        session = bridge.session

        @given(
            st.booleans(),
            st.lists(
                st.binary(max_size=80)
                | st.builds(
                    lambda kind, body: struct.pack("!BBHI", 6, kind, 8 + len(body), 1) + body,
                    st.integers(0, 40),
                    st.binary(max_size=120),
                ),
                max_size=4,
            ),
        )
        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        def check(introduces_itself: bool, words: list[bytes]) -> None:
            with socket.create_connection(("127.0.0.1", bridge.listener.port)) as hostile:
                hostile.sendall((_hello_and_features(0x666) if introduces_itself else b"") + b"".join(words))
                hostile.shutdown(socket.SHUT_WR)
                bridge.pause(0.01)
            bridge.until(ConnectionRefused)
            assert bridge.listener.sessions == {0xA1: session}

        check()
        bridge.run(apply(session, diff_state(EMPTY, _rules(10))))
        assert len(bridge.run(session.read_flows())) == 10


def test_who_says_nothing_is_cut_after_the_deadline() -> None:
    limits = Limits(handshake_s=0.3)
    with (
        listening(limits=limits) as controller,
        socket.create_connection(("127.0.0.1", controller.listener.port)),
    ):
        assert controller.until(ConnectionRefused).reason == "no OpenFlow within 0.3 s"


def test_the_oldest_half_open_connection_of_an_address_makes_room_for_the_next() -> None:
    with listening(max_half_open_of_one=2) as controller:
        peers = [socket.create_connection(("127.0.0.1", controller.listener.port)) for _ in range(3)]
        refused = controller.until(ConnectionRefused)
        assert refused.reason == "too many connections are being opened"
        assert refused.peer_address == "{}:{}".format(*peers[0].getsockname())
        for peer in peers:
            peer.close()


def test_thousands_of_half_open_connections_keep_no_bridge_out(dummy_switch: DummySwitch) -> None:
    """From the bridge's own address, and from others; memory and descriptors stay bounded."""
    with listening() as controller:
        port = controller.listener.port
        peers: list[socket.socket] = []

        def crowd(count: int) -> None:
            for number in range(count):
                peer = socket.socket()
                peer.setblocking(False)
                peer.bind((f"127.0.0.{1 + number % 4}", 0))
                peer.connect_ex(("127.0.0.1", port))
                peers.append(peer)
                if number % 50 == 0:
                    controller.pause(0.02)
                for old in peers[:-400]:
                    old.close()
                del peers[:-400]

        crowd(2000)
        dummy_switch.add_bridge("br-int", controller=controller.remote)
        crowd(200)
        controller.until(BridgeUp)
        crowd(1000)
        controller.run(apply(controller.session, diff_state(EMPTY, _rules(10))))
        assert len(controller.run(controller.session.read_flows())) == 10
        assert len(controller.listener._connections) < 100
        for peer in peers:
            peer.close()


def test_replaced_certificates_are_used_without_a_restart(
    dummy_switch: DummySwitch, certificates: Path
) -> None:
    files = TlsFiles(
        certificates / "ctl-privkey.pem",
        certificates / "ctl-cert.pem",
        certificates / "pki/switchca/cacert.pem",
    )
    with listening(tls=files) as controller:
        pair = (str(certificates / "sw-privkey.pem"), str(certificates / "sw-cert.pem"))
        dummy_switch.vsctl("set-ssl", *pair, str(certificates / "pki/controllerca/cacert.pem"))
        files.private_key.write_text("nonsense, half written")
        dummy_switch.add_bridge("br-int", controller=controller.remote)
        controller.until(BridgeUp)
        other = certificates / "other"
        other.mkdir()
        _pki(other, "--log", str(other / "log"), "init")
        _pki(other, "--log", str(other / "log"), "-u", "req+sign", "ctl", "controller")
        _pki(other, "--log", str(other / "log"), "-u", "req+sign", "sw", "switch")
        for name in ("ctl-privkey.pem", "ctl-cert.pem", "pki/switchca/cacert.pem"):
            (other / name).replace(certificates / name)
        controller.session.close("a test cuts it")
        assert "unknown ca" in controller.until(ConnectionRefused).reason
        pair = (str(other / "sw-privkey.pem"), str(other / "sw-cert.pem"))
        dummy_switch.vsctl("set-ssl", *pair, str(other / "pki/controllerca/cacert.pem"))
        controller.until(BridgeUp)
