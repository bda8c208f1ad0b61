"""What ``plan`` lists is what the evaluator says differs: a probe is listed if and only if it changes."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from support.generated_configurations import configurations, probes
from support.generated_edits import edited
from zonewall.intent.changes import Change, Comparison, Section
from zonewall.intent.semantics import Probe, Verdict, verdict
from zonewall.intent.semantics.ends import find_ends
from zonewall.intent.semantics.membership import End
from zonewall.intent.service_classes import Sample
from zonewall.intent.standing import Standing
from zonewall.policy.model import Configuration
from zonewall.values.addresses import IpAddress

Word = tuple[str, IpAddress]

SOME = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@st.composite
def edits(draw: DrawFn) -> tuple[Configuration, Configuration, list[Probe]]:
    before = draw(configurations())
    after = draw(edited(before))
    wanted = st.one_of(probes(before), probes(after))
    return before, after, draw(st.lists(wanted, min_size=1, max_size=12))


def listed(comparison: Comparison, probe: Probe) -> list[tuple[Section, Change]]:
    """Return the changes that the probe is among."""
    place = comparison.new.services.place(
        Sample(probe.protocol, probe.source_port, probe.destination_port, probe.icmp)
    )
    found = []
    pairs = [find_ends(each.configuration, probe) for each in (comparison.old, comparison.new)]
    words = [{_word(pair[side]) for pair in pairs if isinstance(pair, tuple)} for side in (0, 1)]
    for section in comparison.sections:
        for change in section.changes:
            if change.classes >> place & 1 and all(
                any(_is_among(section, standings, one) for one in words[side])
                for side, standings in enumerate((change.sources, change.destinations))
            ):
                found.append((section, change))
    return found


def _word(end: End) -> Word:
    """Return an end as an endpoint's address, or as an outside one in a tenant's view."""
    return str(end.tenant.name) if end.endpoint is None else end.endpoint.key, end.address


def _is_among(section: Section, standings: tuple[Standing, ...], word: Word) -> bool:
    members = [member for standing in standings for member in section.members(standing)]
    whole = {*section.sources, *section.destinations}
    prefixes = {one.prefix for standing in whole for one in section.members(standing) if one.prefix}
    nearest = max(
        (prefix for prefix in prefixes if word[1] in prefix), key=lambda one: one.prefixlen, default=None
    )
    return any(
        (member.endpoint, member.address) == word
        if member.endpoint is not None
        else (member.tenant, member.prefix) == (word[0], nearest)
        for member in members
    )


def told(judged: Verdict) -> tuple[object, ...]:
    return judged.verdict, judged.monitored, judged.mirror, judged.through, judged.log


@SOME
@given(world=edits())
def test_a_probe_is_listed_if_and_only_if_the_evaluator_says_that_it_changes(
    world: tuple[Configuration, Configuration, list[Probe]],
) -> None:
    old, new, asked = world
    comparison = Comparison(old, new)
    for probe in asked:
        before, after = verdict(old, probe), verdict(new, probe)
        if not (isinstance(before, Verdict) and isinstance(after, Verdict)):
            continue
        found = listed(comparison, probe)
        if told(before) == told(after):
            assert not found, (probe, before, after, found)
            continue
        assert len({(c.before, c.after) for _, c in found}) == 1, (probe, before, after, found)
        change = found[0][1]
        for judged, ending in ((before, change.before), (after, change.after)):
            decision, treatment = ending.decision, ending.treatment
            assert told(judged) == (
                decision.verdict,
                decision.monitored,
                treatment.mirror,
                treatment.through,
                treatment.log,
            )
            assert (judged.rule, judged.tier) == (decision.rule, decision.tier)


@settings(SOME, max_examples=20)
@given(configuration=configurations())
def test_nothing_is_listed_where_nothing_was_edited(configuration: Configuration) -> None:
    assert Comparison(configuration, configuration).sections == ()
