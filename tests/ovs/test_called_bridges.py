"""Bridges that listen are called, with TLS or without, under the rules for those that connect in."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from support.dummy import DummySwitch
from support.ovsdb_host import free_port
from support.site import certificates
from support.whole_controller import WholeController, is_settled, one_bridge, whole_controller
from zonewall.openflow import caller as caller_module
from zonewall.openflow.caller import FIRST_PAUSE_S, LONGEST_PAUSE_S, Caller, CallerOptions
from zonewall.openflow.door import Admission
from zonewall.openflow.events import ConnectionRefused, Event
from zonewall.pipeline.tables import QUARANTINE
from zonewall.store.options import TlsOptions

pytestmark = pytest.mark.ovs


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    certificates(folder, {"controller": "controller", "hv1": "switch", "hv2": "switch"})
    return folder


def ours(keys: Path) -> TlsOptions:
    return TlsOptions.model_validate(
        {
            "certificate": keys / "controller-cert.pem",
            "private-key": keys / "controller-privkey.pem",
            "ca": keys / "pki/switchca/cacert.pem",
        }
    )


def show(switch: DummySwitch, keys: Path, name: str = "hv1") -> None:
    """Have the switch show the certificate of a host, and trust the controllers' authority."""
    pair = (f"{keys}/{name}-privkey.pem", f"{keys}/{name}-cert.pem")
    switch.vsctl("set-ssl", *pair, f"{keys}/pki/controllerca/cacert.pem")


def refusal(whole: WholeController) -> str:
    """Wait until somebody was refused, and return by whom and why."""
    (one,) = whole.until_status(lambda status: status["refused"])["refused"]
    return f"{one['peer']}: {one['reason']}"


@pytest.mark.parametrize("kind", ["ssl", "tcp"])
def test_a_bridge_that_listens_is_called_and_kept_as_one_that_connects(
    dummy_switch: DummySwitch, tmp_path: Path, keys: Path, kind: str
) -> None:
    port = free_port()
    policies = one_bridge(tmp_path / "policies", openflow=f"{kind}:127.0.0.1:{port}")
    show(dummy_switch, keys)
    dummy_switch.add_bridge("br-int", datapath_id=0xA1)
    with whole_controller(policies, tmp_path / "state", tls=ours(keys)) as (whole, _):
        assert "Connection refused" in refusal(whole)
        dummy_switch.vsctl("set-controller", "br-int", f"p{kind}:{port}:127.0.0.1")
        whole.until(is_settled)
        # What a bridge tells by itself comes, too: ports, and flows and groups that others change.
        dummy_switch.add_port("br-int", "vm", ofport=1)
        whole.until_status(lambda status: status["endpoints"][0]["places"])
        whole.until(is_settled)
        dummy_switch.ofctl("--strict", "del-flows", "br-int", f"table={QUARANTINE.number},priority=0")
        whole.until(lambda row: row["drift_repaired"] == 1)
        dummy_switch.ofctl("add-group", "br-int", "group_id=7,type=all")
        whole.until(lambda row: row["drift_repaired"] == 2)
        dummy_switch.stop_vswitchd()
        whole.until(lambda row: row["state"] == "away")
        dummy_switch.start_vswitchd()
        row = whole.until(is_settled)
        assert len(dummy_switch.dump_flows("br-int")) == row["flows"]


def test_a_change_of_the_inventory_has_the_bridge_called_elsewhere_or_no_more(
    dummy_switch: DummySwitch, tmp_path: Path
) -> None:
    ports = (free_port(), free_port())
    policies = one_bridge(tmp_path / "policies", openflow=f"tcp:127.0.0.1:{ports[0]}")
    listening = [f"ptcp:{port}:127.0.0.1" for port in ports]
    dummy_switch.add_bridge("br-int", datapath_id=0xA1)
    dummy_switch.vsctl("set-controller", "br-int", *listening)
    with whole_controller(policies, tmp_path / "state") as (whole, _):
        whole.until(is_settled)
        one_bridge(policies, openflow=f"tcp:127.0.0.1:{ports[1]}")
        whole.until(lambda _: whole.peers() == [f"hv1/br-int at tcp:127.0.0.1:{ports[1]}"])
        whole.until(is_settled)
        one_bridge(policies)
        whole.until(lambda row: row["state"] == "away")
        assert whole.peers() == []
        one_bridge(policies, openflow=f"tcp:127.0.0.1:{ports[0]}")
        whole.until(is_settled)


