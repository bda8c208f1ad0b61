"""What an auditor asks of the journal: where, since when, by which policy, and is it whole."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from zonewall.cli.app import build_app
from zonewall.errors import ZonewallError
from zonewall.journal.record import Entry, Kind
from zonewall.placement.announcement import Announcement, AnnouncementKind
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.model import BridgeKey
from zonewall.policy.load import load_texts
from zonewall.policy.model import Configuration
from zonewall.reconciler import recorder
from zonewall.reconciler.recorder import Recorder
from zonewall.store.sql_journal import SqlJournal
from zonewall.values.addresses import parse_mac
from zonewall.values.names import BridgeName, EndpointKey, HostName, OfPort

INVENTORY = """\
kind: inventory
hosts:
  hv1: {bridges: {br-int: {attachment: fabric}}}
  hv2: {bridges: {br-int: {attachment: fabric}}}
endpoints:
  - {name: web1, tenant: acme, iface-id: web1, mac: "52:54:00:00:00:01", ips: [10.0.0.1], labels: {role: web}}
  - {name: db1, tenant: acme, iface-id: db1, mac: "52:54:00:00:00:02", ips: [10.0.0.2], labels: {role: db}}
  - {name: db2, tenant: acme, iface-id: db2, mac: "52:54:00:00:00:03", ips: [10.0.0.3], labels: {role: db}}
"""
ACME = """\
kind: tenant
tenant: acme
zones:
  web: {labels: {role: web}}
  db: {labels: {role: db}}
  office: {cidrs: [198.51.100.0/24]}
tiers:
  - name: application
    rules:
      - {name: app-db, from: web, to: db, services: [tcp/5432], action: allow}
      - {name: admin, from: office, to: web, services: [tcp/22, icmp/echo-request], action: allow}
"""
LATER = ACME.replace("tcp/5432", "tcp/3306")
WEB1, WEB1_MAC = EndpointKey("acme/web1"), parse_mac("52:54:00:00:00:01")


class Story:
    """A controller's life as the journal sees it; each step has a time of its own, whole seconds."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.journal = SqlJournal(path, writable=True)
        self.at = 0
        monkeypatch.setattr(recorder, "_now_us", lambda: self.at * 1_000_000)
        self.recorder = Recorder(self)
        self.recorder.started(self.journal.present())
        self.fleet = FleetState.start(self.configure(ACME, 1))

    def put(self, entries: Iterable[Entry], texts: Mapping[str, bytes] | None = None) -> None:
        self.journal.append(list(entries), texts or {})

    def configure(self, policy: str, at: int) -> Configuration:
        self.at = at
        texts = {"inventory.yaml": INVENTORY.encode(), "acme.yaml": policy.encode()}
        configuration = load_texts(texts).configuration
        assert configuration is not None
        self.recorder.configured(configuration, texts, "documents")
        return configuration

    def take(self, at: int, change: tuple[FleetState, Any], cause: str) -> None:
        self.at = at
        self.fleet, effects = change
        self.recorder.moved(self.fleet, effects, cause)

    def plug(self, at: int, host: str, name: str, ofport: int) -> None:
        said = {"iface-id": name}
        change = self.fleet.port_seen(HostName(host), BridgeName("br-int"), name, ofport, said, at)
        self.take(at, change, f"database of {host}")
        bridge = BridgeKey(HostName(host), BridgeName("br-int"))
        self.take(at, self.fleet.confirm(bridge, self.fleet.placement(), at), f"bridge {bridge} confirmed")

    def announce(self, at: int, host: str, ofport: int) -> None:
        frame = Announcement(AnnouncementKind.RARP, WEB1_MAC, None)
        bridge = BridgeKey(HostName(host), BridgeName("br-int"))
        change = self.fleet.announced(bridge, OfPort(ofport), frame, at)
        self.take(at, change, f"announcement (rarp) at {bridge}")


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    """web1 on hv1 at 10 s, moves to hv2 at 30 s, is isolated from 40 to 50 s; another policy from 60 s."""
    told = Story(tmp_path / "journal.db", monkeypatch)
    told.plug(10, "hv1", "web1", 5)
    told.plug(11, "hv2", "db1", 3)
    told.plug(20, "hv2", "web1", 7)
    told.announce(30, "hv2", 7)
    told.take(40, told.fleet.quarantine(WEB1, "odd traffic", 40), "root by command (process 7)")
    told.take(50, told.fleet.release(WEB1, 50), "root by command (process 8)")
    told.configure(LATER, 60)
    return told


def ask(story: Story, *words: str, code: int = 0) -> str:
    result: Result = CliRunner().invoke(build_app(), [*words, "--journal", str(story.path)])
    assert result.exit_code == code, result.output
    return result.output


def document(story: Story, *words: str) -> Any:
    return json.loads(ask(story, *words, "--output", "json"))


