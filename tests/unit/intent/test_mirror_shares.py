"""Copies cut to lengths: each tenant has its own, whatever others have; a target gets the longest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from support.compiled import CompiledFleet, Seen
from support.configurations import configure, endpoint, mirror, probe, rule, tenant, tier, zone
from zonewall.flows.render import render_numeric
from zonewall.flows.wire import encode_program
from zonewall.intent.numbering import Kind
from zonewall.pipeline.model import Action, BridgeProgram, Clone, OutputCut
from zonewall.pipeline.registers import BANK, TRACK_ZONE
from zonewall.pipeline.tables import MIRROR_EMIT, MIRROR_SELECT
from zonewall.policy.model import Configuration, MirrorRule, Provider
from zonewall.policy.shares import (
    MOST_LENGTHS,
    MOST_MIRRORS,
    MOST_PASSING,
    MOST_PASSING_OF_PROVIDER,
    MOST_TARGETS,
)
from zonewall.values.names import EndpointKey

TARGETS = tuple(f"ids{number}" for number in range(MOST_TARGETS))
ALLOW = Provider(after=(tier("open", rule("all", "*/any", "*/any")),))


def lengths(first: int) -> tuple[MirrorRule, ...]:
    """Return a mirror rule for each length that a tenant may have, with a target and a port of its own."""
    return tuple(
        mirror(f"m{at}", "any", "any", targets=target, services=f"tcp/{at + 1}", truncate=first + at)
        for at, target in zip(range(MOST_LENGTHS), TARGETS, strict=True)
    )


def configuration(*acme: MirrorRule, blue: Iterable[MirrorRule] = ()) -> Configuration:
    """Return two tenants with two endpoints each, on two bridges, who may all reach each other."""
    ends = [endpoint(f"{owner}/{name}", f"10.0.{net}.{number}")
            for net, owner in enumerate(("acme", "blue")) for number, name in enumerate("ab", 1)]  # fmt: skip
    tenants = [
        tenant(
            owner,
            zones=[zone("all", endpoints=["a", "b"])],
            exports=[("all", other)],
            imports=[(f"{other}/all", "theirs")],
            mirrors=mirrors,
        )
        for owner, other, mirrors in (("acme", "blue", acme), ("blue", "acme", tuple(blue)))
    ]
    return configure(*ends, *tenants, provider=ALLOW, mirror_targets=TARGETS)


def cuts(seen: Seen) -> list[int]:
    """Return how many bytes the cut copies of a packet have."""
    return [
        action.max_len
        for _, flow in seen.trail
        if flow.table is MIRROR_EMIT
        for action in _flat(flow.actions)
        if isinstance(action, OutputCut)
    ]


def _flat(actions: Iterable[Action]) -> Iterable[Action]:
    for action in actions:
        yield from _flat(action.actions) if isinstance(action, Clone) else (action,)


def copied(fleet: CompiledFleet, source: str, destination: str, port: int) -> tuple[list[str], list[int]]:
    """Return who gets copies of a connection's first packet, and how many bytes of it."""
    seen = fleet.judge(probe(source, destination, f"tcp/{port}"))
    assert seen.verdict == "allow"
    return seen.mirror, cuts(seen)


def test_every_tenant_has_all_its_lengths_though_others_have_theirs() -> None:
    fleet = CompiledFleet(configuration(*lengths(100), blue=lengths(200)))
    for at, target in enumerate(TARGETS):
        assert copied(fleet, "acme/a", "acme/b", at + 1) == ([target], [100 + at])
        assert copied(fleet, "blue/b", "blue/a", at + 1) == ([target], [200 + at])


