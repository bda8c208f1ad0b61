"""Whoever has a bridge's datapath id and no more does not become it, by whichever listener it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.dummy import running_dummy_switch
from support.hostile_switch import hostile_switch
from support.openflow_bridge import admit_all
from support.ovsdb_host import free_port
from support.running_controller import RunningController, bridge_row, running_controller
from support.site import certificates
from zonewall.openflow.events import BridgeUp, ConnectionRefused, Event
from zonewall.openflow.listener import Listener, ListenerOptions
from zonewall.openflow.session import Session
from zonewall.ovsdb.admission import as_before
from zonewall.values.names import HostName

pytestmark = pytest.mark.ovs
NAMED, UNNAMED = 0xA1, 0xA2


def inventory(**of_hv2: str) -> dict[str, Any]:
    hosts = {
        name: {"bridges": {name: {"attachment": "fabric", "datapath-id": f"{number:016x}"}}, **keys}
        for name, number, keys in (("hv1", NAMED, {"certificate": "hv1"}), ("hv2", UNNAMED, of_hv2))
    }
    end = {"name": "vm", "tenant": "acme", "iface-id": "vm", "mac": "52:54:00:00:00:01", "ips": ["10.0.0.1"]}
    return {"kind": "inventory", "hosts": hosts, "endpoints": [end]}


async def until(events: list[Event], kind: type[Event]) -> Event:
    async with asyncio.timeout(40):
        while not (found := [event for event in events if isinstance(event, kind)]):
            await asyncio.sleep(0.01)
    return found[-1]


def test_a_datapath_id_is_there_once_for_all_listeners_of_a_controller() -> None:
    async def scene() -> None:
        events: list[Event] = []
        sessions: dict[int, Session] = {}
        options = ListenerOptions("127.0.0.1", 0, 1)
        one, other = (Listener(options, admit_all, events.append, sessions=sessions) for _ in range(2))
        with ExitStack() as stack:
            for listener in (one, other):
                await listener.start()
                stack.enter_context(hostile_switch(("127.0.0.1", listener.port), NAMED))
                await until(events, BridgeUp if listener is one else ConnectionRefused)
            refused = await until(events, ConnectionRefused)
            assert isinstance(refused, ConnectionRefused)
            assert "is connected with this datapath id already" in refused.reason
            (up,) = (event for event in events if isinstance(event, BridgeUp))
            assert sessions[NAMED].peer_address == up.peer_address
            for listener in (one, other):
                await listener.stop()

    asyncio.run(scene())


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[tuple[RunningController, str]]:
    """A controller that listens in plain and with TLS, and where the latter is."""
    certificates(tmp_path / "keys", {"ctl": "controller", "hv2": "switch"})
    with running_controller(tmp_path) as controller:
        controller.put("inventory", inventory())
        controller.put("acme", {"kind": "tenant", "tenant": "acme"})
        secure = f"ssl:127.0.0.1:{free_port()}"
        start(controller, secure, tmp_path / "keys")
        yield controller, secure


def start(controller: RunningController, secure: str, keys: Path) -> None:
    controller.start(
        "--openflow", f"tcp:127.0.0.1:{controller.openflow}", "--openflow", secure,
        "--tls-certificate", str(keys / "ctl-cert.pem"), "--tls-key", str(keys / "ctl-privkey.pem"),
        "--tls-ca", str(keys / "pki/switchca/cacert.pem"), ovsdb=False,
    )  # fmt: skip


def state(status: dict[str, Any], host: str) -> str:
    return str(bridge_row(status, host)["state"])


def refusals(status: dict[str, Any]) -> str:
    return " ".join(one["reason"] for one in status["refused"])


def test_a_bridge_is_known_by_its_certificate_where_it_has_one_and_no_longer_when_that_is_another_ones(
    controller: tuple[RunningController, str], tmp_path: Path
) -> None:
    running, secure = controller
    plain, keys = ("127.0.0.1", running.openflow), tmp_path / "keys"
    with hostile_switch(plain, NAMED):
        running.until(lambda now: "without a certificate; it must show hv1" in refusals(now))
    with hostile_switch(plain, UNNAMED), running_dummy_switch(tmp_path / "hv2", "hv2") as switch:
        running.until(lambda now: state(now, "hv2") != "away")
        pair = (str(keys / "hv2-privkey.pem"), str(keys / "hv2-cert.pem"))
        switch.vsctl("set-ssl", *pair, str(keys / "pki/controllerca/cacert.pem"))
        switch.add_bridge("hv2", datapath_id=UNNAMED, controller=secure)
        # It takes its place from who came before it without one, and lives.
        assert "already" not in refusals(running.until(lambda now: state(now, "hv2") == "in-force"))

        running.put("inventory", inventory(certificate="hv9"))
        running.until(lambda now: state(now, "hv2") == "away" and "of hv2" in refusals(now))
        running.put("inventory", inventory())
        running.until(lambda now: state(now, "hv2") == "in-force")

        switch.vsctl("del-controller", "hv2")
        running.until(lambda now: state(now, "hv2") == "away")
        with hostile_switch(plain, UNNAMED):
            running.until(lambda now: "without a certificate; it must show hv2" in refusals(now))
            assert state(running.status(), "hv2") == "away"

        # So it is after a restart, until somebody takes the host out of the file.
        running.until(lambda _: (running.state / "certificates.json").exists())
        running.stop(kill=True)
        start(running, secure, keys)
        with hostile_switch(plain, UNNAMED):
            reason = f"must show hv2, {as_before(HostName('hv2'))}"
            running.until(lambda now: reason in refusals(now))
            assert state(running.status(), "hv2") == "away"
        running.stop()
        shown = running.state / "certificates.json"
        assert json.loads(shown.read_text()) == {"bridges": ["hv2"], "databases": []}
        shown.write_text('{"bridges": [], "databases": []}')
        start(running, secure, keys)
        with hostile_switch(plain, UNNAMED):
            running.until(lambda now: state(now, "hv2") != "away")
