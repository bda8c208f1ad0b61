"""`log: connections`: each connection's beginning and end, as the bridge that it enters by has counted it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.chain_site import through
from support.logged import PATIENCE_S, look, of_port, opened, receive, records, rules, talk, until
from support.service_frames import eventually, gather, listening, transport
from support.service_site import ZONEWALL, ServiceSite

pytestmark = pytest.mark.net


def test_a_connection_leaves_one_record_when_it_starts_and_one_when_it_ends(site: ServiceSite) -> None:
    site.policy(*rules())
    before = time.monotonic()
    talk(site, "b1", 43001)
    start, end = until(site, 43001, lambda found: len(found) == 2)
    passed_s = time.monotonic() - before
    assert [start["details"]["event"], end["details"]["event"]] == ["start", "end"]
    for one in (start, end):
        said = one["details"]
        assert (one["host"], said["bridge"], said["verdict"], said["protocol"]) == (
            "hv1",
            "br-int",
            "allow",
            "tcp",
        )
        assert said["rule"].endswith("/web")
        assert "acme.yaml" in said["place"]
        ends = (said["source"], said["destination"])
        assert [(end["address"], end["endpoint"], end["zones"], end["tenant"]) for end in ends] == [
            ("10.0.0.1", "acme/a1", ["a1"], "acme"), ("10.0.0.3", "acme/b1", ["b1"], "acme"),
        ]  # fmt: skip
        assert said["source"]["port"].startswith("hv1/br-int/")
        assert said["destination"]["port"].startswith("hv2/br-int/")
        assert said["destination"]["service"] == 80
    said = end["details"]
    kept = [
        json.loads(line)
        for line in site.command("journal", "--kind", "connection", "--output", "json").splitlines()
    ]
    assert [one["details"] for one in kept if one["details"]["row"] == said["row"]] == [
        start["details"],
        said,
    ]
    assert said["how"] == "idle"
    assert said["packets"] >= 10
    assert said["bytes"] > 10_000
    assert 0 <= said["seconds"] <= passed_s + 0.001  # the record says milliseconds


def test_a_plan_against_the_controller_finds_in_its_journal_which_connections_would_be_cut(
    site: ServiceSite, tmp_path: Path
) -> None:
    site.policy(*rules())
    talk(site, "a2", 43061)
    with opened(site, "b1", 43060):
        until(site, 43060, lambda found: len(found) == 1)
        until(site, 43061, lambda found: len(found) == 2)
        site.wait_for(lambda status: status["journal"]["waiting"] == 0)
        new = tmp_path / "new"
        shutil.copytree(site.directory, new)
        policy = new / "acme.yaml"
        policy.write_text(policy.read_text().replace("tcp/80", "tcp/81"))
        words = ["plan", str(new), "--state", str(site.state), "--output", "json"]
        done = subprocess.run(
            [str(ZONEWALL), *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2, done.stderr
        plan = json.loads(done.stdout)

    turned = {one["connection"]["sport"]: one for one in plan["connections"]["flips"]}
    assert [one["source"] for one in plan["connections"]["sources"]] == ["journal"]
    assert (turned[43060]["turn"], turned[43060]["open"]) == ("cut", True)
    assert turned[43060]["before"]["rule"].endswith("/web")
    assert (turned[43061]["turn"], turned[43061]["open"]) == ("cut", False)


def test_what_no_logged_rule_allows_leaves_no_record(site: ServiceSite) -> None:
    site.policy(*rules())
    talk(site, "b2", 43002)
    talk(site, "a2", 43003)
    until(site, 43003, lambda found: len(found) == 2)
    assert of_port(site, 43002) == []


@pytest.mark.parametrize(
    ("function", "peer", "sport"), [("waf", "a2", 43090), ("waf", "b1", 43091), ("dpi", "a2", 43092)]
)
def test_a_connection_through_an_appliance_counts_each_packet_once(
    appliances: ServiceSite, function: str, peer: str, sport: int
) -> None:
    site = appliances
    site.policy({**through(function), "log": "connections"})
    port = sport.to_bytes(2, "big")
    with listening(site.machines["a1"], site.machines[peer]) as cards:
        talk(site, peer, sport, 10)
        found = until(site, sport, lambda found: len(found) == 2)
        arrived = [
            frame for card in cards for frame in gather(card, lambda one: port in transport(one)[1][:4], 4)
        ]
    assert [one["details"]["event"] for one in found] == ["start", "end"], found
    assert found[1]["details"]["packets"] == len(arrived)
    assert found[0]["host"] == "hv1"


def test_records_and_counters_agree_to_the_packet_and_to_the_byte(site: ServiceSite) -> None:
    site.policy(*rules())
    before = look(site)["near"]
    for sport in range(43010, 43015):
        talk(site, "a2", sport, 20_000)
    ends = []
    for sport in range(43010, 43015):
        found = until(site, sport, lambda found: len(found) == 2)
        ends.append(found[1]["details"])
    after = look(site)["near"]
    recorded = sum(one["packets"] for one in ends), sum(one["bytes"] for one in ends)
    assert recorded == (after[0] - before[0], after[1] - before[1])


def test_a_connection_over_recompiles_and_a_restart_is_two_records_and_its_row_no_drift(
    site: ServiceSite,
) -> None:
    site.policy(*rules())
    with opened(site, "b1", 43020) as (caller, peer):
        caller.sendall(b"q" * 1000)
        receive(peer, 1000)
        site.policy(*rules({"name": "other", "from": "b2", "to": "a1", "action": "allow"}))
        peer.sendall(b"a" * 1000)
        receive(caller, 1000)
        site.restart()
        status = site.wait_for(lambda status: status["connections"]["open"] >= 1)
        assert [one["drift_repaired"] for one in status["bridges"]] == [0] * len(status["bridges"])
        look(site)
        caller.sendall(b"q" * 1000)
        receive(peer, 1000)
    found = until(site, 43020, lambda found: any(one["details"]["event"] == "end" for one in found))
    assert [one["details"]["event"] for one in found] == ["start", "end"]
    assert found[1]["details"]["bytes"] > 3000 + 10 * 54


def test_what_began_and_ended_while_no_controller_ran_is_counted_in_a_gap_record(site: ServiceSite) -> None:
    site.policy(*rules())
    talk(site, "b1", 43030)
    until(site, 43030, lambda found: len(found) == 2)
    look(site)
    look(site)
    known = len(records(site, "gap"))
    assert site.controller is not None
    with opened(site, "a2", 43040):
        until(site, 43040, lambda found: len(found) == 1)
        site.wait_for(lambda status: status["journal"]["waiting"] == 0)
        os.kill(site.controller.pid, signal.SIGKILL)
        for sport in range(43041, 43048):
            talk(site, "b1", sport, 10)
    time.sleep(3.5)  # their rows end
    site.restart()
    deadline = time.monotonic() + 60
    while len(gaps := records(site, "gap")) == known and time.monotonic() < deadline:
        look(site)
    lost = sum(one["details"]["connections"] for one in gaps[known:])
    told = [sport for sport in range(43041, 43048) if of_port(site, sport)]
    assert lost + len(told) == 7, (gaps[known:], told)
    assert [one["details"].get("how") for one in of_port(site, 43040)] == [None, "unseen"]
    assert "0 break(s)" in site.command("journal", "verify")


def test_a_collector_of_ipfix_reads_back_the_connections_of_logged_rules(site: ServiceSite) -> None:
    folder = site.state / "nfcapd"
    folder.mkdir()
    address = site.lab.controller_address
    collector = site.lab.controller.start(
        "nfcapd", "-w", str(folder), "-b", address, "-p", "4739", "-t", "60"
    )
    fields = [word for name in ("srcport", "dstport") for word in ("-e", f"cflow.{name}")]
    wire = site.lab.controller.start(
        "tshark", "-n", "-l", "-i", "any", "-f", "udp port 4739", "-d", "udp.port==4739,cflow",
        "-T", "fields", *fields,
    )  # fmt: skip
    eventually(lambda: "Capture started" in wire.output(), PATIENCE_S)
    site.write_inventory(**{"flow-export": {"collectors": [f"{address}:4739"]}})
    try:
        site.policy(*rules())
        site.wait_for(lambda _: "4739" in site.hosts["hv1"].vsctl("list", "IPFIX"))
        with opened(site, "b2", 43071):
            pass
        talk(site, "a2", 43072)
        talk(site, "b1", 43070)
        found = until(site, 43070, lambda found: len(found) == 2)
        other = until(site, 43072, lambda found: len(found) == 2)
        bridge = next(one for one in site.status()["bridges"] if one["bridge"] == "hv1/br-int")["number"]
        told = json.loads(site.command("counters", "--output", "json"))
        numbers = {row["rule"].rpartition("/")[2]: row["number"] for row in told}
        wanted = {tuple(ways) for port in ("43070", "43072") for ways in ((port, "80"), ("80", port))}
        eventually(lambda: wanted <= told_ports(wire.output()), PATIENCE_S)
    finally:
        wire.stop()
        collector.stop()
        del site.inventory["flow-export"]
        site.write_inventory()
    text = site.lab.controller.run(
        "nfdump", "-R", str(folder), "-o", "fmt:%sa %sp %da %dp %odid %opid %pkt %byt", "-q", "-N"
    )
    rows = [line.split() for line in text.splitlines() if line.strip()]
    there = [row for row in rows if row[:4] == ["10.0.0.1", "43070", "10.0.0.3", "80"]]
    back = [row for row in rows if row[:4] == ["10.0.0.3", "80", "10.0.0.1", "43070"]]
    assert there
    assert back
    assert not [row for row in rows if "43071" in row]
    # Domain and point are numbers that `zonewall` tells: which bridge, and which rule let it pass.
    near = [row for row in rows if "43072" in row]
    assert {tuple(int(one, 16) for one in row[4:6]) for row in there + back} == {(bridge, numbers["web"])}
    assert {tuple(int(one, 16) for one in row[4:6]) for row in near} == {(bridge, numbers["near"])}
    assert numbers["web"] != numbers["near"]
    # Open vSwitch sends a flow's own numbers and the exporter's totals; nfdump 1.7 shows the totals.
    recorded = sum(one[1]["details"]["packets"] for one in (found, other))
    assert max(int(row[6]) for row in (*there, *back, *near)) == recorded


def told_ports(output: str) -> set[tuple[str, ...]]:
    """Return the ports of the flows in what tshark prints: a packet a line, its flows with commas between."""
    columns = [line.split("\t") for line in output.splitlines() if line.count("\t") == 1]
    return {ends for one in columns for ends in zip(*(column.split(",") for column in one), strict=False)}
