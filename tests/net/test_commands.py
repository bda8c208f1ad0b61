"""What commands say of a running controller's fleet, and that they say it when a bridge does otherwise."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.demo_site import acme, inventory
from support.raw_probes import Knock, outcome
from support.site import Site, copy_tree
from zonewall.pipeline.tables import VERDICT_TABLE

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


def planned(site: Site, folder: Path, acme_: dict[str, Any], *more: str) -> tuple[int, dict[str, Any]]:
    """Return how ``plan`` of the site's documents with another policy of acme's ended, and what it said."""
    copy_tree(site.directory, folder)
    (folder / "acme.yaml").write_text(yaml.safe_dump(acme_, sort_keys=False))
    done = site.command("plan", str(folder), "--state", str(site.state), "--output", "json", *more)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_plan_says_what_each_bridge_will_hold_and_so_it_is_afterwards(site: Site, tmp_path: Path) -> None:
    wider = acme(
        {
            "name": "more",
            "from": "web",
            "to": "db",
            "services": ["tcp/7001", "udp/7100-7199"],
            "action": "allow",
        }
    )
    code, plan = planned(site, tmp_path, wider)
    try:
        site.change(acme=wider)
        status = site.rest()
        held = {one["bridge"]: one["flows"] for one in status["bridges"]}
    finally:
        site.change(acme=acme())

    assert code == 2
    assert {one["bridge"]: one["flows"] for one in plan["bridges"]} == held
    assert all(one["added"] and one["kept"] and not one["removed"] for one in plan["bridges"])
    assert plan["interrupted"] == []
    [row] = plan["verdicts"]
    assert row["services"] == ["tcp/7001", "udp/7100-7199"]
    assert (row["before"]["verdict"], row["after"]["rule"]) == ("drop", "acme/application/more")
    assert planned(site, tmp_path, acme())[0] == 0


def test_a_plan_asks_the_hosts_which_live_connections_would_be_cut(site: Site, tmp_path: Path) -> None:
    knock = Knock(site.machines["acme-batch1"], site.machines["acme-web1"], "tcp", 8050, 4)
    assert outcome([knock]) == [True]
    policy = acme()
    rules = policy["tiers"][0]["rules"]
    rules[:] = [rule for rule in rules if rule["name"] != "shop"]
    asked = ("--appctl", f"ovs-appctl -t {site.lab.ledger.folder}/{{host}}/vswitchd.ctl")

    _, plan = planned(site, tmp_path, policy, *asked)

    cut = [one for one in plan["connections"]["flips"] if one["turn"] == "cut"]
    ends = {
        (one["connection"]["src"], one["connection"]["dst"], one["connection"].get("dport")) for one in cut
    }
    assert ("acme/batch1", "acme/web1", 8050) in ends
    assert {one["before"]["rule"] for one in cut} == {"acme/application/shop"}
    assert {one["rule"] for one in plan["interrupted"]} == {"acme/application/shop"}


def test_the_controller_refuses_documents_past_a_bridges_budget_and_keeps_what_it_has(site: Site) -> None:
    narrow = inventory(site)
    narrow["hosts"]["hv1"]["bridges"]["br-int"]["flow-budget"] = 50
    before = site.status()["configuration"]["revision"]
    site.put(inventory=narrow)
    try:
        status = site.wait_for(lambda seen: seen["configuration"]["refused"])
        assert "hv1/br-int would hold" in status["configuration"]["refused"]
        assert status["configuration"]["revision"] == before
        assert all(one["state"] == "in-force" for one in status["bridges"])
    finally:
        site.put(inventory=inventory(site))
        site.wait_for(lambda seen: not seen["configuration"]["refused"])


def _port_of(site: Site, endpoint: str) -> int:
    found = next(one for one in site.status()["endpoints"] if one["endpoint"] == endpoint)
    return int(next(place["ofport"] for place in found["places"] if place["state"] == "active"))


def test_status_names_what_is_set_aside_and_the_flows_of_others(site: Site, intruding: Any) -> None:
    hv1, table = site.hosts["hv1"], VERDICT_TABLE.number
    intruding("table=200,priority=9,ip,nw_dst=192.0.2.1", "drop")
    held = hv1.ofctl("dump-aggregate", "br-int", f"table={table}").rpartition("flow_count=")[2].split()[0]
    # So far below that there is no room either for what is tried again when less is there.
    limit = f"flow_limit={int(held) // 2}"
    words = ("--id=@t", "create", "flow_table", limit, "overflow_policy=refuse")
    hv1.vsctl(*words, "--", "set", "bridge", "br-int", f"flow_tables:{table}=@t")
    more = acme()
    more["tiers"][0]["rules"].append(
        {"name": "one-more", "from": "any", "to": "any", "services": ["tcp/7777"], "action": "allow"}
    )
    try:
        site.put(acme=more)
        site.wait_for(lambda status: hv1_of(status)["set_aside"] and hv1_of(status)["foreign"])
        done = site.command("status", "--state", str(site.state))
    finally:
        hv1.vsctl("clear", "bridge", "br-int", "flow_tables")
        site.change(acme=acme())
    said = " ".join(done.stdout.split())
    assert done.returncode == 1
    assert "set aside on hv1/br-int: acme/" in said
    assert "closed meanwhile, tried again in" in said
    assert "not zonewall's on hv1/br-int: a flow in table 200, priority 9, cookie 0x0" in said
    assert hv1_of(site.settle())["state"] == "in-force"


def foreign_tables(status: dict[str, Any]) -> set[int]:
    """Return the tables in which others have flows on the first host's bridge."""
    return {row["table"] for row in hv1_of(status)["foreign"]}


def hv1_of(status: dict[str, Any]) -> dict[str, Any]:
    """Return what a status says of the first host's bridge."""
    return next(one for one in status["bridges"] if one["bridge"] == "hv1/br-int")
