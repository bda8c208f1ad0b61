"""What each rule has judged, exact to a packet, over recompiles, restarts and moves."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from support.service_frames import PATIENCE_S, eventually, gather, listening, send, transport, udp
from support.service_site import ServiceSite
from zonewall.api.control import ask

pytestmark = pytest.mark.net
NAMES = ("counted", "refused", "rest")


def rules(*more: dict[str, Any], log: str = "none") -> list[dict[str, Any]]:
    return [
        *more,
        {"name": "counted", "from": "a1", "to": "a2", "services": ["udp/53"], "action": "allow"},
        {"name": "refused", "from": "a1", "to": "a2", "services": ["udp/54"], "action": "drop", "log": log},
        {"name": "rest", "from": "b1", "to": "b2", "action": "allow"},
    ]


@pytest.fixture(scope="module")
def site(own_site: ServiceSite) -> ServiceSite:
    """Machines move here."""
    return own_site


def totals(site: ServiceSite) -> dict[str, tuple[int, int]]:
    """Return packets and bytes of the rules above."""
    rows = ask(site.state / "control.sock", "/look/counters")["rules"]
    found = {row["rule"].rpartition("/")[2]: (row["packets"], row["bytes"]) for row in rows}
    return {name: found[name] for name in NAMES}


def grown(before: dict[str, tuple[int, int]], site: ServiceSite, name: str, packets: int, size: int) -> None:
    """Assert how much a rule's counters have grown; the switch tells what it forwarded after a moment."""
    wanted = (before[name][0] + packets, before[name][1] + packets * size)
    deadline = time.monotonic() + PATIENCE_S
    while totals(site)[name] != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    assert totals(site)[name] == wanted


def talk(site: ServiceSite, port: int, count: int) -> int:
    """Send datagrams from a1 to a2 and return the bytes of each."""
    a1, a2 = site.machines["a1"], site.machines["a2"]
    frames = [udp(a1, a2, port, b"%06d" % number, sport=41000 + port) for number in range(count)]
    # Somebody listens, so that no ICMP errors are judged with the datagrams.
    with listening(a2) as (capture,), a2.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("10.0.0.2", 53))
        send(a1, frames, 0.001)
        arrived = gather(capture, lambda frame: transport(frame)[0] == 17, count if port == 53 else 0)
    assert len(arrived) == (count if port == 53 else 0)
    return len(frames[0])


def test_a_rule_counts_what_it_decides_and_no_other_does(site: ServiceSite) -> None:
    site.policy(*rules())
    before = totals(site)
    size = talk(site, 53, 120)
    grown(before, site, "counted", 120, size)
    size = talk(site, 54, 30)
    grown(before, site, "refused", 30, size)
    assert totals(site)["rest"] == before["rest"]


def test_counters_are_right_across_recompiles_removals_and_restarts(site: ServiceSite) -> None:
    site.policy(*rules())
    before = totals(site)
    size = talk(site, 53, 50)
    grown(before, site, "counted", 50, size)  # what the switch has not told yet would go with a removed flow
    site.policy(*rules({"name": "other", "from": "b2", "to": "a1", "action": "allow"}))
    talk(site, 53, 40)
    grown(before, site, "counted", 90, size)
    site.policy({"name": "all", "from": "any", "to": "any", "action": "allow"})
    site.policy(*rules())
    talk(site, 53, 30)
    grown(before, site, "counted", 120, size)
    site.restart()
    talk(site, 53, 20)
    grown(before, site, "counted", 140, size)


def test_counters_are_right_across_a_migration_and_back(site: ServiceSite) -> None:
    site.policy(*rules())
    a1, hosts = site.machines["a1"], site.hosts
    before = totals(site)
    size = talk(site, 53, 50)
    grown(before, site, "counted", 50, size)
    try:
        a1.migrate(hosts["hv2"], copy_s=0.2, ready=lambda: site.wait_for(site.is_waiting("acme/a1")))
        site.wait_for(lambda status: site.is_at(status, "acme/a1", "hv2"))
        talk(site, 53, 40)
        grown(before, site, "counted", 50 + 2 * 40, size)  # between two hosts both judge, and count
    finally:
        a1.migrate(hosts["hv1"], copy_s=0.2, ready=lambda: site.wait_for(site.is_waiting("acme/a1")))
        site.wait_for(lambda status: site.is_at(status, "acme/a1", "hv1"))
    talk(site, 53, 30)
    grown(before, site, "counted", 50 + 2 * 40 + 30, size)


def test_unused_names_the_rules_that_nothing_hit_and_top_those_that_are_busy(site: ServiceSite) -> None:
    site.policy(*rules())
    totals(site)
    time.sleep(1.1)
    before = totals(site)
    size = talk(site, 53, 10)
    grown(before, site, "counted", 10, size)
    unused = json.loads(site.command("counters", "--unused", "1s", "--output", "json"))
    names = {row["rule"].rpartition("/")[2] for row in unused}
    assert "rest" in names
    pairs = json.loads(site.command("counters", "--zones", "--output", "json"))
    assert any((pair["from"], pair["to"]) == ("a1", "a2") and pair["packets"] >= 10 for pair in pairs)


def test_refused_attempts_of_a_logged_rule_are_one_record_with_their_number(site: ServiceSite) -> None:
    site.policy(*rules(log="connections"))
    before = totals(site)
    known = len(refusals(site))
    size = talk(site, 54, 200)
    grown(before, site, "refused", 200, size)
    eventually(lambda: sum(one["details"]["packets"] for one in refusals(site)[known:]) >= 200)
    mine = refusals(site)[known:]
    assert 1 <= len(mine) <= 4
    assert sum(one["details"]["packets"] for one in mine) == 200


def refusals(site: ServiceSite) -> list[dict[str, Any]]:
    lines = site.command("journal", "--kind", "denied", "--output", "json").splitlines()
    return [one for one in map(json.loads, lines) if "refused" in str(one)]