def test_between_tenants_each_ones_lengths_are_there_and_the_longer_goes_to_the_target() -> None:
    fleet = CompiledFleet(configuration(*lengths(100), blue=lengths(200)))
    for source, destination in (("acme/a", "blue/a"), ("blue/b", "acme/b")):
        for at, target in enumerate(TARGETS):
            assert copied(fleet, source, destination, at + 1) == ([target], [200 + at])
    fleet = CompiledFleet(configuration(*lengths(300), blue=lengths(200)))
    for source, destination in (("acme/a", "blue/b"), ("blue/a", "acme/b")):
        assert copied(fleet, source, destination, 1) == ([TARGETS[0]], [300])


def test_a_whole_copy_is_the_only_one_of_its_target_between_tenants_too() -> None:
    whole = mirror("whole", "any", "any", targets=TARGETS[0])
    fleet = CompiledFleet(configuration(*lengths(100), blue=[whole]))
    assert copied(fleet, "acme/a", "acme/b", 1) == ([TARGETS[0]], [100])
    assert copied(fleet, "acme/a", "blue/a", 1) == ([TARGETS[0]], [])
    assert copied(fleet, "blue/a", "acme/a", 2) == ([TARGETS[0], TARGETS[1]], [101])


def test_an_answer_between_tenants_is_cut_as_what_it_answers() -> None:
    fleet = CompiledFleet(configuration(*lengths(100)))
    asked = probe("acme/a", "blue/a", "tcp/3")
    port, there = fleet.entering(asked, *fleet.addresses(asked))
    assert cuts(fleet.send(port, there)) == [102]
    back = there.but(
        eth_src=there["eth_dst"], eth_dst=there["eth_src"], ipv4_src=there["ipv4_dst"],
        ipv4_dst=there["ipv4_src"], tcp_src=there["tcp_dst"], tcp_dst=there["tcp_src"], tcp_flags=0x12,
    )  # fmt: skip
    answer = fleet.send(fleet.places[EndpointKey("blue/a")], back)
    assert (answer.verdict, answer.mirror, cuts(answer)) == ("allow", [TARGETS[2]], [102])


def test_what_two_joined_tenants_and_a_provider_may_have_at_most_has_a_form_on_bridges() -> None:
    watched = tuple(mirror(f"w{at}", "any", "any", targets="ids0") for at in range(MOST_MIRRORS))
    asks = [tier(f"t{at}", rule("r", "any", "any", "pass", services="tcp/81")) for at in range(MOST_PASSING)]
    among = configuration(*watched, blue=watched)
    tenants = {name: replace(one, tiers=tuple(asks)) for name, one in among.tenants.items()}
    half = MOST_PASSING_OF_PROVIDER // 2
    own = [tier(f"p{at}", rule("r", "*/any", "*/any", "pass", services="tcp/81")) for at in range(2 * half)]
    provider = Provider(before=tuple(own[:half]), after=(*own[half:], *ALLOW.after))
    fleet = CompiledFleet(replace(among, tenants=tenants, provider=provider))
    for program in fleet.programs.values():
        assert encode_program(program).flows
    assert copied(fleet, "acme/a", "blue/a", 81) == (["ids0"], [])


def test_a_tenants_lengths_leave_others_as_they_are() -> None:
    few, many = (configuration(*mirrors, blue=lengths(200)[-1:]) for mirrors in ((), lengths(100)))
    before, after = CompiledFleet(few), CompiledFleet(many)
    for key, program in before.programs.items():
        assert _within_blue(before, program) == _within_blue(after, after.programs[key])


def _within_blue(fleet: CompiledFleet, program: BridgeProgram) -> set[str]:
    """Return the flows that make copies among one tenant's machines."""
    bank = (BANK, fleet.policy.number(Kind.BANK, "blue"), None)
    zones = {(TRACK_ZONE, fleet.policy.number(Kind.DOMAIN, "blue"), None)}
    found = {
        render_numeric(flow) for flow in program.flows if flow.table is MIRROR_SELECT and bank in flow.match
    }
    emitted = {render_numeric(f) for f in program.flows if f.table is MIRROR_EMIT and zones & set(f.match)}
    assert found
    assert len(emitted) == 1
    return found | emitted
