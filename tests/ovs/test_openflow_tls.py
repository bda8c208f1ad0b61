"""TLS of the listener for OpenFlow: certificates of ovs-pki(8), none, late ones, and old versions."""

from __future__ import annotations

import gc
import shutil
import socket
import ssl
import threading
import time
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from pathlib import Path

import pytest

from support.dummy import DummySwitch
from support.openflow_bridge import EMPTY, ListenerUnderTest, listening, rules
from support.site import certificates
from zonewall.flows.diff import diff_state
from zonewall.flows.wire import message
from zonewall.openflow.bundle import apply
from zonewall.openflow.channel import Channel
from zonewall.openflow.door import Admission
from zonewall.openflow.events import BridgeDown, BridgeUp, ConnectionRefused
from zonewall.openflow.messages import FEATURES_REPLY, hello
from zonewall.openflow.waiting import Limits
from zonewall.tls import TlsFiles

pytestmark = pytest.mark.ovs
HELLO = b"\x06\x00"
NAMES = {"controller": "controller", "hv1": "switch"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two authorities of ovs-pki(8), and a certificate of each: controller and hv1."""
    folder = tmp_path_factory.mktemp("keys")
    certificates(folder, NAMES)
    return folder


def ours(keys: Path) -> TlsFiles:
    return TlsFiles(
        keys / "controller-privkey.pem", keys / "controller-cert.pem", keys / "pki/switchca/cacert.pem"
    )


def client(keys: Path, version: ssl.TLSVersion, *, shows: bool = True) -> ssl.SSLContext:
    """Return a bridge's side of TLS of one version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(keys / "pki/controllerca/cacert.pem")
    context.set_ciphers("ALL:@SECLEVEL=0")  # so that an old version is offered at all
    context.minimum_version = context.maximum_version = version
    if shows:
        context.load_cert_chain(keys / "hv1-cert.pem", keys / "hv1-privkey.pem")
    return context


def called(controller: ListenerUnderTest, call: Callable[[socket.socket], bytes]) -> tuple[str, bytes]:
    """Connect, and return why the listener has refused that, and what the caller has read until then."""
    read: list[bytes] = []

    def work() -> None:
        with socket.create_connection(("127.0.0.1", controller.listener.port), timeout=20.0) as connection:
            try:
                read.append(call(connection))
            except (ssl.SSLError, ConnectionError) as error:
                read.append(type(error).__name__.encode())

    thread = threading.Thread(target=work)
    thread.start()
    reason = controller.until(ConnectionRefused).reason
    controller.pause(0.1)
    thread.join(20.0)
    assert not thread.is_alive()
    assert controller.listener.sessions == {}
    return reason, read[0]


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01\x00"], ids=["nothing", "half-a-hello"])
def test_who_does_not_end_the_handshake_is_cut_after_the_deadline(keys: Path, said: bytes) -> None:
    def say(connection: socket.socket) -> bytes:
        connection.sendall(said)
        return connection.recv(100)

    with listening(tls=ours(keys), limits=Limits(handshake_s=0.3)) as controller:
        reason, read = called(controller, say)
        assert "0.3 s" in reason
        assert read in (b"", b"ConnectionResetError")


@pytest.mark.parametrize(
    ("version", "shows", "why"),
    [
        (ssl.TLSVersion.TLSv1_2, True, "the bridge closed the connection"),
        (ssl.TLSVersion.TLSv1_3, True, "the bridge closed the connection"),
        (ssl.TLSVersion.TLSv1_2, False, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        (ssl.TLSVersion.TLSv1_3, False, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        (ssl.TLSVersion.TLSv1_1, True, "UNSUPPORTED_PROTOCOL"),
    ],
    ids=["1.2", "1.3", "1.2-without-certificate", "1.3-without-certificate", "1.1"],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_openflow_is_spoken_with_tls_1_2_or_newer_and_a_certificate_only(
    keys: Path, version: ssl.TLSVersion, shows: bool, why: str
) -> None:
    def speak(connection: socket.socket) -> bytes:
        with client(keys, version, shows=shows).wrap_socket(connection) as spoken:
            return spoken.recv(100)

    with listening(tls=ours(keys), limits=Limits(handshake_s=20.0)) as controller:
        reason, read = called(controller, speak)
        assert why in reason
        assert read.startswith(HELLO) is (why == "the bridge closed the connection")


def test_what_a_refused_connection_was_made_of_goes_with_it(keys: Path) -> None:
    """A quarter of a megabyte each, of which strangers can have any number made: no garbage is looked for."""

    def stay_silent(connection: socket.socket) -> bytes:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        return connection.recv(100)

    def show_nothing(connection: socket.socket) -> bytes:
        with client(keys, ssl.TLSVersion.TLSv1_2, shows=False).wrap_socket(connection) as spoken:
            return spoken.recv(100)

    def be_somebody_else(connection: socket.socket) -> bytes:
        with client(keys, ssl.TLSVersion.TLSv1_2).wrap_socket(connection) as spoken:
            spoken.sendall(hello(1))
            spoken.recv(100)
            spoken.sendall(message(FEATURES_REPLY, 2, bytes(24)))
            return spoken.recv(100)

    def nobody(*_: object) -> Admission:
        return Admission(False, "it is nobody")

    gc.collect()
    gc.disable()
    try:
        with listening(admit=nobody, tls=ours(keys), limits=Limits(handshake_s=1.0)) as controller:
            for call in (stay_silent, show_nothing, be_somebody_else):
                called(controller, call)
                deadline = time.monotonic() + 20.0
                while any(isinstance(one, SSLProtocol) for one in gc.get_objects()):
                    assert time.monotonic() < deadline, call.__name__
                    controller.pause(0.1)
    finally:
        gc.enable()


def shown(switch: DummySwitch, keys: Path, name: str = "hv1") -> None:
    """Have a host show a certificate, and ask the controller for one of its authority."""
    pair = (str(keys / f"{name}-privkey.pem"), str(keys / f"{name}-cert.pem"))
    switch.vsctl("set-ssl", *pair, str(keys / "pki/controllerca/cacert.pem"))


async def cut_and_closed(channel: Channel) -> None:
    """A session that is cut closes its channel, too, and cuts it again where the bridge says nothing."""
    channel.abort()
    await channel.close()
    channel.abort()


def test_a_bridge_shows_its_certificate_and_its_names_decide(dummy_switch: DummySwitch, keys: Path) -> None:
    seen: list[frozenset[str] | None] = []

    def admit(datapath_id: int, names: frozenset[str] | None, peer: str) -> Admission:
        seen.append(names)
        return Admission(names is not None and any(name.startswith("hv1") for name in names), "not a switch")

    with listening(admit=admit, tls=ours(keys)) as controller:
        shown(dummy_switch, keys)
        dummy_switch.add_bridge("br-int", controller=controller.remote)
        controller.until(BridgeUp)
        controller.run(apply(controller.session, diff_state(EMPTY, rules(2000))))
        assert len(controller.run(controller.session.read_flows())) == 2000
        dummy_switch.stop_vswitchd()
        controller.until(BridgeDown)
        dummy_switch.start_vswitchd()
        controller.until(BridgeUp)
        controller.run(cut_and_closed(controller.session.channel))
    assert len(seen) == 2
    assert all(names and any(name.startswith("hv1") for name in names) for names in seen)


def test_a_bridge_with_a_certificate_of_another_authority_is_refused(
    dummy_switch: DummySwitch, keys: Path
) -> None:
    with listening(tls=ours(keys)) as controller:
        shown(dummy_switch, keys, "controller")
        dummy_switch.add_bridge("br-int", controller=controller.remote)
        refused = controller.until(ConnectionRefused)
        assert "CERTIFICATE_VERIFY_FAILED" in refused.reason
        assert controller.listener.sessions == {}


def test_replaced_certificates_are_used_without_a_restart(
    dummy_switch: DummySwitch, keys: Path, tmp_path: Path
) -> None:
    used = shutil.copytree(keys, tmp_path / "used")
    other = tmp_path / "other"
    certificates(other, NAMES)
    files = ours(used)
    with listening(tls=files) as controller:
        shown(dummy_switch, used)
        files.private_key.write_text("nonsense, half written")
        dummy_switch.add_bridge("br-int", controller=controller.remote)
        controller.until(BridgeUp)
        for name in ("controller-privkey.pem", "controller-cert.pem", "pki/switchca/cacert.pem"):
            (other / name).replace(used / name)
        controller.session.close("a test cuts it")
        assert "unknown ca" in controller.until(ConnectionRefused).reason
        shown(dummy_switch, other)
        controller.until(BridgeUp)
