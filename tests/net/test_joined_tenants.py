"""Between tenants that agreed: one word ends it on every bridge; what is kept lives on, also after a move."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from topologies.lab import Lab

from support.cut_records import cut_connections, wait_for_cuts
from support.packets import build
from support.raw_probes import ip_packet, send
from support.shop import SERVICES, nothing_leaked, pairs_of, since, wait_until_all_is_back
from support.site import Site
from support.traffic import LONG_PORT, SHORT_PORT, UDP_PORT, Traffic

pytestmark = [
    pytest.mark.net,
    pytest.mark.timeout(300),
    # The traffic's process is forked; nothing of eventlet, which python-ovs imports, is used in it.
    pytest.mark.filterwarnings("ignore:Using fork:DeprecationWarning"),
]
MACHINES = {
    "blue-client": ("hv1", 1, "app"),
    "acme-far": ("hv2", 2, "db"),
    "acme-near": ("hv1", 3, "db"),
    "blue-beside": ("hv2", 4, "app"),
    "acme-there": ("hv2", 5, "db"),
    "blue-stranger": ("hv1", 6, "other"),
}
PAIRS = (("blue-client", "acme-far", 4), ("blue-client", "acme-near", 6), ("blue-beside", "acme-there", 4))
"""Over both hosts, and on each of them alone."""
QUIET_S, PATIENCE_S = 0.5, 30.0


def rule(source: str, to: str, **keys: Any) -> dict[str, Any]:
    return {"name": "let", "from": source, "to": to, "services": SERVICES, "action": "allow"} | keys


ASKED, ASKS = rule("any", "db"), rule("app", "their-db")


def acme(*rules: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """Return the policy of the tenant that is asked; ``export=[]`` takes back what it exports."""
    tier = {"name": "t", "rules": list(rules)}
    zones = {"db": {"labels": {"role": "db"}}}
    export = [{"zone": "db", "to": ["blue"]}]
    return {"kind": "tenant", "tenant": "acme", "zones": zones, "tiers": [tier], "export": export, **keys}


def blue(*rules: dict[str, Any]) -> dict[str, Any]:
    """Return the policy of the tenant that asks."""
    tier = {"name": "t", "rules": list(rules)}
    zones = {"app": {"labels": {"role": "app"}}}
    imported = [{"zone": "acme/db", "as": "their-db"}]
    return {"kind": "tenant", "tenant": "blue", "zones": zones, "tiers": [tier], "import": imported}


@pytest.fixture
def site() -> Iterator[Site]:
    """Two hosts, each with machines of both tenants, which may speak with each other."""
    with Lab() as lab:
        site = Site(lab)
        site.hosts = {name: lab.host(name) for name in ("hv1", "hv2")}
        lab.link(*site.hosts.values())
        ends = []
        for name, (_, n, role) in MACHINES.items():
            tenant, _, short = name.partition("-")
            said = {"name": short, "tenant": tenant, "iface-id": name, "mac": f"52:54:00:00:00:0{n}"}
            ends.append(said | {"ips": [f"10.0.0.{n}", f"fd00::{n}"], "labels": {"role": role}})
        inventory = {"kind": "inventory", "hosts": lab.inventory_hosts(), "endpoints": ends}
        site.put(inventory=inventory, acme=acme(ASKED), blue=blue(ASKS))
        site.start()
        site.join(*site.hosts.values())
        for name, (where, n, _) in MACHINES.items():
            site.machine(name, where, f"52:54:00:00:00:0{n}", f"10.0.0.{n}/24", f"fd00::{n}/64")
        site.wait_for(lambda status: len(status["links"]) == 1 and site.is_settled(status))
        yield site


def cut_by(site: Site, run: Traffic, **documents: object) -> None:
    """Save documents, and wait until nothing passes on any way; then give back what both allowed."""
    saved = time.monotonic()
    assert all(since(times, saved - PATIENCE_S, saved) for times in run.so_far().ways())
    site.change(**documents)
    in_force = time.monotonic()
    last = max(map(max, run.so_far().ways()))
    while time.monotonic() - last < QUIET_S:
        assert time.monotonic() - in_force < PATIENCE_S, "it goes on"
        time.sleep(QUIET_S / 5)
        last = max(map(max, run.so_far().ways()))
    print(f"\n{', '.join(documents)}: cut {(last - saved) * 1000:.0f} ms after it was saved")
    time.sleep(QUIET_S)
    assert not any(since(times, last) for times in run.so_far().ways()), "and it stays so"
    given_back = time.monotonic()
    site.change(acme=acme(ASKED), blue=blue(ASKS))
    wait_until_all_is_back(run, given_back)


def test_what_two_tenants_agreed_on_under_traffic(site: Site) -> None:
    with Traffic(pairs_of(site, PAIRS), site.machines["blue-stranger"]) as run:
        cut_by(site, run, acme=acme(rule("any", "db", action="drop")))
        told = wait_for_cuts(site, len(PAIRS), is_transfer)
        assert sorted(map(endpoints, told)) == sorted(
            (client.replace("-", "/"), server.replace("-", "/")) for client, server, _ in PAIRS
        )
        assert {(one["rule"], one["by"]) for one in told} == {("acme/t/let",) * 2}

        cut_by(site, run, acme=acme(ASKED, export=[]))

        site.change(acme=acme(rule("any", "db", **{"on-change": "keep"})))
        assert unanswered_arrives(site)
        told_before = len(lasting(site))
        site.change(acme=acme())
        wait_until_all_is_back(run, time.monotonic())
        until_none_begins(run)
        wait_until_all_is_back(run, time.monotonic())
        assert unanswered_arrives(site)
        assert len(lasting(site)) == told_before
        cut_by(site, run, blue=blue())

        moves(site, run, "acme-far", "hv1")
        moves(site, run, "blue-client", "hv2")
    print(run.report)
    assert set(run.report.transfers_broken.values()) == {""}
    nothing_leaked(run.report)


def unanswered_arrives(site: Site) -> bool:
    """Send a datagram of a stream that nobody answers, and say whether it came out at the other end."""
    client, far = site.machines["blue-client"], site.machines["acme-far"]
    frame = build(ip_packet(client, far, "udp", UDP_PORT, sport=40000))
    with far.capture() as capture:
        send(client, [frame])
        return capture.wait_for(lambda arrived: arrived == frame) is not None


def until_none_begins(run: Traffic) -> None:
    """Wait until no short connection has come to its end for a while."""
    deadline, known, since_s = time.monotonic() + PATIENCE_S, -1, 0.0
    while time.monotonic() - since_s < QUIET_S:
        if known != (now := len(run.so_far().short)):
            known, since_s = now, time.monotonic()
        assert time.monotonic() < deadline, "connections go on to begin"
        time.sleep(QUIET_S / 5)


def lasting(site: Site) -> list[dict[str, Any]]:
    """Return the cuts of all but short connections: one of those may have begun on one bridge alone."""
    return [one for one in cut_connections(site) if one["destination"]["service"] != SHORT_PORT]


def endpoints(cut: dict[str, Any]) -> tuple[str, str]:
    """Return between whom it was."""
    return cut["source"]["endpoint"], cut["destination"]["endpoint"]


def is_transfer(cut: dict[str, Any]) -> bool:
    """Say whether it is the long transfer, whose server listens on a port of its own."""
    return (cut["protocol"], cut["destination"]["service"]) == ("tcp", LONG_PORT)


def moves(site: Site, run: Traffic, name: str, host: str) -> None:
    """Move a machine, and wait until all that was open goes on."""
    machine, to = site.machines[name], site.hosts[host]
    assert machine.at is not None
    key, origin = name.replace("-", "/"), machine.at.short_name

    def has(places: dict[str, str]) -> None:
        wanted = {f"{where}/br-int": state for where, state in places.items()}
        site.wait_for(lambda status: site.places(key) == wanted and site.is_settled(status))

    machine.migrate(to, copy_s=0, ready=lambda: has({origin: "active", host: "pending"}), linger_s=0.3)
    has({host: "active"})
    wait_until_all_is_back(run, time.monotonic())
