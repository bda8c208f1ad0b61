"""Compiled flows on a real switch: it holds what was loaded, and forwards as the evaluator says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from support.compiled import FABRIC, FIRST, SECOND, TARGETS, UPLINKS, CompiledFleet, Port, Seen
from support.configurations import configure, endpoint, mirror, probe, rule, tenant, tier, zone
from support.dummy import DummySwitch, running_dummy_switch
from support.fragments import big, cut
from support.generated import carried_worlds, goes_through_across, is_icmp_error
from support.packets import build
from zonewall.flows.render import render_numeric, render_program
from zonewall.intent.fleet import prepare
from zonewall.intent.numbering import Kind
from zonewall.intent.semantics import Probe, Verdict, verdict
from zonewall.pipeline.cookie import Category, category_of, rule_of
from zonewall.policy.model import Configuration
from zonewall.values.addresses import format_mac
from zonewall.values.names import EndpointKey, TenantName

pytestmark = pytest.mark.ovs
BRIDGES = {FIRST: "brA", SECOND: "brB"}
COUNT = int(os.environ.get("ZONEWALL_CONFIGURATIONS", "0"))
LONG = COUNT > 0
ENDPOINT_PORTS = range(1, 9)


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DummySwitch]:
    with running_dummy_switch(tmp_path_factory.mktemp("switch")) as running:
        for name in BRIDGES.values():
            running.add_bridge(name)
            letter = name[-1].lower()
            running.add_ports(name, [*ENDPOINT_PORTS, *UPLINKS], name=f"{letter}{{}}")
        running.patch("brA", "fabA", "brB", "fabB")
        for port in ("fabA", "fabB"):
            running.vsctl("set", "interface", port, f"ofport_request={FABRIC}")
        running.add_ports("brB", [TARGETS, TARGETS + 1], name="b{}")
        yield running


def port_name(port: Port) -> str:
    return f"{BRIDGES[port[0]][-1].lower()}{port[1]}"


def load(switch: DummySwitch, fleet: CompiledFleet) -> None:
    for name in BRIDGES.values():
        switch.clear(name)
    for key, name in BRIDGES.items():
        switch.load_program(name, "\n".join(render_program(fleet.programs[key])))


def reached(switch: DummySwitch, fleet: CompiledFleet, asked: Probe) -> set[str]:
    """Return the ports by which the probe's packet leaves the real bridges."""
    switch.appctl("dpctl/flush-conntrack")
    port, frame = fleet.entering(asked, *fleet.addresses(asked))
    names = [f"{bridge}{n}" for bridge in "ab" for n in (*ENDPOINT_PORTS, *UPLINKS)]
    names += [f"b{TARGETS}", f"b{TARGETS + 1}"]
    for name in names:
        switch.captured(name)
    switch.inject(port_name(port), build(frame))
    return {name for name in names if switch.captured(name)}


def expected(seen: Seen) -> set[str]:
    targets = {f"b{TARGETS + ('ids', 'tap').index(name)}" for name in seen.mirror}
    return {port_name(port) for port, _ in seen.arrived} | targets


def demo() -> Configuration:
    zones = [zone("web", labels={"role": "web"}), zone("db", labels={"role": "db"})]
    rules = tier(
        "t",
        rule("shop", "web", "db", services=["tcp/80", "tcp/8000-8099", "udp/53"], mirror=("tap",)),
        rule("ping", "web db", "web db", services=["icmp/8", "icmpv6/128"]),
        rule("no", "any", "db", "reject"),
    )
    own = tenant("acme", rules, zones=zones, mirrors=(mirror("m", "any", "db"),))
    ends = [
        endpoint(f"acme/{role}{n}", f"10.0.0.{n}", f"fd00::{n}", labels={"role": role})
        for n, role in enumerate(("web", "db", "web", "db"), 1)
    ]
    return configure(*ends, own, service_functions=())


def test_the_switch_holds_exactly_the_flows_that_were_loaded(switch: DummySwitch, tmp_path: Path) -> None:
    fleet = CompiledFleet(demo())
    load(switch, fleet)

    for key, name in BRIDGES.items():
        lines = [render_numeric(flow) for flow in fleet.programs[key].flows]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        # diff-flows fails, with the difference as its words, where a match, an action or a cookie differs.
        assert switch.ofctl("diff-flows", name, str(tmp_path / name)) == ""
        assert len(switch.dump_flows(name)) == len(lines) > 100


