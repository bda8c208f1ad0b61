"""Documents change under a running controller: applied whole, without a restart, or refused with a place."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from topologies.probes import probe_tcp

from support.demo_site import SharedSite, acme, blue
from support.live_stream import is_cut, live
from support.raw_probes import Knock, arrived, outcome

pytestmark = pytest.mark.net
OPEN = {"name": "open", "from": "any", "to": "db", "services": ["tcp/7000"], "action": "allow"}


@pytest.fixture(autouse=True)
def _as_it_was(site: SharedSite) -> Iterator[None]:
    yield
    site.change(acme=acme(), blue=blue(), extra=None)


def open_port(site: SharedSite, port: int, family: int = 4) -> bool:
    web, db = site.machines["acme-web1"], site.machines["acme-db1"]
    return outcome([Knock(web, db, "tcp", port, family)]) == [True]


def test_a_saved_change_is_in_force_without_a_restart(site: SharedSite) -> None:
    pid = site.controller.pid if site.controller else 0
    assert not open_port(site, 7000)
    site.change(acme=acme(OPEN))
    assert open_port(site, 7000)
    assert open_port(site, 7000, 6)
    site.change(acme=acme())
    assert not open_port(site, 7000)
    assert site.controller is not None
    assert site.controller.pid == pid
    assert site.controller.running()


def test_a_change_of_several_documents_is_applied_whole(site: SharedSite) -> None:
    """A zone in one document, who is in it in another: both, though they are saved one by one."""
    guest = {"name": "guest", "tenant": "acme", "iface-id": "acme-guest", "mac": "52:54:00:00:00:7e"}
    extra = {"kind": "inventory", "endpoints": [{**guest, "ips": ["10.0.0.126"]}]}
    needs = acme(
        OPEN, {"name": "guest", "from": "guest", "to": "db", "services": ["tcp/1"], "action": "allow"}
    )
    needs["zones"]["guest"] = {"endpoints": ["guest"]}
    before = site.status()["configuration"]["revision"]
    status = site.change(acme=needs, extra=extra)
    assert "acme/guest" in {one["endpoint"] for one in status["endpoints"]}
    assert status["configuration"]["revision"] == before + 1
    assert open_port(site, 7000)


NOBODY = """kind: tenant
tenant: acme
tiers:
  - name: t
    rules:
      - {name: r, from: nobody, to: any, action: allow}
"""


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("kind: tenant\ntenant: acme\nzones: {db: {label: {role: db}}}\n", "3:14", "labels"),
        (NOBODY, "6:", "nobody"),
        ("kind: tenant\ntenant: acme\ndefault: maybe\n", "3:10", "drop"),
        ("kind: tenant\ntenant: acme\nzones: [\n", "4:1", ""),
    ],
    ids=["unknown key", "unknown zone", "wrong word", "no YAML"],
)  # fmt: skip
def test_an_invalid_document_changes_nothing_and_is_reported_with_its_place(
    site: SharedSite, text: str, place: str, words: str
) -> None:
    site.change(acme=acme(OPEN))
    site.rest()
    flows = [host.dump_flows() for host in site.hosts.values()]
    site.put(acme=text, blue={**blue(), "tiers": []})
    status = site.wait_for(lambda now: now["configuration"]["refused"])

    first = status["configuration"]["refused"].splitlines()[0]
    assert first.startswith(f"acme.yaml:{place}")
    assert words in first
    assert first in site.log()
    time.sleep(0.3)
    assert [host.dump_flows() for host in site.hosts.values()] == flows
    assert open_port(site, 7000)
    app1, app2 = site.machines["blue-app1"], site.machines["blue-app2"]
    assert arrived(app1, app2, [Knock(app1, app2, "tcp", 9000).frame()]) == [True]


def test_a_corrected_document_is_applied_and_the_refusal_forgotten(site: SharedSite) -> None:
    site.put(acme="kind: tenant\n")
    site.wait_for(lambda now: now["configuration"]["refused"])
    told = site.command("status", "--state", str(site.state))
    assert told.returncode == 1
    assert "acme.yaml:1:1: " in told.stdout.replace("\n", "")
    status = site.change(acme=acme(OPEN))
    assert status["configuration"]["refused"] is None
    assert open_port(site, 7000)


def test_a_document_that_is_saved_unchanged_sends_nothing(site: SharedSite) -> None:
    before = [one["changes_applied"] for one in site.rest()["bridges"]]
    status = site.change(acme=acme())
    assert [one["changes_applied"] for one in status["bridges"]] == before


def test_a_change_elsewhere_in_the_policy_disturbs_no_connection(site: SharedSite) -> None:
    with live(site, "acme-batch1", "acme-web2", 8000) as stream:
        for _ in range(3):
            site.change(acme=acme(OPEN))
            site.change(acme=acme())
            assert stream.goes_on()
        gap = stream.stop()
    assert gap.broken == ""
    assert gap.lost == 0


def test_a_rule_that_goes_takes_its_connections_along(site: SharedSite) -> None:
    site.change(acme=acme(OPEN))
    with live(site, "acme-web1", "acme-db1", 7000) as stream:
        site.change(acme=acme())
        assert is_cut(stream)
        site.change(acme=acme(OPEN))  # and it comes back to life where it is allowed again
        assert stream.goes_on()
    assert stream.stop().broken == ""


# zonewall status


def test_status_is_0_when_all_is_in_force_in_words_and_as_json(site: SharedSite) -> None:
    text = site.command("status", "--state", str(site.state))
    assert text.returncode == 0, text.stdout + text.stderr
    for word in ("hv1/br-int", "hv2/br-int", "in-force", "acme/web1", "connected", "link "):
        assert word in text.stdout
    said = site.command("status", "--state", str(site.state), "--output", "json")
    assert said.returncode == 0
    document = json.loads(said.stdout)
    assert {one["bridge"] for one in document["bridges"]} == {"hv1/br-int", "hv2/br-int"}
    assert {one["state"] for one in document["bridges"]} == {"in-force"}
    assert {one["database"] for one in document["hosts"]} == {"connected"}


def test_status_is_1_while_a_bridge_is_away(site: SharedSite) -> None:
    hv2 = site.hosts["hv2"]
    # To another port: a bridge whose last controller is deleted drops all its flows by itself.
    hv2.set_controller(f"tcp:{site.lab.controller_address}:1")
    try:
        site.wait_for(lambda now: now["bridges"][1]["state"] == "away")
        assert site.command("status", "--state", str(site.state)).returncode == 1
        # It goes on enforcing what it has, and is given what it missed when it is back.
        assert probe_tcp(site.machines["acme-web1"], "10.0.0.3", 7000, 0.3) == "drop"
        before = site.status()["configuration"]["revision"]
        site.put(acme=acme(OPEN))
        site.wait_for(lambda now: now["configuration"]["revision"] > before)
        assert not open_port(site, 7000)
    finally:
        site.join(hv2)
    site.settle()
    assert open_port(site, 7000)


def test_status_is_2_for_options_that_cannot_be_read_and_3_without_a_controller(site: SharedSite) -> None:
    nobody = site.command("status", "--state", str(site.folder / "nobody"))
    assert nobody.returncode == 3
    assert "zonewall run" in nobody.stderr
    options = site.folder / "bad.yaml"
    options.write_text("openflaw: [tcp:127.0.0.1:6653]\n")
    unusable = site.command("status", "--options", str(options))
    assert unusable.returncode == 2
    assert "openflaw" in unusable.stderr
