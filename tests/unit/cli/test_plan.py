"""``zonewall plan``: verdicts, connections, flows and budgets, before anything is put in force."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from zonewall.cli.app import build_app
from zonewall.errors import ControllerUnreachableError
from zonewall.journal.record import Entry, Kind, canonical
from zonewall.store.sql_journal import SqlJournal

DEMO = Path(__file__).parents[3] / "policies" / "demo"
PLACEMENT = """
placements:
  - {endpoint: acme/web1, host: hv1, bridge: br-int, ofport: 5}
  - {endpoint: acme/db1, host: hv2, bridge: br-int, ofport: 6}
links: []
"""


class Workshop:
    """A copy of the demo's policies to edit, and a placement."""

    def __init__(self, folder: Path) -> None:
        self.new = folder / "new"
        shutil.copytree(DEMO, self.new)
        self.placement = folder / "placement.yaml"
        self.placement.write_text(PLACEMENT)
        self.connections = folder / "connections.jsonl"

    def edit(self, file: str, before: str, after: str) -> None:
        text = (self.new / file).read_text()
        assert before in text
        (self.new / file).write_text(text.replace(before, after))

    def plan(self, *more: str) -> tuple[int, dict[str, Any]]:
        words = ["plan", str(self.new), "--against", str(DEMO), "--placement", str(self.placement)]
        done = CliRunner().invoke(build_app(), [*words, "--output", "json", *more])
        return done.exit_code, json.loads(done.stdout) if done.stdout else {"said": done.stderr}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_the_same_documents_change_nothing_and_end_with_0(workshop: Workshop) -> None:
    code, plan = workshop.plan()
    assert code == 0
    assert (plan["changes"], plan["verdicts"], plan["interrupted"]) == (False, [], [])
    assert all(one["added"] == one["changed"] == one["removed"] == 0 < one["kept"] for one in plan["bridges"])


def test_a_change_names_who_it_is_about_which_services_and_both_rules(workshop: Workshop) -> None:
    workshop.edit(
        "acme.yaml", "services: [pg],   action: allow, through", "services: [tcp/22], action: allow, through"
    )
    workshop.edit("acme.yaml", "services: [tcp/22], never: allow", "services: [tcp/23], never: allow")
    code, plan = workshop.plan()
    assert code == 2
    opened = next(row for row in plan["verdicts"] if row["services"] == ["tcp/22"])
    assert [one["endpoints"] for one in opened["from"]] == [["acme/web1", "acme/web2"]]
    assert [one["endpoints"] for one in opened["to"]] == [["acme/db1"]]
    assert opened["ip"] == [4, 6]
    assert (opened["before"]["verdict"], opened["before"]["rule"]) == ("drop", "acme/default")
    assert (opened["after"]["verdict"], opened["after"]["rule"]) == ("allow", "acme/application/app-db")
    assert opened["after"]["at"].startswith("acme.yaml:")


def test_what_is_no_longer_allowed_is_said_with_what_its_rule_asks_for_then(workshop: Workshop) -> None:
    workshop.edit(
        "acme.yaml", "services: [pg],   action: allow, through", "services: [pg],   action: drop, log"
    )
    workshop.edit("acme.yaml", "log: [waf], mirror: [ids]", "log: none")
    _, plan = workshop.plan()
    [cut] = plan["interrupted"]
    assert (cut["rule"], cut["on_change"]) == ("acme/application/app-db", "cut")


def test_recorded_connections_that_would_turn_are_listed_and_none_is_not_unknown(workshop: Workshop) -> None:
    workshop.edit("acme.yaml", "http: [tcp/80, tcp/443]", "http: [tcp/443]")
    workshop.edit("acme.yaml", "services: [http],   always", "services: [tcp/443], always")
    records = [
        {"src": "acme/db1", "dst": "acme/web1", "proto": "tcp", "sport": 40000, "dport": port, "began": "…"}
        for port in (80, 443)
    ]
    assert workshop.plan()[1]["connections"] == {"known": None, "sources": [], "flips": None}
    workshop.connections.write_text("".join(json.dumps(one) + "\n" for one in records))

    _, plan = workshop.plan("--connections", str(workshop.connections))

    assert plan["connections"]["known"] == 2
    [flip] = plan["connections"]["flips"]
    assert (flip["turn"], flip["connection"]["dport"]) == ("cut", 80)
    assert flip["before"]["rule"] == "acme/application/shop"