def test_a_trace_of_the_whole_way_ends_at_the_destinations_port(switch: DummySwitch) -> None:
    load(switch, fleet := CompiledFleet(demo()))
    web = fleet.configuration.inventory.endpoints[EndpointKey("acme/web1")]
    db = fleet.configuration.inventory.endpoints[EndpointKey("acme/db2")]
    ends = f"dl_src={format_mac(web.mac)},dl_dst={format_mac(db.mac)}"
    (bridge, ofport) = fleet.places[web.key]
    for family, addresses in (
        ("tcp", "nw_src=10.0.0.1,nw_dst=10.0.0.2"),
        ("tcp6", "ipv6_src=fd00::1,ipv6_dst=fd00::2"),
    ):
        for port, passes in ((80, True), (81, False)):
            asked = f"{family},in_port={ofport},{ends},{addresses},tp_src=40000,tp_dst={port},tcp_flags=syn"
            text = switch.appctl(
                "ofproto/trace", BRIDGES[bridge], asked, "--ct-next", "trk,new", "--ct-next", "trk,new"
            )
            assert ("ct(commit" in text) is passes, text


@settings(
    max_examples=max(25, COUNT // 20),
    deadline=None,
    derandomize=not LONG,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(world=carried_worlds(most=8, cuts=False))
def test_the_switch_forwards_as_the_simulator_and_the_evaluator_say(
    switch: DummySwitch, world: tuple[Configuration, list[Probe]]
) -> None:
    configuration, probes = world
    fleet = CompiledFleet(configuration)
    load(switch, fleet)
    for asked in probes:
        judged = verdict(configuration, asked)
        assert isinstance(judged, Verdict)
        seen = fleet.judge(asked)
        if seen.through or goes_through_across(asked, judged) or (judged.through and is_icmp_error(asked)):
            continue  # the appliance's wire is the simulation's
        assert reached(switch, fleet, asked) == expected(seen), asked
        if not (isinstance(asked.source, str) and isinstance(asked.destination, str)):
            assert (judged.verdict.value == "allow") == bool(seen.arrived), asked


NESTED = re.compile(r"\b(?!clone)\w+\([^()]*\)")


def traced(switch: DummySwitch, fleet: CompiledFleet, asked: Probe) -> tuple[set[str], str | None]:
    """Return where ``ofproto/trace`` sends the probe's packet, and which rule's flow was the last it met."""
    (bridge, ofport), frame = fleet.entering(asked, *fleet.addresses(asked))
    words = [BRIDGES[bridge], f"in_port={ofport}", *["--ct-next", "trk,new"] * 4, build(frame).hex()]
    text = switch.appctl("ofproto/trace", *words)
    numbers = {line.split()[1][:-1]: line.split()[2] for line in switch.appctl("dpctl/show").splitlines()[3:]}
    ports: set[str] = set()
    for line in re.findall(r"^Datapath actions: (.*)$", text, re.MULTILINE):
        while line != (flat := NESTED.sub("", line)):
            line = flat
        ports |= {numbers[word] for word in re.findall(r"\d+", line)}
    cookies = [int(cookie, 16) for cookie in re.findall(r"cookie (0x[0-9a-f]+)", text)]
    rules = [rule_of(one) for one in cookies if category_of(one) is Category.RULE and rule_of(one)]
    names = {number: name for name, number in fleet.policy.numbering.numbers[Kind.RULE.word].items()}
    return ports, names[rules[-1]] if rules else None


@settings(
    max_examples=max(8, COUNT // 60),
    deadline=None,
    derandomize=not LONG,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
@given(world=carried_worlds(linked=False, most=5, cuts=False))
def test_a_trace_on_the_switch_ends_where_and_by_the_rule_that_the_evaluator_says(
    switch: DummySwitch, world: tuple[Configuration, list[Probe]]
) -> None:
    configuration, probes = world
    fleet = CompiledFleet(configuration)
    load(switch, fleet)
    for asked in probes:
        judged = verdict(configuration, asked)
        assert isinstance(judged, Verdict)
        if judged.through or (judged.verdict.value == "reject" and is_icmp_error(asked)):
            continue  # the appliance's wire is the simulation's; a reported error is never answered
        tenants = [str(end).split("/")[0] for end in (asked.source, asked.destination) if "/" in str(end)]
        if len(set(tenants)) == 2 and ">".join(tenants) not in fleet.policy.banks:
            continue  # nothing joins the two: the bridge judges the other's address as an outside one
        ports, rule_met = traced(switch, fleet, asked)
        assert ports == expected(fleet.judge(asked)), asked
        assert rule_met == judged.rule, asked


SIZE = 4000
"""Bytes of a datagram that does not fit into one frame of 1500."""

EDGES = [(0, 1400), (1400, 2800), (2800, SIZE)]
TRAINS: dict[str, tuple[list[tuple[int, int]], bool]] = {
    "in order": (EDGES, True),
    "the last one first": (EDGES[::-1], True),
    "the first one in between": ([EDGES[1], EDGES[0], EDGES[2]], True),
    "without the first": (EDGES[1:], False),
    "without the last": (EDGES[:2], False),
    "tiny": ([(0, 8), (8, 1408), (1408, SIZE)], False),
    "overlapping": ([(0, 1400), (1392, 2800), (2800, SIZE)], False),
    "the first one twice, the last one never": ([EDGES[0], EDGES[0], EDGES[1]], False),
}
"""Pieces of a datagram in the order in which they are sent, and whether they pass."""


def open_by_ports() -> Configuration:
    rules = tier(
        "t",
        rule("no", "web", "db", "drop", services=["udp/53"]),
        rule("some", "web", "db", services=["udp/50-99", "icmp/8", "icmpv6/128"]),
    )
    own = tenant(
        "acme", rules, zones=[zone("web", labels={"role": "web"}), zone("db", labels={"role": "db"})]
    )
    roles = enumerate(("web", "db", "web", "db"), 1)
    ends = [
        endpoint(f"acme/{role}{n}", f"10.0.0.{n}", f"fd00::{n}", labels={"role": role}) for n, role in roles
    ]
    return configure(*ends, own, service_functions=())


@dataclass
class Datagrams:
    """Sends datagrams of one family and counts the bytes of them that arrive."""

    switch: DummySwitch
    fleet: CompiledFleet
    v6: bool = False

    def sent(
        self,
        source: str,
        destination: str,
        service: str,
        pieces: list[tuple[int, int]] | None = None,
        sport: int | None = 5000,
    ) -> int:
        """Return how many bytes behind the IP headers reach the destination; no pieces: whole, and small."""
        asked = probe(source, destination, service, sport=None if "icmp" in service else sport)
        ends = (
            self.fleet.configuration.inventory.endpoints[EndpointKey(end)] for end in (source, destination)
        )
        port, packet = self.fleet.entering(asked, *(end.ips[self.v6] for end in ends))
        frames = [big(packet, 800)] if pieces is None else cut(big(packet, SIZE), pieces)
        out = port_name(self.fleet.places[EndpointKey(destination)])
        self.switch.captured(out)
        for frame in frames:
            self.switch.inject(port_name(port), frame)
        headers = 14 + (40 + 8 * (pieces is not None) if self.v6 else 20)
        return sum(len(one) - headers for one in self.switch.captured(out))


@pytest.fixture(params=[False, True], ids=["ipv4", "ipv6"])
def datagrams(switch: DummySwitch, request: pytest.FixtureRequest) -> Datagrams:
    load(switch, fleet := CompiledFleet(open_by_ports()))
    return Datagrams(switch, fleet, request.param)


WEB, DB, NEAR = "acme/web1", "acme/db2", "acme/db4"
"""``WEB`` is on the other bridge than the two others are."""


def test_a_connection_that_a_rule_by_ports_allows_begins_and_goes_on_in_fragments(
    datagrams: Datagrams,
) -> None:
    for _ in range(2):
        assert datagrams.sent(WEB, DB, "udp/99", EDGES) == SIZE
        assert datagrams.sent(DB, WEB, "udp/5000", EDGES, sport=99) == SIZE
        assert datagrams.sent(WEB, DB, "udp/99") == 800
        assert datagrams.sent(DB, WEB, "udp/5000", sport=99) == 800
    echo, reply = ("icmpv6/128/0", "icmpv6/129/0") if datagrams.v6 else ("icmp/8/0", "icmp/0/0")
    assert datagrams.sent(WEB, DB, echo, EDGES) == SIZE
    assert datagrams.sent(DB, WEB, reply, EDGES) == SIZE
    assert datagrams.sent("acme/web3", WEB, reply, EDGES) == 0


def test_a_connection_that_begins_in_fragments_is_remembered_with_its_rule(datagrams: Datagrams) -> None:
    datagrams.sent(WEB, DB, "udp/99", EDGES)

    number = datagrams.fleet.policy.numbering.numbers[Kind.RULE.word]["acme/t/some"]
    held = datagrams.switch.appctl("dpctl/dump-conntrack")
    labels = [int(label, 16) for label in re.findall(r"labels=(0x[0-9a-f]+)", held)]
    assert {label & 0xFFFFFFFF for label in labels} == {number}


def test_nothing_of_a_datagram_passes_that_a_rule_by_ports_denies(datagrams: Datagrams) -> None:
    for pieces, _ in TRAINS.values():
        assert datagrams.sent(WEB, DB, "udp/53", pieces) == 0
        assert datagrams.sent(WEB, DB, "udp/100", pieces) == 0
        assert datagrams.sent(DB, WEB, "udp/99", pieces) == 0
    assert datagrams.sent(WEB, DB, "udp/99", EDGES) == SIZE
    assert datagrams.sent(WEB, DB, "udp/53", EDGES) == 0
    assert datagrams.sent(DB, WEB, "udp/5000", EDGES, sport=53) == 0


@pytest.mark.parametrize("told", TRAINS)
def test_fragments_pass_together_or_not_at_all(datagrams: Datagrams, told: str) -> None:
    pieces, passes = TRAINS[told]
    begun = datagrams.sent(WEB, NEAR, "udp/98")
    assert begun == 800

    for sport in (5000, 5001):  # a connection that is tracked, and one that is not
        assert datagrams.sent(WEB, NEAR, "udp/98", pieces, sport=sport) == (SIZE if passes else 0)


def test_a_rule_that_goes_takes_its_connections_fragments_along(datagrams: Datagrams) -> None:
    fleet = datagrams.fleet
    assert datagrams.sent(WEB, DB, "udp/99", EDGES) == SIZE
    assert datagrams.sent(DB, WEB, "udp/5000", EDGES, sport=99) == SIZE
    own = fleet.configuration.tenants[TenantName("acme")]
    first = own.tiers[0]
    shorter = replace(own, tiers=(replace(first, rules=first.rules[:1]),))
    without = replace(fleet.configuration, tenants={own.name: shorter})
    fleet.carry(prepare(without, fleet.policy.numbering), fleet.placement)

    for key, name in BRIDGES.items():
        datagrams.switch.ofctl("del-flows", name)
        datagrams.switch.load_flows(name, list(render_program(fleet.programs[key])))

    assert datagrams.sent(WEB, DB, "udp/99", EDGES) == 0
    assert datagrams.sent(DB, WEB, "udp/5000", EDGES, sport=99) == 0
    assert datagrams.sent(DB, WEB, "udp/5000", sport=99) == 0


def test_a_bridge_that_shows_no_ports_of_first_fragments_lets_none_by(datagrams: Datagrams) -> None:
    for name in BRIDGES.values():
        datagrams.switch.ofctl("set-frags", name, "normal")
    try:
        assert datagrams.sent(WEB, DB, "udp/99", EDGES) == 0
        assert datagrams.sent(WEB, DB, "udp/53", EDGES) == 0
        assert datagrams.sent(WEB, DB, "udp/99") == 800
    finally:
        for name in BRIDGES.values():
            datagrams.switch.ofctl("set-frags", name, "nx-match")


def test_fragments_that_waited_in_vain_leave_with_nobody(datagrams: Datagrams) -> None:
    # Open vSwitch lets them go on with whatever is tracked next, fifteen seconds later (ipf.c).
    switch = datagrams.switch
    switch.appctl("time/stop")
    try:
        for _ in range(6):
            for pieces in (EDGES[:2], EDGES[1:]):
                assert datagrams.sent("acme/web3", "acme/web1", "udp/53", pieces) == 0
        switch.appctl("time/warp", "17000", "1000")
        for sport in range(6000, 6020):
            assert datagrams.sent(WEB, DB, "udp/99", sport=sport) == 800
    finally:
        switch.appctl("time/stop")
        switch.appctl("time/warp", "20000", "20000")


@settings(
    max_examples=max(8, COUNT // 60),
    deadline=None,
    derandomize=not LONG,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
@given(world=carried_worlds(most=6, cuts=False))
def test_a_switch_does_with_fragments_what_it_does_with_a_whole_datagram(
    switch: DummySwitch, world: tuple[Configuration, list[Probe]]
) -> None:
    configuration, probes = world
    load(switch, fleet := CompiledFleet(configuration))
    for asked in probes:
        seen = fleet.judge(asked)
        if seen.through or not isinstance(asked.source, str):
            continue
        if asked.protocol != 17 and (asked.icmp is None or asked.icmp[0] not in (8, 128)):
            continue
        switch.appctl("dpctl/flush-conntrack")
        port, packet = fleet.entering(asked, *fleet.addresses(asked))
        names = expected(seen) | {port_name(place) for place in fleet.places.values()}
        for name in names:
            switch.captured(name)
        for frame in cut(big(packet, SIZE)):
            switch.inject(port_name(port), frame)
        assert {name for name in names if len(switch.captured(name)) == 3} == expected(seen), asked
