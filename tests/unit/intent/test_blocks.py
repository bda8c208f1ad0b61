"""Outside identities lie such that a zone of one prefix is one value and mask, and stay where they are."""

from __future__ import annotations

import random

import pytest

from support.configurations import configure, rule, tenant, tier, zone
from zonewall.intent.blocks import blocks_of
from zonewall.intent.fleet import Policy, prepare
from zonewall.intent.lines import BankHere, verdict_line
from zonewall.intent.model import BankFrame, CrowdIntent
from zonewall.intent.numbering import Numbering
from zonewall.policy.model import Configuration

NESTED = (
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.1.0/24",
    "10.1.2.0/24",
    "10.2.0.0/16",
    "11.0.0.0/8",
    "12.0.0.0/8",
)


def documents(*prefixes: str) -> Configuration:
    zones = [zone(f"z{number}", cidrs=(prefix,)) for number, prefix in enumerate(prefixes)]
    rules = [rule(f"r{number}", f"z{number}", "any", services="tcp/80") for number in range(len(prefixes))]
    return configure(tenant("acme", tier("t", *rules), zones=zones))


def sources(policy: Policy) -> list[CrowdIntent]:
    """Return whom each rule is about, where everybody outside is within reach."""
    names = frozenset(identity.name for _, identity in policy.directory.outside["acme"])  # type: ignore[index]
    frame = BankFrame(1, "acme", 1, 1, (0x0800, 0x86DD), (1, None), ())
    here = BankHere(policy.banks["acme"], frame, names, names)
    lines = [verdict_line(policy, here, placed) for placed in policy.placed["acme"][0]]
    assert all(line is not None and line.families == (0x0800,) for line in lines)
    return [line.sources for line in lines if line is not None]


@pytest.mark.parametrize("seed", range(20))
def test_blocks_hold_what_is_wanted_and_nothing_else_that_anybody_has(seed: int) -> None:
    draw = random.Random(seed)
    numbers = draw.sample(range(1 << 10), 60)
    wanted, others = tuple(sorted(numbers[:25])), tuple(sorted(numbers[25:]))

    blocks = blocks_of(wanted, others)

    held = [{n for n in numbers if n & mask == value} for value, mask in blocks]
    assert set().union(*held) == set(wanted)
    assert sum(len(each) for each in held) == len(wanted), "no two blocks overlap"


def test_a_zone_of_one_prefix_is_one_block_however_many_lie_within() -> None:
    policy = prepare(documents(*NESTED), Numbering())

    assert [len(crowd.blocks) for crowd in sources(policy)] == [1] * len(NESTED)


def test_a_prefix_that_comes_later_changes_no_number() -> None:
    before = prepare(documents(*NESTED), Numbering())
    after = prepare(documents(*NESTED, "10.1.1.128/25"), before.numbering)

    known = before.numbering.numbers["outside"]
    assert {name: after.numbering.numbers["outside"][name] for name in known} == known
    assert all(crowd.blocks for crowd in sources(after))
