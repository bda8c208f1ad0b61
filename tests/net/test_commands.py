"""What commands say of a running controller's fleet, and that they say it when a bridge does otherwise."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from support.site import Site

pytestmark = pytest.mark.net


def explained(site: Site, service: str, *more: str) -> tuple[int, dict[str, Any]]:
    """Return how ``explain`` of acme's web1 to db1 ended, and what it said."""
    words = ("--from", "acme/web1", "--to", "acme/db1", "--service", service)
    folder = site.lab.ledger.folder
    asked = ("--trace", f"ovs-appctl -t {folder}/{{host}}/vswitchd.ctl")
    done = site.command("explain", *words, "--state", str(site.state), *asked, "--output", "json", *more)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def intruding(site: Site) -> Iterator[Any]:
    """Put flows of somebody else's onto hv1, and take them away."""
    put: list[str] = []

    def put_flow(match: str, actions: str) -> None:
        put.append(match)
        site.hosts["hv1"].add_flows([f"{match},actions={actions}"])

    yield put_flow
    for match in put:
        site.hosts["hv1"].ofctl("--strict", "del-flows", "br-int", match)


@pytest.mark.parametrize(
    ("service", "verdict"), [("tcp/5432", "allow"), ("tcp/6003", "allow"), ("tcp/22", "drop")]
)
def test_explain_says_what_the_policy_the_flows_and_the_live_switches_agree_on(
    site: Site, service: str, verdict: str
) -> None:
    code, told = explained(site, service, "--flows")
    assert told["live"]["differences"] == []
    assert told["live"]["asked"] == ["openflow", "ofproto/trace"]
    assert bool(told["live"]["not_traced"]) == (service == "tcp/6003")
    assert (code, told["verdict"]) == (0, verdict)
    assert told["path"]["arrives"] == (verdict == "allow")
    assert {flow["rule"] for visit in told["path"]["visits"] for flow in visit["flows"]} >= {told["rule"]}


def test_a_flow_put_in_by_hand_makes_explain_fail_and_say_where(site: Site, intruding: Any) -> None:
    port = _port_of(site, "acme/web1")
    intruding(f"table=0,priority=65000,in_port={port},tcp", "drop")

    code, told = explained(site, "tcp/5432")

    messages = [one["message"] for one in told["live"]["differences"]]
    assert code == 1
    assert {one["bridge"] for one in told["live"]["differences"]} == {"hv1/br-int"}
    assert any("not zonewall's" in message and "priority 65000" in message for message in messages)
    assert any("the switch uses table 0, priority 65000" in message for message in messages)


def test_a_flow_of_others_that_is_about_other_packets_is_nobodys_concern(site: Site, intruding: Any) -> None:
    intruding("table=0,priority=65000,in_port=60999,udp", "drop")

    assert explained(site, "tcp/5432")[0] == 0


def test_explain_without_a_controller_ends_with_3(site: Site) -> None:
    done: subprocess.CompletedProcess[str] = site.command(
        "explain", "--from", "acme/web1", "--to", "acme/db1", "--service", "tcp/80", "--state", "/nowhere"
    )
    assert (done.returncode, done.stdout) == (3, "")


def _port_of(site: Site, endpoint: str) -> int:
    found = next(one for one in site.status()["endpoints"] if one["endpoint"] == endpoint)
    return int(next(place["ofport"] for place in found["places"] if place["state"] == "active"))
