"""Endpoints by command: a machine that runs already is described, policy applies to it, it is forgotten."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest
from topologies.lab import Machine

from support.demo_site import SharedSite
from support.raw_probes import Knock, arrived, captures, mark
from support.site import places_in

pytestmark = pytest.mark.net


@pytest.fixture
def late(site: SharedSite) -> Iterator[Machine]:
    """A machine on hv1 that nobody has described."""
    known = next((one for one in site.status()["endpoints"] if one["endpoint"] == "acme/late"), None)
    assert known is None
    machine = site.lab.machine("late", "52:54:00:00:00:7d", ("10.0.0.125/24",))
    machine.plug(site.hosts["hv1"])
    yield machine
    machine.unplug(site.hosts["hv1"])


def tell(site: SharedSite, *words: str, code: int = 0, stdin: str = "") -> str:
    done = site.command("endpoint", *words, "--state", str(site.state), stdin=stdin)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def is_unknown(site: SharedSite) -> bool:
    return any(one["port"].endswith("/late") for one in site.status()["unknown_ports"])


def test_a_machine_that_is_described_after_it_appeared_is_picked_up_and_outlasts_the_controller(
    site: SharedSite, late: Machine
) -> None:
    site.wait_for(lambda _: is_unknown(site))
    words = ("--mac", late.mac, "--iface-id", "late", "--ip", "10.0.0.125", "--label", "role=web")
    assert "acme/late added (journal record " in tell(site, "add", "acme/late", *words)
    active = {"hv1/br-int": "active"}
    site.wait_for(lambda status: places_in(status, "acme/late") == active and site.is_settled(status))
    peer = site.machines["acme-web2"]
    with captures(late) as caught:
        mark(peer, late, caught[late.short_name])
    assert arrived(peer, late, [Knock(peer, late, "tcp", 80).frame()]) == [True]
    assert arrived(peer, late, [Knock(peer, late, "tcp", 22).frame()]) == [False]
    site.restart(signal.SIGKILL)
    site.wait_for(lambda status: places_in(status, "acme/late") == active and site.is_settled(status))
    listed = json.loads(tell(site, "list", "--show", "added", "--output", "json"))
    assert [(one["endpoint"], one["at"]) for one in listed] == [("acme/late", "(added by command):3")]
    done = site.command("plan", str(site.directory), "--state", str(site.state), "--output", "json")
    assert json.loads(done.stdout)["endpoints"] == {"added": [], "removed": []}
    tell(site, "remove", "acme/late")
    site.wait_for(lambda _: is_unknown(site))
    seen = site.command("journal", "--vm", "acme/late", "--output", "json", "--state", str(site.state)).stdout
    kinds = [json.loads(line)["kind"] for line in seen.splitlines()]
    assert [kind for kind in kinds if kind in ("created", "admin", "deleted")] == [
        "created", "admin", "deleted", "admin",
    ]  # fmt: skip
    assert site.command("journal", "verify", "--state", str(site.state)).returncode == 0


def test_several_are_added_from_a_file_or_none(site: SharedSite) -> None:
    one = {"name": "f1", "tenant": "acme", "mac": "52:54:00:00:01:01", "port": {"name": "tap900i0"}}
    two = {"name": "f2", "tenant": "acme", "mac": "52:54:00:00:01:02", "iface-id": "acme-web1"}
    said = json.dumps({"kind": "inventory", "endpoints": [one, two]})
    refused = tell(site, "add", "--file", "-", stdin=said, code=2)
    assert "iface-id 'acme-web1' is acme/web1's already; give each endpoint its own" in refused
    assert not any(row["endpoint"] == "acme/f1" for row in site.status()["endpoints"])
    said = json.dumps({"kind": "inventory", "endpoints": [one, {**two, "iface-id": "f2"}]})
    assert "acme/f1, acme/f2 added" in tell(site, "add", "--file", "-", stdin=said)
    tell(site, "remove", "acme/f1", "acme/f2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("add",), "say one endpoint, tenant/name, or --file"),
        (("add", "acme/x", "--mac", "52:54:00:00:01:03"), "say how its port is known"),
        (("add", "acme/x", "--mac", "nonsense", "--iface-id", "x"), "nonsense"),
        (("add", "acme/x", "--label", "role"), "write KEY=VALUE"),
        (("add", "acme/x", "--port", "hv1/tap1"), "write NAME, or HOST/BRIDGE/NAME"),
        (("add", "--file", "/nowhere.yaml"), "/nowhere.yaml: No such file"),
        (("remove", "acme/web1"), "is in the documents, at inventory.yaml:"),
        (("remove", "acme/nobody"), "`zonewall endpoint list` names them"),
    ],
)
def test_what_will_not_do_is_refused_in_one_line(
    site: SharedSite, words: tuple[str, ...], message: str
) -> None:
    said = tell(site, *words, code=2)
    assert message in said
    assert said.startswith("zonewall: ")
    assert len(said.splitlines()) == 1
