"""Connections survive a move, and nothing else gains by it: compiled flows of two bridges, simulated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from support.compiled import FABRIC, SECOND, CompiledFleet, Port
from support.configurations import configure, endpoint, probe, rule, tenant, tier, zone
from zonewall.flows.simulate.packet import Packet, packet
from zonewall.placement.model import Binding, BindingState, BridgeKey
from zonewall.policy.model import Configuration
from zonewall.values.names import EndpointKey, OfPort

CLIENT, PEER, SERVER, STAYED = (
    EndpointKey(f"acme/{name}") for name in ("client", "peer", "server", "stayed")
)
SYN, ACK = 0x02, 0x10
BOTH = pytest.mark.parametrize("protocol", ["tcp", "udp"])


def shop(*services: str) -> Configuration:
    """Return clients that may reach the server; client and server begin on hv1, peer and stayed on hv2."""
    ends = [
        endpoint(key, f"10.0.0.{number}", labels={"role": role}, mac=0x525400000000 | number)
        for number, (key, role) in enumerate(
            ((CLIENT, "client"), (PEER, "client"), (SERVER, "server"), (STAYED, "other")), 1
        )
    ]
    roles = [zone(name, labels={"role": name}) for name in ("client", "server", "other")]
    rules = rule("shop", "client external", "server", services=list(services or ("tcp/80", "udp/80")))
    return configure(*ends, tenant("acme", tier("t", rules), zones=roles))


class Move:
    """Two bridges; an endpoint moves, what each bridge has tracked stays with it."""

    def __init__(self) -> None:
        self.fleet = CompiledFleet(shop())

    def move(self, *keys: EndpointKey, to: BridgeKey = SECOND) -> None:
        self._put({key: (to, 7 + at) for at, key in enumerate(keys)}, midstream=True)

    def close_window(self) -> None:
        self._put({}, midstream=False)

    def isolate(self, key: EndpointKey) -> None:
        (one,) = self.fleet.placement.bindings[key]
        bindings = {**self.fleet.placement.bindings, key: (replace(one, state=BindingState.QUARANTINED),)}
        tracked = self.fleet.tracked
        self.fleet.carry(self.fleet.policy, replace(self.fleet.placement, bindings=bindings))
        self.fleet.tracked = tracked

    def change(self, configuration: Configuration) -> None:
        edited = CompiledFleet(configuration, numbering=self.fleet.policy.numbering)
        edited.carry(edited.policy, self.fleet.placement)
        edited.places, edited.tracked = self.fleet.places, self.fleet.tracked
        self.fleet = edited

    def _put(self, moved: dict[EndpointKey, Port], *, midstream: bool) -> None:
        bindings = dict(self.fleet.placement.bindings)
        for key, (one,) in bindings.items():
            bridge, ofport = moved.get(key, (one.bridge, int(one.ofport)))
            binding = Binding(key, bridge, OfPort(ofport), BindingState.ACTIVE, midstream and key in moved)
            bindings[key] = (binding,)
        self.fleet.places |= moved
        tracked = self.fleet.tracked
        self.fleet.carry(self.fleet.policy, replace(self.fleet.placement, bindings=bindings))
        self.fleet.tracked = tracked

    def frame(
        self,
        source: EndpointKey,
        destination: EndpointKey,
        protocol: str,
        flags: int,
        *,
        answer: bool = False,
    ) -> tuple[Port, Packet]:
        asked = probe(source, destination, f"{protocol}/80", sport=40000)
        port, frame = self.fleet.entering(asked, *self.fleet.addresses(asked))
        if answer:
            frame = frame.but(**{f"{protocol}_src": 80, f"{protocol}_dst": 40000})
        return port, frame.but(tcp_flags=flags) if protocol == "tcp" else frame

    def passes(
        self,
        source: EndpointKey,
        destination: EndpointKey,
        protocol: str,
        flags: int = ACK,
        *,
        answer: bool = False,
    ) -> bool:
        sent = self.fleet.send(*self.frame(source, destination, protocol, flags, answer=answer))
        places = [port for port, _ in sent.arrived]
        assert places in ([], [self.fleet.places[destination]])
        return bool(places)

    def connect(self, client: EndpointKey, protocol: str) -> None:
        assert self.passes(client, SERVER, protocol, SYN)
        assert self.passes(SERVER, client, protocol, SYN | ACK, answer=True)
        assert self.passes(client, SERVER, protocol)


@BOTH
@pytest.mark.parametrize("client", [CLIENT, PEER], ids=["peer-becomes-remote", "peer-becomes-local"])
@pytest.mark.parametrize("server_first", [True, False], ids=["server-speaks-first", "client-speaks-first"])
def test_a_connection_of_a_server_that_moves_goes_on_in_both_directions_and_after_the_window(
    protocol: str, client: EndpointKey, server_first: bool
) -> None:
    move = Move()
    move.connect(client, protocol)
    move.move(SERVER)
    if server_first:
        assert move.passes(SERVER, client, protocol, answer=True)
    assert move.passes(client, SERVER, protocol)
    assert move.passes(SERVER, client, protocol, answer=True)
    move.close_window()
    assert move.passes(client, SERVER, protocol)
    assert move.passes(SERVER, client, protocol, answer=True)


@BOTH
@pytest.mark.parametrize(
    "movers", [(CLIENT,), (CLIENT, SERVER)], ids=["alone", "to-the-same-host-as-the-server"]
)
def test_a_connection_of_a_client_that_moves_goes_on_in_both_directions_and_after_the_window(
    protocol: str, movers: tuple[EndpointKey, ...]
) -> None:
    move = Move()
    move.connect(CLIENT, protocol)
    move.move(*movers)
    assert move.passes(SERVER, CLIENT, protocol, answer=True)
    assert move.passes(CLIENT, SERVER, protocol)
    move.close_window()
    assert move.passes(SERVER, CLIENT, protocol, answer=True)
    assert move.passes(CLIENT, SERVER, protocol)


@pytest.mark.parametrize("mover", [CLIENT, SERVER], ids=["who-only-receives-moves", "who-only-sends-moves"])
def test_a_udp_stream_that_flows_in_the_answers_direction_alone_outlives_the_window(
    mover: EndpointKey,
) -> None:
    move = Move()
    move.connect(CLIENT, "udp")
    move.move(mover)
    assert move.passes(SERVER, CLIENT, "udp", answer=True)
    move.close_window()
    for _ in range(3):
        assert move.passes(SERVER, CLIENT, "udp", answer=True)
    assert move.passes(CLIENT, SERVER, "udp")
    assert move.passes(SERVER, CLIENT, "udp", answer=True)


def test_a_stream_that_was_taken_up_by_its_answers_ends_with_its_rule() -> None:
    move = Move()
    move.connect(CLIENT, "udp")
    move.move(CLIENT)
    assert move.passes(SERVER, CLIENT, "udp", answer=True)
    move.close_window()
    move.change(shop("tcp/80"))
    assert not move.passes(SERVER, CLIENT, "udp", answer=True)
    assert not move.passes(CLIENT, SERVER, "udp")


@BOTH
@pytest.mark.parametrize("peer", [CLIENT, PEER], ids=["remote", "local"])
def test_probes_without_syn_and_answers_to_nobody_do_not_get_in_while_the_window_is_open(
    protocol: str, peer: EndpointKey
) -> None:
    move = Move()
    move.move(SERVER)
    if protocol == "tcp":
        assert not move.passes(peer, SERVER, "tcp", ACK)
        assert not move.passes(peer, SERVER, "tcp", SYN | ACK, answer=True)
    assert not move.passes(SERVER, STAYED, protocol, answer=True)
    assert not move.passes(STAYED, SERVER, protocol)
    assert not move.passes(STAYED, SERVER, protocol, answer=True)


def test_answers_to_nobody_do_not_reach_a_client_that_moved() -> None:
    move = Move()
    move.move(CLIENT)
    assert not move.passes(SERVER, CLIENT, "udp", answer=True)
    assert not move.passes(SERVER, CLIENT, "tcp", ACK, answer=True)
    move = Move()
    move.move(SERVER)
    move.move(CLIENT)
    assert not move.passes(STAYED, CLIENT, "udp", answer=True)


@BOTH
def test_what_policy_does_not_allow_gains_nothing_even_past_its_own_hosts_enforcement(protocol: str) -> None:
    move = Move()
    move.move(SERVER)
    numbers = move.fleet.policy.numbering.numbers
    tags = (numbers["destination"][f"bridge:{SECOND}"], numbers["tenant"]["acme"])

    def arrives(sport: int, dport: int) -> bool:
        _, frame = move.frame(CLIENT, SERVER, protocol, ACK)
        names = ("eth_src", "eth_dst", "eth_type", "ipv4_src", "ipv4_dst", "ip_proto", "tcp_flags")
        ports = {f"{protocol}_src": sport, f"{protocol}_dst": dport}
        fields: dict[str, Any] = {**{name: frame[name] for name in names}, **ports}
        forged = packet(vlans=tags, **fields)
        return bool(move.fleet.send((SECOND, FABRIC), forged).arrived)

    assert arrives(40000, 80)
    assert not arrives(40000, 9999)
    assert not arrives(80, 40000)


def test_without_a_move_a_connection_in_its_middle_is_nobodys() -> None:
    move = Move()
    for protocol in ("tcp", "udp"):
        assert not move.passes(SERVER, CLIENT, protocol, answer=True)
    assert not move.passes(CLIENT, SERVER, "tcp")


@pytest.mark.parametrize("answer", [True, False], ids=["server-speaks", "client-speaks"])
def test_isolation_tells_of_one_that_was_taken_up_by_its_answer_who_began_it(answer: bool) -> None:
    move = Move()
    move.connect(CLIENT, "udp")
    move.move(SERVER)
    assert move.passes(SERVER, CLIENT, "udp", answer=True)
    move.close_window()
    assert move.passes(CLIENT, SERVER, "udp")

    move.isolate(SERVER)
    ends = (SERVER, CLIENT) if answer else (CLIENT, SERVER)
    told = [move.fleet.send(*move.frame(*ends, "udp", ACK, answer=answer)) for _ in range(2)]

    assert [(seen.arrived, seen.parted) for seen in told] == [([], True), ([], False)]
    assert told[0].answers_told == [answer]
