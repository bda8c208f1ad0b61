"""Generated policies, carried out by the controller on real bridges: packets fare as the evaluator says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from support.demo_site import SharedSite, acme
from support.raw_probes import MARKER_PORT, Knock, outcome
from support.where_lost import told
from zonewall.cli.verb_check import parse_probe
from zonewall.intent.semantics import ProbeError, Verdict, verdict
from zonewall.policy.load import load_directory, load_texts

pytestmark = pytest.mark.net
SERVICES = ("tcp", "tcp/1-79", "tcp/80", "udp/53", "udp/50-60", "sctp/2905", "icmp/8", "icmpv6/128", "any")
KNOCKS = (("tcp", 79), ("tcp", 80), ("udp", 53), ("udp", 61), ("sctp", 2905), ("icmp", 8), ("icmpv6", 128))
ZONES = ("any", "web", "db", "batch", "self", "external")

rules = st.fixed_dictionaries(
    {
        "from": st.sampled_from([zone for zone in ZONES if zone != "self"]),
        "to": st.sampled_from(ZONES),
        "services": st.lists(st.sampled_from(SERVICES), min_size=1, max_size=3, unique=True),
        "action": st.sampled_from(["allow", "allow", "drop", "reject", "pass"]),
    }
)
tiers = st.lists(st.lists(rules, min_size=1, max_size=6), min_size=1, max_size=3)


def policy(drawn: Sequence[Sequence[dict[str, Any]]], default: str) -> dict[str, Any]:
    """Return acme's policy with the drawn tiers; the marker's rule stands before all."""
    marker = {
        "name": "marker",
        "from": "any",
        "to": "any",
        "services": [f"udp/{MARKER_PORT}"],
        "action": "allow",
    }
    made = [{"name": "markers", "rules": [marker]}]
    for number, tier in enumerate(drawn):
        named = [{"name": f"r{place}", **rule} for place, rule in enumerate(tier)]
        made.append({"name": f"t{number}", "rules": named})
    return {**acme(), "tiers": made, "default": default}


@pytest.fixture
def generated(site: SharedSite) -> Iterator[SharedSite]:
    yield site
    site.change(acme=acme())


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),  # each example costs a second on real bridges: the first failure will do
    suppress_health_check=list(HealthCheck),
)
@given(drawn=tiers, default=st.sampled_from(["drop", "allow", "reject"]))
def test_real_packets_fare_as_the_evaluator_says_under_generated_policies(
    generated: SharedSite, drawn: list[list[dict[str, Any]]], default: str
) -> None:
    document = policy(drawn, default)
    others = {path.name: path.read_bytes() for path in generated.directory.glob("*.yaml")}
    assume(load_texts(others | {"acme.yaml": yaml.safe_dump(document).encode()}).configuration is not None)
    generated.change(acme=document)
    generated.revalidate()
    configuration = load_directory(generated.directory)
    names = ("acme-web1", "acme-web2", "acme-db1", "acme-batch1")
    machines = [generated.machines[name] for name in names]
    knocks = [
        Knock(source, destination, proto, port, family)
        for source, destination in product(machines, machines)
        for proto, port in KNOCKS
        for family in (4, 6)
        if source is not destination and (proto, family) not in {("icmp", 6), ("icmpv6", 4)}
    ]
    now = datetime.now(UTC)
    came: dict[Knock, bool] = {}
    # User space tracks SCTP by addresses alone (docs/running.md): no knock is to pass as another's answer.
    one_way = [machines.index(knock.source) < machines.index(knock.destination) for knock in knocks]
    for way in (True, False):
        for host in generated.hosts.values():
            host.appctl("dpctl/flush-conntrack")
        some = [knock for knock, goes in zip(knocks, one_way, strict=True) if goes is way]
        came |= zip(some, outcome(some), strict=True)
    wrong = {}
    for knock, does in came.items():
        asked = parse_probe(json.dumps(knock.probe()), now)
        assert not isinstance(asked, ProbeError), asked
        judged = verdict(configuration, asked)
        assert isinstance(judged, Verdict), knock
        if does != (judged.verdict.value == "allow"):
            wrong[knock] = judged.rule
    assert not wrong, f"{[(k.probe(), rule) for k, rule in wrong.items()]}\n{told(generated, list(wrong))}"