def at(second: int) -> str:
    return f"1970-01-01T00:00:{second:02}Z"


@pytest.mark.parametrize(
    ("second", "state", "host", "since"),
    [
        (12, "active", "hv1", 10),
        (25, "migrating", "hv1", 10),
        (30, "leaving", "hv2", 30),
        (45, "quarantined", "hv2", 30),
        (55, "leaving", "hv2", 30),
    ],
)
def test_where_a_vm_was_and_since_when(story: Story, second: int, state: str, host: str, since: int) -> None:
    said = document(story, "where", "acme/web1", "--at", at(second))
    assert (said["state"], said["place"]["host"]) == (state, host)
    assert said["since"] == f"1970-01-01T00:00:{since:02}.000000Z"


def test_of_a_time_before_the_first_record_the_journal_says_that_it_knows_nothing(story: Story) -> None:
    assert "knows nothing" in ask(story, "where", "acme/web1", "--at", at(5), code=1)
    assert "nothing of it" in ask(story, "history", "acme/nobody", code=1)


def test_the_history_of_a_vm_names_every_step_and_its_cause(story: Story) -> None:
    lines = ask(story, "history", "acme/web1").splitlines()
    kinds = [line.split()[2] for line in lines]
    assert kinds[0] == "created"
    assert kinds.index("moved") < kinds.index("quarantined") < kinds.index("released")
    quarantined = next(line for line in lines if " quarantined " in line)
    assert "odd traffic" in quarantined
    assert "[root by command (process 7)]" in quarantined
    assert "announcement (rarp) at hv2/br-int" in next(line for line in lines if " moved " in line)


def test_records_are_filtered_by_vm_host_tenant_kind_and_time(story: Story) -> None:
    def found(*words: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in ask(story, "journal", "--output", "json", *words).splitlines()]

    assert {one["endpoint"] for one in found("--vm", "acme/db1")} == {"acme/db1"}
    assert {one["host"] for one in found("--host", "hv1")} == {"hv1"}
    assert {one["tenant"] for one in found("--tenant", "acme")} == {"acme"}
    assert [one["kind"] for one in found("--kind", "moved", "--kind", "released")] == ["moved", "released"]
    timed = found("--since", at(40), "--until", at(50))
    assert {one["time"][17:19] for one in timed} == {"40", "50"}
    newest = found("--last", "2")
    assert [one["record"] for one in newest] == [one["record"] for one in found()][-2:]


def test_reach_answers_by_the_policy_of_that_time(story: Story) -> None:
    then = document(story, "reach", "acme/web1", "--at", at(35))
    out = [one for one in then["reach"] if one["direction"] == "out"]
    assert [(one["services"], one["rule"], one["at"]) for one in out] == [
        (["tcp/5432"], "acme/application/app-db", "acme.yaml:10")
    ]
    assert [(one["peer"], one["state"]) for one in out[0]["peers"]] == [
        ("acme/db1", "active"),
        ("acme/db2", "unknown"),
    ]
    (incoming,) = (one for one in then["reach"] if one["direction"] == "in")
    assert [one["peer"] for one in incoming["peers"]] == ["198.51.100.0/24"]
    assert incoming["services"] == ["ping", "tcp/22"]
    later = document(story, "reach", "acme/web1", "--at", "1970-01-01 00:01:01")
    assert [one["services"] for one in later["reach"] if one["direction"] == "out"] == [["tcp/3306"]]
    assert then["policy"]["configuration"] != later["policy"]["configuration"]


def test_an_isolated_vm_could_reach_nobody_whatever_the_rules_said(story: Story) -> None:
    assert document(story, "reach", "acme/web1", "--at", at(45))["reach"] == []
    assert "odd traffic" in ask(story, "reach", "acme/web1", "--at", at(45))


def test_reach_of_a_time_before_any_policy_is_refused_with_the_reason(story: Story) -> None:
    result = CliRunner().invoke(
        build_app(), ["reach", "acme/web1", "--at", "1969-01-01", "--journal", str(story.path)]
    )
    assert isinstance(result.exception, ZonewallError)
    assert "no configuration from that time" in str(result.exception)


def test_an_untouched_journal_is_verified_against_an_end_noted_elsewhere(story: Story) -> None:
    said = document(story, "journal", "verify")
    assert (said["breaks"], said["gaps"]) == ([], 0)
    assert f"the end is {said['head']}" in ask(story, "journal", "verify", "--expect", said["head"])
    story.configure(ACME, 70)
    ask(story, "journal", "verify", "--expect", said["head"])


def tamper(story: Story, statement: str) -> None:
    connection = sqlite3.connect(story.path)
    for table in ("records", "texts"):
        for act in ("UPDATE", "DELETE"):
            connection.execute(f"DROP TRIGGER {table}_{act}")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_changed_record_is_named(story: Story) -> None:
    tamper(story, "UPDATE records SET host = 'hv9' WHERE kind = 'moved'")
    assert "it was changed" in ask(story, "journal", "verify", code=1)