def test_connections_that_the_journal_recorded_are_read_as_it_prints_them(workshop: Workshop) -> None:
    workshop.edit("acme.yaml", "http: [tcp/80, tcp/443]", "http: [tcp/443]")
    workshop.edit("acme.yaml", "services: [http],   always", "services: [tcp/443], always")
    source = {"address": "10.0.0.3", "service": 40000, "tenant": "acme", "endpoint": "acme/db1"}
    target = {"address": "10.0.0.1", "service": 80, "tenant": "acme", "endpoint": "acme/web1"}
    outside = {"address": "203.0.113.9", "tenant": "acme"}
    told = [
        {"event": event, "protocol": protocol, "source": one, "destination": other}
        for event in ("start", "end")
        for protocol, one, other in (
            ("tcp", source, target),
            ("icmp", outside, {key: value for key, value in target.items() if key != "service"}),
        )
    ]
    lines = [{"kind": "connection", "details": details} for details in told]
    lines.append({"kind": "placed", "details": {"bridge": "br-int"}})
    workshop.connections.write_text("".join(json.dumps(one) + "\n" for one in lines))

    _, plan = workshop.plan("--connections", str(workshop.connections))

    assert plan["connections"]["known"] == 2
    [flip] = plan["connections"]["flips"]
    assert (flip["turn"], flip["connection"]["src"], flip["connection"]["dport"]) == ("cut", "acme/db1", 80)


HOUR_US = 3_600_000_000
ADDRESSES = {
    "acme/db1": "10.0.0.3",
    "acme/batch1": "10.0.0.4",
    "acme/web2": "10.0.0.2",
    "acme/gone": "10.0.0.77",
}


def whose(endpoint: str) -> dict[str, str]:
    return {"tenant": "acme", "endpoint": endpoint}


def connection(event: str, hours_ago: float, port: int, row: str, source: str = "acme/db1") -> Entry:
    """Return a record of a connection to the web server."""
    details = {
        "event": event, "protocol": "tcp", "bridge": "br-int", "row": row, "began_us": 7,
        "source": {"address": ADDRESSES[source], "service": 40000 + port} | whose(source),
        "destination": {"address": "10.0.0.1", "service": port} | whose("acme/web1"),
    }  # fmt: skip
    at_us = time.time_ns() // 1000 - int(hours_ago * HOUR_US)
    return Entry(at_us, Kind.CONNECTION, "rule x", "acme", source, "hv1", canonical(details))


def journal(path: Path, *entries: Entry) -> Path:
    SqlJournal(path, writable=True).append(entries, {})
    return path


def test_the_journal_says_which_open_and_which_late_connections_would_turn(
    workshop: Workshop, tmp_path: Path
) -> None:
    workshop.edit("acme.yaml", "http: [tcp/80, tcp/443]", "http: [tcp/443]")
    workshop.edit("acme.yaml", "services: [http],   always", "services: [tcp/443], always")
    now_us = time.time_ns() // 1000
    lost = Entry(now_us, Kind.CONNECTION, "rule x", "", "", "hv1", canonical({"event": "start", "row": "ff"}))
    kept = [
        connection("start", 96, 80, "aa"),  # open for days
        connection("start", 90, 443, "bb"),  # open, and stays allowed
        connection("start", 80, 80, "cc", "acme/batch1"),
        connection("end", 70, 80, "cc", "acme/batch1"),  # ended too long ago
        connection("start", 3, 80, "dd", "acme/web2"),
        connection("end", 2, 80, "dd", "acme/web2"),
        connection("start", 3, 80, "ee", "acme/gone"),
        connection("end", 2, 80, "ee", "acme/gone"),  # of an endpoint that is no more
        lost,
    ]
    # Journals are kept as they came: what is newest is what was written last.
    file = journal(tmp_path / "journal.db", *sorted(kept, key=lambda entry: entry.at_us))
    before = SqlJournal(file).head()

    _, plan = workshop.plan("--journal", str(file))
    _, longer = workshop.plan("--journal", str(file), "--since", "-4d")

    [source] = plan["connections"]["sources"]
    assert (source["source"], source["connections"], source["open"], source["unclear"]) == (
        "journal",
        4,
        2,
        1,
    )
    turned = {(one["connection"]["src"], one["turn"], one["open"]) for one in plan["connections"]["flips"]}
    assert turned == {("acme/db1", "cut", True), ("acme/web2", "cut", False)}
    assert longer["connections"]["known"] == 5
    assert SqlJournal(file).head() == before


