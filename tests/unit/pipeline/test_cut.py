"""A connection that is cut is told once; what was never allowed is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.compiled import CompiledFleet, Seen
from support.configurations import configure, endpoint, probe, rule, tenant, tier, zone
from zonewall.intent.semantics import Probe
from zonewall.policy.model import Configuration, Rule
from zonewall.values.names import EndpointKey

WEB, DB = EndpointKey("acme/web"), EndpointKey("acme/db")
SERVICES = ["tcp/5432", "udp/53", "icmp/8", "sctp/5000"]
SERVICE = {"tcp": "tcp/5432", "udp": "udp/53", "icmp": "icmp/8/0"}
LET = rule("let", "web", "db", services=SERVICES)


def acme(*rules: Rule) -> Configuration:
    ends = (
        endpoint(WEB, "10.0.0.1", "fd00::1", labels={"role": "web"}),
        endpoint(DB, "10.0.0.2", "fd00::2", labels={"role": "db"}),
    )
    zones = [zone("web", labels={"role": "web"}), zone("db", labels={"role": "db"})]
    return configure(*ends, tenant("acme", tier("t", *rules), zones=zones))


def asked(service: str, sport: int = 40000) -> Probe:
    return probe(WEB, DB, service, sport=None if "icmp" in service else sport)


def followed(fleet: CompiledFleet, after: Configuration) -> CompiledFleet:
    """Return the bridges after a change, with the connections that there are."""
    new = CompiledFleet(after, numbering=fleet.policy.numbering)
    new.tracked = fleet.tracked
    return new


def begun(fleet: CompiledFleet, what: Probe) -> Seen:
    """Return what becomes of its first packet, or of the same once more."""
    port, packet = fleet.entering(what, *fleet.addresses(what))
    return fleet.send(port, packet)


def sent(fleet: CompiledFleet, what: Probe, back: bool = False) -> Seen:
    if back:
        kind = None if what.icmp is None else (0, 0)
        what = replace(
            what, source=DB, destination=WEB, icmp=kind,
            source_port=what.destination_port, destination_port=what.source_port,
        )  # fmt: skip
    port, packet = fleet.entering(what, *fleet.addresses(what))
    return fleet.send(port, packet.but(tcp_flags=0x10) if what.protocol == 6 else packet)


@pytest.mark.parametrize("protocol", SERVICE)
@pytest.mark.parametrize("answered", [True, False], ids=["answered", "not answered"])
@pytest.mark.parametrize("gone", [[], ["drop"], ["reject"]], ids=["default", "drop", "reject"])
def test_a_connection_that_is_refused_from_now_on_is_told_once(
    protocol: str, answered: bool, gone: list[str]
) -> None:
    fleet = CompiledFleet(acme(LET))
    connection = asked(SERVICE[protocol])
    assert begun(fleet, connection).arrived
    if answered:
        assert sent(fleet, connection, back=True).arrived

    fleet = followed(fleet, acme(*(rule("no", "web", "db", action) for action in gone)))
    again = sent if answered else begun
    first, second = (again(fleet, connection) for _ in range(2))

    assert (first.arrived, first.cut) == ([], True)
    assert (second.arrived, second.cut) == ([], False)
    assert first.verdict == second.verdict == (gone[0] if gone else "drop")


def test_what_was_never_allowed_is_not_told() -> None:
    fleet = CompiledFleet(acme(LET))

    assert not begun(fleet, asked("tcp/22")).cut
    assert begun(fleet, asked("tcp/5432")).arrived
    assert not begun(fleet, asked("tcp/23")).cut


def test_one_that_is_allowed_again_and_cut_again_is_told_again() -> None:
    fleet = CompiledFleet(acme(LET))
    connection = asked("tcp/5432")
    assert begun(fleet, connection).arrived
    assert sent(fleet, connection, back=True).arrived

    told = []
    for _ in range(2):
        fleet = followed(fleet, acme())
        told.append(sent(fleet, connection).cut)
        fleet = followed(fleet, acme(LET))
        assert sent(fleet, connection).arrived

    assert told == [True, True]


def test_an_answer_is_told_where_it_enters() -> None:
    fleet = CompiledFleet(acme(LET))
    connection = asked("tcp/5432")
    assert begun(fleet, connection).arrived
    assert sent(fleet, connection, back=True).arrived

    fleet = followed(fleet, acme())

    assert [sent(fleet, connection, back=True).cut for _ in range(2)] == [True, False]


def test_another_association_of_the_same_two_is_no_part_of_one_that_was_allowed() -> None:
    fleet = CompiledFleet(acme(LET))
    assert begun(fleet, asked("sctp/5000")).arrived

    assert not begun(fleet, asked("sctp/5001")).cut
