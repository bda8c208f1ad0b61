"""A connection that is cut is told once; what was never allowed is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from support.compiled import CompiledFleet, Seen, in_parts
from support.configurations import configure, endpoint, probe, rule, tenant, tier, zone
from zonewall.intent.numbering import Kind
from zonewall.intent.semantics import Probe
from zonewall.pipeline.registers import HAD_RULE
from zonewall.placement.model import BindingState
from zonewall.policy.model import Configuration, Provider, Rule
from zonewall.values.names import EndpointKey

WEB, DB, NEAR = EndpointKey("acme/web"), EndpointKey("acme/db"), EndpointKey("acme/near")
"""``NEAR`` is on the bridge of ``DB``."""
SERVICES = ["tcp/5432", "udp/53", "icmp/8", "sctp/5000"]
SERVICE = {"tcp": "tcp/5432", "udp": "udp/53", "icmp": "icmp/8/0"}
LET = rule("let", "web", "db", services=SERVICES)


def acme(*rules: Rule) -> Configuration:
    ends = (
        endpoint(WEB, "10.0.0.1", "fd00::1", labels={"role": "web"}),
        endpoint(DB, "10.0.0.2", "fd00::2", labels={"role": "db"}),
        endpoint(NEAR, "10.0.0.3", "fd00::3", labels={"role": "web"}),
    )
    zones = [zone("web", labels={"role": "web"}), zone("db", labels={"role": "db"})]
    return configure(*ends, tenant("acme", tier("t", *rules), zones=zones))


def asked(service: str, sport: int = 40000, source: EndpointKey = WEB) -> Probe:
    return probe(source, DB, service, sport=None if "icmp" in service else sport)


def followed(fleet: CompiledFleet, after: Configuration, *isolated: EndpointKey) -> CompiledFleet:
    """Return the bridges after a change, with the connections that there are."""
    states = dict.fromkeys(isolated, BindingState.QUARANTINED)
    new = CompiledFleet(after, numbering=fleet.policy.numbering, states=states)
    new.tracked = dict(fleet.tracked)
    return new


def begun(fleet: CompiledFleet, what: Probe) -> Seen:
    """Return what becomes of its first packet, or of the same once more."""
    port, packet = fleet.entering(what, *fleet.addresses(what))
    return fleet.send(port, packet)


def sent(fleet: CompiledFleet, what: Probe, back: bool = False) -> Seen:
    if back:
        kind = None if what.icmp is None else (0, 0)
        what = replace(
            what, source=DB, destination=what.source, icmp=kind,
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


@pytest.mark.parametrize(
    ("service", "is_split"), [("tcp/5432", False), ("udp/53", True)], ids=["whole", "in fragments"]
)
def test_one_that_is_allowed_again_and_cut_again_is_told_again(service: str, is_split: bool) -> None:
    fleet = CompiledFleet(acme(LET))
    connection = asked(service)
    say = in_fragments if is_split else sent
    assert (in_fragments if is_split else begun)(fleet, connection).arrived
    assert sent(fleet, connection, back=True).arrived

    told = []
    for _ in range(2):
        fleet = followed(fleet, acme())
        told.append(say(fleet, connection).cut)
        fleet = followed(fleet, acme(LET))
        assert say(fleet, connection).arrived

    assert told == [True, True]


def test_an_answer_is_told_where_it_enters() -> None:
    fleet = CompiledFleet(acme(LET))
    connection = asked("tcp/5432")
    assert begun(fleet, connection).arrived
    assert sent(fleet, connection, back=True).arrived

    fleet = followed(fleet, acme())

    assert [sent(fleet, connection, back=True).cut for _ in range(2)] == [True, False]


OTHER = rule("other", "web", "db", services=["sctp/5001"])
BACK = rule("back", "db", "web", services=["sctp/6000"])


def test_another_association_of_the_same_two_is_no_part_of_one_that_is_allowed() -> None:
    fleet = CompiledFleet(acme(LET))
    assert begun(fleet, asked("sctp/5000")).arrived

    assert not begun(fleet, asked("sctp/5001")).told
    assert sent(fleet, asked("sctp/5000"), back=True).arrived
    for back in (False, True):
        assert not sent(fleet, asked("sctp/5001"), back).told

    fleet = followed(fleet, acme())
    assert sent(fleet, asked("sctp/5000")).cut


@pytest.mark.parametrize("speaks", ["sctp/5000", "sctp/5001"], ids=["itself", "another"])
@pytest.mark.parametrize("back", [False, True], ids=["asks", "answers"])
@pytest.mark.parametrize("answered", [True, False], ids=["answered", "not answered"])
@pytest.mark.parametrize("gone", [[], ["drop"], ["reject"]], ids=["default", "drop", "reject"])
def test_of_sctp_that_is_cut_the_association_that_began_is_told_once(
    speaks: str, back: bool, answered: bool, gone: list[str]
) -> None:
    fleet = CompiledFleet(acme(LET))
    assert begun(fleet, asked("sctp/5000")).arrived
    if answered:
        assert sent(fleet, asked("sctp/5000"), back=True).arrived

    fleet = followed(fleet, acme(*(rule("no", "web", "db", action) for action in gone)))
    told = [sent(fleet, asked(speaks), back) for _ in range(2)]

    assert [(seen.arrived, seen.cut) for seen in told] == [([], True), ([], False)]
    (copy,) = told[0].told
    assert told[0].answers_told == [back]
    ports = (copy.packet["sctp_src"], copy.packet["sctp_dst"])
    assert ports == ((5000, 40000) if back else (40000, 5000))


def test_sctp_that_is_allowed_again_and_cut_again_is_told_again() -> None:
    fleet = CompiledFleet(acme(LET))
    connection = asked("sctp/5000")
    assert begun(fleet, connection).arrived
    assert sent(fleet, connection, back=True).arrived

    told = []
    for _ in range(2):
        fleet = followed(fleet, acme())
        told.append(sent(fleet, connection).cut)
        fleet = followed(fleet, acme(LET))
        assert sent(fleet, connection).arrived

    assert told == [True, True]


@pytest.mark.parametrize("back", [False, True], ids=["that way", "the other way"])
def test_one_that_is_cut_is_not_told_again_because_another_of_the_same_two_goes_on(back: bool) -> None:
    fleet = CompiledFleet(acme(LET, OTHER, BACK))
    assert begun(fleet, asked("sctp/5000")).arrived
    assert sent(fleet, asked("sctp/5000"), back=True).arrived

    fleet = followed(fleet, acme(OTHER, BACK))
    told = []
    for _ in range(3):
        told.append(sent(fleet, asked("sctp/5000")).cut)
        if back:
            opposite = probe(DB, WEB, "sctp/6000", sport=5)
            assert begun(fleet, opposite).arrived
        else:
            assert sent(fleet, asked("sctp/5001")).arrived

    assert told == [True, False, False]


@pytest.mark.parametrize("protocol", ["udp/53", "sctp/5000"])
def test_between_tenants_that_still_agree_on_something_it_is_the_same(protocol: str) -> None:
    def agreed(action: str) -> Configuration:
        ends = (endpoint("acme/web", "10.0.0.1"), endpoint("blue/db", "10.0.1.1"))
        asks = rule("across", "acme/any", "blue/any", action, services=SERVICES)
        across = tier("x", asks, rule("stays", "acme/any", "blue/any", services=["tcp/9"]))
        return configure(*ends, tenant("acme"), tenant("blue"), provider=Provider(before=(across,)))

    client, server = EndpointKey("acme/web"), EndpointKey("blue/db")
    fleet = CompiledFleet(agreed("allow"))
    there = probe(client, server, protocol, sport=40000)
    again = replace(
        there, source=server, destination=client, source_port=there.destination_port, destination_port=40000
    )
    assert begun(fleet, there).arrived
    assert begun(fleet, again).arrived

    fleet = followed(fleet, agreed("drop"))
    for one in (there, again):
        copy = dict(fleet.tracked)
        assert [begun(fleet, one).cut for _ in range(2)] == [True, False]
        fleet.tracked = copy


def in_fragments(fleet: CompiledFleet, what: Probe) -> Seen:
    port, packet = fleet.entering(what, *fleet.addresses(what))
    return fleet.send(port, *in_parts(packet, 3))


@pytest.mark.parametrize("service", ["udp/53", "icmp/8/0"])
@pytest.mark.parametrize("first", [begun, in_fragments], ids=["began whole", "began in fragments"])
@pytest.mark.parametrize("answered", [True, False], ids=["answered", "not answered"])
@pytest.mark.parametrize("gone", [[], ["drop"], ["reject"]], ids=["default", "drop", "reject"])
def test_a_connection_whose_fragments_are_refused_is_told_once_and_with_its_rule(
    service: str, first: Callable[[CompiledFleet, Probe], Seen], answered: bool, gone: list[str]
) -> None:
    fleet = CompiledFleet(acme(LET))
    connection = asked(service)
    assert first(fleet, connection).arrived
    if answered:
        assert sent(fleet, connection, back=True).arrived

    fleet = followed(fleet, acme(*(rule("no", "web", "db", action) for action in gone)))
    told = [in_fragments(fleet, connection) for _ in range(2)]

    assert [(seen.arrived, seen.cut) for seen in told] == [([], True), ([], False)]
    (copy,) = told[0].told
    assert copy.packet["ip_frag"] == 1
    assert copy.registers[HAD_RULE.base] == fleet.policy.number(Kind.RULE, "acme/t/let")
    assert not begun(fleet, connection).cut


def test_fragments_of_what_was_never_allowed_are_not_told() -> None:
    fleet = CompiledFleet(acme(LET))
    assert begun(fleet, asked("udp/53")).arrived

    assert not in_fragments(fleet, asked("udp/54")).cut


@pytest.mark.parametrize("protocol", SERVICE)
@pytest.mark.parametrize("source", [WEB, NEAR], ids=["from afar", "on one bridge"])
@pytest.mark.parametrize("back", [False, True], ids=["asks", "answers"])
def test_a_connection_that_isolation_ends_is_told_once_whoever_speaks(
    protocol: str, source: EndpointKey, back: bool
) -> None:
    fleet = CompiledFleet(acme(LET))
    connection = asked(SERVICE[protocol], source=source)
    assert begun(fleet, connection).arrived
    assert sent(fleet, connection, back=True).arrived

    fleet = followed(fleet, acme(LET), DB)
    first, second = (sent(fleet, connection, back) for _ in range(2))

    assert (first.arrived, first.parted, first.cut) == ([], True, False)
    assert (second.arrived, second.parted, second.cut) == ([], False, False)
    assert first.answers_told == [back]


def test_who_is_released_and_isolated_again_is_told_of_again() -> None:
    fleet = CompiledFleet(acme(LET))
    connection = asked("tcp/5432")
    assert begun(fleet, connection).arrived
    assert sent(fleet, connection, back=True).arrived

    told = []
    for isolated in (WEB, DB):
        fleet = followed(fleet, acme(LET), isolated)
        told.append(sent(fleet, connection).parted)
        fleet = followed(fleet, acme(LET))
        assert sent(fleet, connection).arrived

    assert told == [True, True]


def test_what_an_isolated_end_never_had_is_not_told() -> None:
    fleet = CompiledFleet(acme(LET))
    assert begun(fleet, asked("udp/53")).arrived

    fleet, known = followed(fleet, acme(LET), WEB), dict(fleet.tracked)

    for other in (asked("udp/53", 40001), asked("tcp/5432"), asked("tcp/22")):
        seen = begun(fleet, other)
        assert (seen.arrived, seen.parted) == ([], False)
    assert fleet.tracked == known


def test_fragments_of_an_isolated_end_are_not_looked_up_those_sent_to_it_tell() -> None:
    fleet = CompiledFleet(acme(LET))
    connection = asked("udp/53")
    assert begun(fleet, connection).arrived
    port, packet = fleet.entering(connection, *fleet.addresses(connection))

    speaks = followed(fleet, acme(LET), WEB)
    seen = speaks.send(port, *in_parts(packet, 3))
    assert (seen.arrived, seen.parted, speaks.tracked) == ([], False, fleet.tracked)

    hears = followed(fleet, acme(LET), DB)
    told = [hears.send(port, *in_parts(packet, 3)) for _ in range(2)]
    assert [(seen.arrived, seen.parted) for seen in told] == [([], True), ([], False)]