def test_what_the_journal_and_a_file_know_is_told_once_and_told_to_people(
    workshop: Workshop, tmp_path: Path
) -> None:
    workshop.edit("acme.yaml", "http: [tcp/80, tcp/443]", "http: [tcp/443]")
    workshop.edit("acme.yaml", "services: [http],   always", "services: [tcp/443], always")
    file = journal(tmp_path / "journal.db", connection("start", 1, 80, "aa"))
    ends = {"src_ip": "10.0.0.3", "dst_ip": "10.0.0.1", "tenant": "acme", "sport": 40080, "dport": 80}
    record = {"src": "acme/db1", "dst": "acme/web1", "proto": "tcp", **ends}
    workshop.connections.write_text(json.dumps(record) + "\n")
    more = ["--journal", str(file), "--connections", str(workshop.connections)]

    _, plan = workshop.plan(*more)
    words = ["plan", str(workshop.new), "--against", str(DEMO), *more]
    text = CliRunner().invoke(build_app(), words).output

    assert plan["connections"]["known"] == 1
    assert [one["open"] for one in plan["connections"]["flips"]] == [True]
    assert f"connections of journal {file}: 1, 1 open; it has those of rules with `log: connections`" in text
    assert "connections: 1 known, 1 would be cut, 0 otherwise" in text
    assert "cut (open): acme/db1 → acme/web1" in text


def test_a_journal_that_was_said_and_is_not_there_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    code, plan = workshop.plan("--journal", str(tmp_path / "journal.db"))
    assert code == 1
    assert "there is no journal" in plan["said"]
    assert not (tmp_path / "journal.db").exists()


def test_source_ports_tell_connections_apart_only_where_a_rule_asks_for_them(workshop: Workshop) -> None:
    workshop.edit(
        "acme.yaml",
        "http: [tcp/80, tcp/443]",
        "http: [tcp/443, {proto: tcp, ports: 80, source-ports: 1024-65535}]",
    )
    workshop.edit("acme.yaml", "services: [http],   always", "services: [tcp/443], always")
    ends = {"src": "acme/db1", "dst": "acme/web1", "proto": "tcp", "dport": 80}
    lines = [json.dumps({**ends, "sport": port}) for port in (1023, 1024, 1025)]
    workshop.connections.write_text("\n".join(lines))

    _, plan = workshop.plan("--connections", str(workshop.connections))

    assert [one["connection"]["sport"] for one in plan["connections"]["flips"]] == [1023]


def test_a_rule_that_keeps_its_connections_costs_flows_when_it_goes(workshop: Workshop) -> None:
    line = next(
        one for one in (workshop.new / "acme.yaml").read_text().splitlines() if "name: nightly" in one
    )
    workshop.edit("acme.yaml", line + "\n", "")
    gone = workshop.plan()[1]
    kept = line.replace("action: allow", "action: allow, on-change: keep")
    old = workshop.new.parent / "old"
    shutil.copytree(DEMO, old)
    (old / "acme.yaml").write_text((DEMO / "acme.yaml").read_text().replace(line, kept))

    known = {"src": "acme/batch1", "dst": "acme/db1", "proto": "tcp", "dport": 5432, "tenant": "acme"}
    workshop.connections.write_text(json.dumps(known))

    _, plan = workshop.plan("--against", str(old), "--connections", str(workshop.connections))

    assert [one["on_change"] for one in plan["interrupted"]] == ["keep"]
    assert [(one["turn"], one["on_change"]) for one in plan["connections"]["flips"]] == [("cut", "keep")]
    more = [a["flows"] - b["flows"] for a, b in zip(plan["bridges"], gone["bridges"], strict=True)]
    assert max(more) >= 1


def test_what_a_rule_asks_for_when_it_goes_counts_for_nothing_while_it_stays(workshop: Workshop) -> None:
    old = workshop.new.parent / "old"
    shutil.copytree(DEMO, old)
    text = (old / "acme.yaml").read_text()
    line = next(one for one in text.splitlines() if "name: nightly" in one)
    for folder, more in (
        (old, ""),
        (workshop.new, "      - {name: shut, from: batch, to: db, action: drop}\n"),
    ):
        kept = line.replace("action: allow", "action: allow, on-change: keep")
        (folder / "acme.yaml").write_text(text.replace(line + "\n", f"{more}{kept}\n"))

    _, plan = workshop.plan("--against", str(old))

    assert [one["on_change"] for one in plan["interrupted"]] == ["cut"]


def test_what_would_go_through_other_functions_is_told_by_the_rule_that_it_has(workshop: Workshop) -> None:
    workshop.edit("acme.yaml", "through: [waf], mirror: [ids]", "mirror: [ids]")

    _, plan = workshop.plan()

    assert plan["rerouted"] == ["acme/application/app-db"]


