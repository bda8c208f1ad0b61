"""Probes: three in a row in vain and an appliance is silent, if they left and would have been told of."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from zonewall.placement.model import BridgeKey
from zonewall.policy.appliances import Instance, Side
from zonewall.policy.findings import Location
from zonewall.policy.inventory import ServiceFunction
from zonewall.reconciler.probing import BACK_AFTER, EVERY_S, SILENT_AFTER, WAIT_S, Port, Prober, Sent
from zonewall.values.names import BridgeName, HostName, OfPort

BRIDGE = BridgeKey(HostName("hv1"), BridgeName("br-int"))
PORTS = {"waf-in": (BRIDGE, OfPort(3)), "waf-out": (BRIDGE, OfPort(4))}
ENTER, LEAVE = (Side((HostName("hv1"), BridgeName("br-int")), port) for port in PORTS)
OPPOSITE = {OfPort(3): PORTS["waf-out"], OfPort(4): PORTS["waf-in"]}
WAF = Instance("waf", "waf", ENTER, LEAVE)
FUNCTIONS = {"waf": ServiceFunction("waf", "bump-in-the-wire", Location("inventory.yaml", 1, 1))}


class Appliance:
    """A prober and what it probes: an appliance that lets frames through or does not."""

    def __init__(self) -> None:
        self.prober = Prober()
        self.at = 0.0

    def round(self, *, works: bool, answers: bool = True) -> list[Sent]:
        """Let half a second pass: probes are sent, the bridge answers for them, the appliance passes them."""
        self.at += EVERY_S
        sent = self.prober.due([WAF], FUNCTIONS, self.port_of, self.at)
        if answers:
            self.prober.answered(BRIDGE, self.at, self.at + 0.01)
        for one in sent if works else ():
            self.arrive(OPPOSITE[one.ofport], one.frame)
        return sent

    def rounds(self, count: int, *, works: bool, answers: bool = True) -> None:
        for _ in range(count):
            self.round(works=works, answers=answers)

    def arrive(self, port: Port, frame: bytes) -> None:
        self.prober.heard([WAF], FUNCTIONS, self.port_of, port, frame)

    @staticmethod
    def port_of(side: Side) -> Port | None:
        return PORTS[side.port]

    @property
    def is_silent(self) -> bool:
        return "waf" in self.prober.silent


LONG = round(WAIT_S / EVERY_S) + SILENT_AFTER + 1


def test_an_appliance_that_lets_probes_through_is_used() -> None:
    appliance = Appliance()
    appliance.rounds(4 * LONG, works=True)
    assert not appliance.is_silent


def test_one_that_swallows_three_in_a_row_is_silent_and_comes_back_after_three_answers() -> None:
    appliance = Appliance()
    appliance.rounds(LONG, works=False)
    assert appliance.is_silent
    appliance.rounds(BACK_AFTER - 1, works=True)
    assert appliance.is_silent
    appliance.rounds(LONG, works=True)
    assert not appliance.is_silent


def test_a_bridge_that_cannot_be_spoken_to_makes_no_appliance_silent() -> None:
    appliance = Appliance()
    appliance.rounds(4 * LONG, works=False, answers=False)
    assert not appliance.is_silent
    appliance.rounds(LONG, works=False)
    assert appliance.is_silent


@pytest.mark.parametrize("way", ["back to where it went in", "twice", "long ago", "for another probe"])
def test_an_appliance_cannot_answer_for_a_probe_that_did_not_pass(way: str) -> None:
    appliance = Appliance()
    seen: list[Sent] = []
    for _ in range(2 * LONG):
        sent = appliance.round(works=False)
        for one in sent:
            appliance.arrive(*forged(way, one, seen))
        seen += sent
    assert appliance.is_silent


def forged(way: str, now: Sent, seen: Iterable[Sent]) -> tuple[Port, bytes]:
    """Return what a hostile appliance sends, and from which port."""
    first = next(iter(seen), now)
    match way:
        case "back to where it went in":
            return (now.bridge, now.ofport), now.frame
        case "twice" | "long ago":
            return OPPOSITE[first.ofport], first.frame
        case _:
            return OPPOSITE[now.ofport], now.frame[:-20] + bytes(20)
