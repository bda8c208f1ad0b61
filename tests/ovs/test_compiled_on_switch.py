"""Compiled flows on a real switch: it holds what was loaded, and forwards as the evaluator says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from support.compiled import FABRIC, FIRST, SECOND, TARGETS, UPLINKS, CompiledFleet, Port, Seen
from support.configurations import configure, endpoint, mirror, probe, rule, tenant, tier, zone
from support.dummy import DummySwitch, running_dummy_switch
from support.generated import carried_worlds, goes_through_across, is_icmp_error
from support.packets import build, checksum
from zonewall.flows.render import render_numeric, render_program
from zonewall.intent.numbering import Kind
from zonewall.intent.semantics import Probe, Verdict, verdict
from zonewall.pipeline.cookie import Category, category_of, rule_of
from zonewall.policy.model import Configuration
from zonewall.values.addresses import format_mac
from zonewall.values.names import EndpointKey

pytestmark = pytest.mark.ovs
BRIDGES = {FIRST: "brA", SECOND: "brB"}
COUNT = int(os.environ.get("ZONEWALL_CONFIGURATIONS", "0"))
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
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(world=carried_worlds(most=8))
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
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
@given(world=carried_worlds(linked=False, most=5))
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
        ports, rule_met = traced(switch, fleet, asked)
        assert ports == expected(fleet.judge(asked)), asked
        assert rule_met == judged.rule, asked


SIZE, CUT = 1400, 1208
"""A datagram and its first fragment; user space takes none under 1200 bytes that is not the last (ipf)."""


_NUMBERS = count(1)
"""Each datagram has a number of its own: parts of two with one number would be put together (RFC 791)."""


def fragments(frame: bytes, at: int) -> list[bytes]:
    """Return an IPv4 frame in two fragments, of which the first has ``at`` bytes after the IP header."""
    number = next(_NUMBERS).to_bytes(2, "big")
    ethernet, header, body = frame[:14], bytearray(frame[14:34]), frame[34:]
    parts = []
    for offset, part, more in ((0, body[:at], 0x2000), (at, body[at:], 0)):
        header[2:4] = (20 + len(part)).to_bytes(2, "big")
        header[4:6] = number
        header[6:8] = (more | offset // 8).to_bytes(2, "big")
        header[10:12] = b"\0\0"
        header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
        parts.append(ethernet + bytes(header) + part)
    return parts


def open_to_datagrams() -> Configuration:
    rules = tier(
        "t", rule("no", "web", "db", "drop", services=["udp/53"]), rule("all", "web", "db", services=["udp"])
    )
    own = tenant(
        "acme", rules, zones=[zone("web", labels={"role": "web"}), zone("db", labels={"role": "db"})]
    )
    ends = [
        endpoint(f"acme/{role}{n}", f"10.0.0.{n}", labels={"role": role})
        for n, role in ((1, "web"), (2, "db"))
    ]
    return configure(*ends, own, service_functions=())


def test_fragments_pass_with_their_connection_and_begin_none_that_a_rule_by_ports_would_refuse(
    switch: DummySwitch,
) -> None:
    # User space shows the tables no ports of a fragment, its connection's neither.
    load(switch, fleet := CompiledFleet(open_to_datagrams()))

    def arrived(source: str, destination: str, ports: tuple[int, int], cut: bool) -> int:
        asked = probe(source, destination, f"udp/{ports[1]}", sport=ports[0])
        place, packet = fleet.entering(asked, *fleet.addresses(asked))
        frame = build(packet)
        udp = frame[34:38] + SIZE.to_bytes(2, "big") + b"\0\0" + bytes(SIZE - 8)
        whole = fragments(frame[:34] + udp, SIZE)[0]
        whole = whole[:20] + b"\0\0" + whole[22:24] + b"\0\0" + whole[26:]
        whole = whole[:24] + checksum(whole[14:34]).to_bytes(2, "big") + whole[26:]
        out = port_name(fleet.places[EndpointKey(destination)])
        switch.captured(out)
        for part in fragments(whole, CUT) if cut else [whole]:
            switch.inject(port_name(place), part)
        return sum(len(one) - 34 for one in switch.captured(out))

    switch.appctl("dpctl/flush-conntrack")
    web, db = "acme/web1", "acme/db2"
    assert arrived(web, db, (5000, 53), True) == 0
    assert arrived(web, db, (5000, 99), True) == 0
    assert arrived(web, db, (5000, 99), False) == SIZE
    assert arrived(db, web, (99, 5000), False) == SIZE
    assert arrived(web, db, (5000, 99), True) == SIZE
