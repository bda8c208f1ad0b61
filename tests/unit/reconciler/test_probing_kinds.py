"""Each kind of appliance is probed in its own way, and an answer counts for the one it was asked of alone."""

from __future__ import annotations

from ipaddress import IPv4Address

from zonewall.placement.appliance_probe import build_question, build_through, parse_answer
from zonewall.placement.model import BridgeKey
from zonewall.policy.appliances import Instance, Side
from zonewall.policy.findings import Location
from zonewall.policy.inventory import ServiceFunction
from zonewall.reconciler.probing import EVERY_S, SILENT_AFTER, WAIT_S, Port, Prober, Sent
from zonewall.values.names import BridgeName, HostName, OfPort

AT = (HostName("hv1"), BridgeName("br-int"))
BRIDGE = BridgeKey(*AT)
HERE = Location("inventory.yaml", 1, 1)
ADDRESS = IPv4Address("10.0.0.250")
PORTS = {"a-in": 1, "a-out": 2, "b-in": 3, "b-out": 4, "url": 5, "eth1": 6}
FUNCTIONS = {
    "waf": ServiceFunction("waf", "bump-in-the-wire", HERE),
    "url": ServiceFunction("url", "one-armed", HERE, probe=ADDRESS),
    "fw": ServiceFunction("fw", "vlan-pair", HERE, "drop", (900,), (901,)),
    "old": ServiceFunction("old", "one-armed", HERE, probe="none"),
}
ONE = Instance("waf/one", "waf", Side(AT, "a-in"), Side(AT, "a-out"))
TWO = Instance("waf/two", "waf", Side(AT, "b-in"), Side(AT, "b-out"))
URL = Instance("url", "url", Side(AT, "url"), Side(AT, "url"))
FW = Instance("fw", "fw", Side(AT, "eth1", 900), Side(AT, "eth1", 901))
OLD = Instance("old", "old", Side(AT, "url"), Side(AT, "url"))


def port_of(side: Side) -> Port | None:
    return BRIDGE, OfPort(PORTS[side.port])


class Rounds:
    """Sends probes through appliances round by round."""

    def __init__(self, *instances: Instance) -> None:
        self.instances = instances
        self.prober = Prober()
        self.at = 0.0

    def send(self) -> list[Sent]:
        self.at += EVERY_S
        sent = self.prober.due(self.instances, FUNCTIONS, port_of, self.at)
        self.prober.answered(BRIDGE, self.at, self.at + 0.01)
        return sent

    def come(self, port: str, frame: bytes) -> None:
        self.prober.heard(self.instances, FUNCTIONS, port_of, (BRIDGE, OfPort(PORTS[port])), frame)


LONG = round(WAIT_S / EVERY_S) + SILENT_AFTER + 1


def test_an_appliance_that_passes_another_ones_probes_on_answers_for_neither() -> None:
    rounds = Rounds(ONE, TWO)
    for _ in range(LONG):
        for sent in rounds.send():
            if sent.ofport in (PORTS["a-in"], PORTS["a-out"]):
                rounds.come("b-out" if sent.ofport == PORTS["a-in"] else "b-in", sent.frame)
    assert rounds.prober.silent == {"waf/one", "waf/two"}


def test_a_firewall_behind_vlans_answers_on_the_other_vlan_and_no_other() -> None:
    for vlan, silent in ((901, set()), (900, {"fw"}), (902, {"fw"})):
        rounds = Rounds(FW)
        for _ in range(LONG):
            for sent in rounds.send():
                went = int.from_bytes(sent.frame[14:16], "big")
                back = vlan if went == 900 else 900 if vlan == 901 else went
                rounds.come("eth1", sent.frame[:14] + back.to_bytes(2, "big") + sent.frame[16:])
        assert rounds.prober.silent == silent


def test_a_proxy_is_asked_by_arp_and_has_to_answer_this_very_question() -> None:
    for repeats, silent in ((False, set()), (True, {"url"})):
        rounds = Rounds(URL)
        heard: list[bytes] = []
        for _ in range(LONG):
            (sent,) = rounds.send()
            heard.append(sent.frame)
            assert sent.frame[38:42] == ADDRESS.packed
            rounds.come("url", reply_to(heard[0] if repeats else sent.frame))
        assert rounds.prober.silent == silent


def test_one_that_is_not_to_be_probed_is_not() -> None:
    rounds = Rounds(OLD)
    assert [rounds.send() for _ in range(LONG)] == [[]] * LONG
    assert rounds.prober.silent == set()


def reply_to(question: bytes) -> bytes:
    """Return what a host answers an ARP probe with (RFC 826)."""
    own = bytes.fromhex("52540000000a")
    body = question[14:20] + b"\x00\x02" + own + question[38:42] + question[22:28] + question[28:32]
    return question[6:12] + own + question[12:14] + body


def test_what_is_no_probe_is_no_answer() -> None:
    probe = build_through(bytes(6), bytes(6), bytes(range(16)), 900)
    assert parse_answer(probe) is not None
    assert parse_answer(probe[:40]) is None
    assert parse_answer(build_question(ADDRESS, bytes(5))) is None, "a question is no answer"
    assert parse_answer(b"") is None
    assert parse_answer(bytes(60)) is None