def test_a_removed_record_is_missed(story: Story) -> None:
    tamper(story, "DELETE FROM records WHERE kind = 'moved'")
    assert "missing" in ask(story, "journal", "verify", code=1)


def test_a_removed_end_is_missed_by_whoever_noted_it_elsewhere(story: Story) -> None:
    head = document(story, "journal", "verify")["head"]
    tamper(story, "DELETE FROM records WHERE kind = 'policy' AND at_us > 50000000")
    ask(story, "journal", "verify")
    assert "is not there" in ask(story, "journal", "verify", "--expect", head, code=1)


def test_a_document_that_was_removed_is_missed(story: Story) -> None:
    tamper(story, "DELETE FROM texts")
    assert "missing or was changed" in ask(story, "journal", "verify", code=1)


def test_creations_and_deletions_of_endpoints_are_recorded_once(story: Story) -> None:
    records = [json.loads(line) for line in ask(story, "journal", "--output", "json").splitlines()]
    created = [one["endpoint"] for one in records if one["kind"] == "created"]
    assert created == ["acme/db1", "acme/db2", "acme/web1"]
    again = Recorder(story)
    again.started(story.journal.present())
    inventory = INVENTORY.replace("db2", "db3")
    texts = {"inventory.yaml": inventory.encode(), "acme.yaml": ACME.encode()}
    configuration = load_texts(texts).configuration
    assert configuration is not None
    again.configured(configuration, texts, "controller started")
    newest = ask(story, "journal", "--last", "2", "--output", "json").splitlines()
    assert [(one["kind"], one["endpoint"]) for one in map(json.loads, newest)] == [
        ("deleted", "acme/db2"),
        ("created", "acme/db3"),
    ]


def test_forged_announcements_are_recorded_once_and_then_counted(story: Story) -> None:
    story.announce(52, "hv1", 5)
    before = len(ask(story, "journal").splitlines())
    for _ in range(1000):
        story.announce(53, "hv2", 99)
    assert len(ask(story, "journal").splitlines()) == before + 1
    story.recorder.stopped()
    counted = json.loads(ask(story, "journal", "--kind", "disbelieved", "--last", "1", "--output", "json"))
    assert counted["details"]["times"] == 999


def test_reach_knows_the_addresses_that_were_learnt_at_that_time_and_not_later(story: Story) -> None:
    inventory = INVENTORY.replace("ips: [10.0.0.1], ", "")
    texts = {"inventory.yaml": inventory.encode(), "acme.yaml": ACME.encode()}
    configuration = load_texts(texts).configuration
    assert configuration is not None
    story.at = 70
    story.recorder.configured(configuration, texts, "documents")
    for second, state in ((80, "learnt"), (90, "gone")):
        story.at = second
        story.recorder.note(
            Kind.ADDRESS, "DHCP", endpoint="acme/web1", address="10.0.0.9", source="dhcp", state=state
        )

    def out(second: int) -> list[Any]:
        found = document(story, "reach", "acme/web1", "--at", f"1970-01-01 00:01:{second - 60}")
        return [one["services"] for one in found["reach"] if one["direction"] == "out"]

    assert [out(75), out(85), out(95)] == [[], [["tcp/5432"]], []]


def test_follow_shows_what_is_written_from_now_on(story: Story) -> None:
    words = [str(Path(sys.executable).with_name("zonewall")), "journal", "--follow", "--kind", "admin"]
    following = subprocess.Popen([*words, "--journal", str(story.path)], stdout=subprocess.PIPE, text=True)
    assert following.stdout is not None
    try:
        seen: list[str] = []
        reader = threading.Thread(target=lambda: seen.append(following.stdout.readline()))  # type: ignore[union-attr]
        reader.start()
        deadline = time.monotonic() + 20
        while not seen and time.monotonic() < deadline:
            story.recorder.note(Kind.ADMIN, "root", action="look")
            time.sleep(0.2)
        assert "action=look" in seen[0]
    finally:
        following.terminate()
        following.wait()
        reader.join()
        following.stdout.close()


def test_a_terminal_is_not_tricked_by_what_a_host_says(story: Story) -> None:
    story.recorder.note(Kind.HOST, "peer \x1b[2J\n", host="hv1", reason="\x1b]0;owned\x07")
    assert "\x1b" not in ask(story, "journal")


def test_the_journal_of_a_folder_without_one_is_refused_with_what_to_do(tmp_path: Path) -> None:
    result = CliRunner().invoke(build_app(), ["journal", "--state", str(tmp_path)])
    assert isinstance(result.exception, ZonewallError)
    assert "--state" in str(result.exception)