def test_a_bridge_that_also_connects_in_is_not_called_meanwhile(
    dummy_switch: DummySwitch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller_module, "LONGEST_PAUSE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        place = f"tcp:127.0.0.1:{nobody.getsockname()[1]}"
        policies = one_bridge(tmp_path / "policies", openflow=place)
        with whole_controller(policies, tmp_path / "state") as (whole, remote):
            nobody.settimeout(20.0)
            for _ in range(3):
                nobody.accept()[0].close()
            dummy_switch.add_bridge("br-int", datapath_id=0xA1, controller=remote)
            whole.until(is_settled)
            assert calls_until_none_comes(nobody) < 100
            dummy_switch.vsctl("set-controller", "br-int", "tcp:127.0.0.1:1")
            nobody.settimeout(20.0)
            nobody.accept()[0].close()


def calls_until_none_comes(nobody: socket.socket) -> int:
    nobody.settimeout(1.0)
    calls = 0
    with contextlib.suppress(TimeoutError):
        while calls < 100:
            nobody.accept()[0].close()
            calls += 1
    return calls


@pytest.mark.parametrize(
    ("name", "said", "why"),
    [
        ("hv2", {}, "with a certificate of "),
        ("controller", {}, "certificate verify failed"),
        ("hv1", {"datapath-id": "00000000000000b2"}, "is no managed bridge's"),
    ],
    ids=["another-host's-certificate", "another-authority's", "another-datapath-id"],
)
def test_who_answers_and_is_another_is_hung_up_on(
    dummy_switch: DummySwitch, tmp_path: Path, keys: Path, name: str, said: dict[str, Any], why: str
) -> None:
    port = free_port()
    show(dummy_switch, keys, name)
    dummy_switch.add_bridge("br-int", datapath_id=0xA1)
    dummy_switch.vsctl("set-controller", "br-int", f"pssl:{port}:127.0.0.1")
    policies = one_bridge(tmp_path / "policies", openflow=f"ssl:127.0.0.1:{port}", **said)
    with whole_controller(policies, tmp_path / "state", tls=ours(keys)) as (whole, _):
        whole.until_status(lambda status: why in str(status["refused"]))
        assert whole.bridge()["state"] == "away"
        assert whole.peers() == []


def test_a_bridge_at_the_place_of_another_is_not_taken_for_it(
    dummy_switch: DummySwitch, tmp_path: Path
) -> None:
    port = free_port()
    policies = one_bridge(tmp_path / "policies", openflow=f"tcp:127.0.0.1:{port}")
    (policies / "other.yaml").write_text(
        "kind: inventory\nhosts:\n"
        '  hv2: {bridges: {br-int: {attachment: fabric, datapath-id: "00000000000000b2"}}}\n'
    )
    dummy_switch.add_bridge("br-int", datapath_id=0xB2)
    dummy_switch.vsctl("set-controller", "br-int", f"ptcp:{port}:127.0.0.1")
    with whole_controller(policies, tmp_path / "state") as (whole, _):
        whole.until_status(
            lambda status: "the inventory has hv1/br-int there, it is hv2/br-int" in str(status["refused"])
        )
        assert whole.peers() == []


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("tcp:192.0.2.1:6653", "hv1/br-int at tcp:192.0.2.1: OpenFlow without TLS is for loopback only"),
        ("ssl:192.0.2.1:6653", "hv1/br-int at ssl:192.0.2.1: .* needs the controller's certificate"),
    ],
    ids=["plain", "no-certificates"],
)
def test_what_may_not_be_called_is_not_and_status_says_why(tmp_path: Path, place: str, why: str) -> None:
    policies = one_bridge(tmp_path / "policies", openflow=place)
    with whole_controller(policies, tmp_path / "state") as (whole, _):
        assert re.match(why, refusal(whole))


class Recorded(Caller):
    """A caller that notes how long it would rest."""

    def __init__(self, port: int, told: list[Event]) -> None:
        options = CallerOptions("hv1/br-int", "127.0.0.1", port, 1)
        super().__init__(options, lambda *_: Admission(True), told.append, lambda _: None, {}, lambda: True)
        self.pauses: list[float] = []

    async def _rest(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        await asyncio.sleep(0)


def test_each_pause_between_calls_is_longer_up_to_the_longest() -> None:
    async def scene() -> None:
        told: list[Event] = []
        caller = Recorded(free_port(), told)
        caller.start()
        async with asyncio.timeout(20.0):
            while len(caller.pauses) < 7:
                await asyncio.sleep(0.01)
        await caller.stop()
        assert caller.pauses[:2] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S]
        assert caller.pauses[5:7] == [LONGEST_PAUSE_S] * 2
        assert {type(event) for event in told} == {ConnectionRefused}

    asyncio.run(scene())