def test_a_label_that_moves_an_endpoint_changes_verdicts_of_this_endpoint_alone(workshop: Workshop) -> None:
    text = (workshop.new / "inventory.yaml").read_text()
    line = next(line for line in text.splitlines() if "name: web2" in line)
    workshop.edit("inventory.yaml", line, line.replace("role: web", "role: batch"))
    _, plan = workshop.plan()
    ends = [
        {name for group in row[side] for name in group["endpoints"]}
        for row in plan["verdicts"]
        for side in ("from", "to")
    ]
    assert all({"acme/web2"} in (one, other) for one, other in zip(ends[::2], ends[1::2], strict=True))
    moved = next(
        group for row in plan["verdicts"] for group in row["from"] if group["endpoints"] == ["acme/web2"]
    )
    assert (moved["before"]["zones"], moved["after"]["zones"]) == (["web"], ["batch"])


def test_a_plan_past_a_bridges_budget_is_refused(workshop: Workshop) -> None:
    workshop.edit("inventory.yaml", "attachment: fabric", "attachment: fabric\n        flow-budget: 40")
    code, plan = workshop.plan()
    assert code == 1
    assert all("40 are its budget" in line for line in plan["refused"])
    assert {line.partition(" ")[0] for line in plan["refused"]} == {"hv1/br-int", "hv2/br-int"}


def test_documents_that_cannot_be_used_or_break_an_assertion_end_with_1(workshop: Workshop) -> None:
    workshop.edit(
        "acme.yaml", "services: [pg],   action: allow, through", "services: [tcp/22], action: allow, through"
    )
    code, plan = workshop.plan()
    assert code == 1
    assert "acme.yaml" in plan["said"]


def test_without_a_controller_it_ends_with_3(workshop: Workshop, tmp_path: Path) -> None:
    done = CliRunner().invoke(build_app(), ["plan", str(workshop.new), "--state", str(tmp_path)])
    assert isinstance(done.exception, ControllerUnreachableError)


@pytest.mark.parametrize(
    "line", ["no json", "[1]", '{"src": "acme/web1"}', '{"src": "x", "dst": "y", "proto": "tcp"}']
)
def test_a_record_that_is_no_connection_is_named_by_its_line(workshop: Workshop, line: str) -> None:
    good = '{"src": "acme/db1", "dst": "acme/web1", "proto": "tcp", "dport": 80}'
    workshop.connections.write_text(f"{good}\n{line}\n")
    code, plan = workshop.plan("--connections", str(workshop.connections))
    assert code == 1
    assert f"{workshop.connections}:2: " in plan["said"]


@pytest.mark.parametrize(
    ("placed", "warns"), [("eth9, ofport: 2}", True), ("eth8, ofport: 2}", False)], ids=["there", "not there"]
)
def test_a_plan_warns_where_a_host_would_lose_its_way(
    workshop: Workshop, tmp_path: Path, placed: str, warns: bool
) -> None:
    fab = "          fab0:    {role: fabric} "
    in_band = f"          up0:  {{role: host}}\n          eth9: {{role: uplink, vlans: {{100: acme}}}}\n{fab}"
    workshop.edit("inventory.yaml", fab, in_band)
    before = tmp_path / "before"
    shutil.copytree(workshop.new, before)
    workshop.edit("inventory.yaml", "vlans: {100: acme}", "vlans: {0: acme}")
    ports = [f"  - {{host: hv1, bridge: br-int, name: {one}\n" for one in ("up0, ofport: 1}", placed)]
    workshop.placement.write_text(f"{PLACEMENT}ports:\n{''.join(ports)}")
    words = ["plan", str(workshop.new), "--against", str(before)]
    told = "hv1/br-int would no longer join its host port up0 with uplink eth9"

    for more, expected in ([], True), (["--placement", str(workshop.placement)], warns):
        done = CliRunner().invoke(build_app(), [*words, *more, "--output", "json"])
        row = {"bridge": "hv1/br-int", "port": "up0", "uplink": "eth9", "text": told}
        assert json.loads(done.stdout)["parted"] == ([row] if expected else [])
        said = CliRunner().invoke(build_app(), [*words, *more]).output
        assert (f"warning: {told}; if the controller reaches" in said) == expected
        assert ("zonewall apply DIR --even-if-cut-off" in said) == expected
        assert done.exit_code == (2 if expected else 0)
