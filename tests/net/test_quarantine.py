"""Isolation on real bridges: what an isolated machine can reach, what is cut, what release restores."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from topologies.frames import rarp
from topologies.probes import ALLOWED_S, EchoServer, probe_ping, probe_tcp

from support.asked import Status
from support.cut_records import wait_for_cuts
from support.demo_site import SharedSite, acme, inventory
from support.live_stream import is_cut, live
from support.raw_probes import Knock, captures, mark, send

pytestmark = [pytest.mark.net, pytest.mark.usefixtures("web1_moves")]
PROVIDER = {"kind": "provider", "remediation": "acme/fix"}


def state_of(site: SharedSite, endpoint: str, host: str) -> str:
    return state_in(site.status(), endpoint, host)


def state_in(status: Status, endpoint: str, host: str) -> str:
    known = [one for one in status["endpoints"] if one["endpoint"] == endpoint]
    states = {place["bridge"]: place["state"] for one in known for place in one["places"]}
    return str(states.get(f"{host}/br-int", "absent"))


@pytest.fixture
def remediation(site: SharedSite) -> Iterator[None]:
    """The provider lets isolated machines reach acme/db2; its service answers."""
    document = acme()
    document["zones"]["fix"] = {"endpoints": ["db2"]}
    document["tiers"][0]["rules"].insert(
        1, {"name": "fix", "from": "any", "to": "fix", "services": ["tcp/8888"], "action": "allow"}
    )
    site.change(provider=PROVIDER, acme=document)
    server = EchoServer(site.machines["acme-db2"], (8888,))
    server.start()
    yield
    server.stop()
    site.change(provider=None, acme=acme())


def is_of_web1(told: dict[str, Any]) -> bool:
    """Say whether a connection was cut because acme/web1 is isolated."""
    return bool(told.get("isolated") == ["acme/web1"])


def test_by_hand_live_connections_are_cut_only_remediation_is_reached_and_release_restores_them(
    site: SharedSite, remediation: None
) -> None:
    web = site.machines["acme-web1"]
    before = wait_for_cuts(site, 0, is_of_web1, "--vm", "acme/web1")
    with (
        live(site, "acme-batch1", "acme-web1", 8000) as local,
        live(site, "acme-web2", "acme-web1", 8001) as far,
    ):
        assert local.goes_on()
        assert far.goes_on()
        words = ("--state", str(site.state), "--output", "json")
        done = site.command("quarantine", "acme/web1", "--reason", "odd traffic", *words)
        assert done.returncode == 0, done.stderr
        assert is_cut(local)
        assert is_cut(far)
        told = wait_for_cuts(site, len(before) + 2, is_of_web1, "--vm", "acme/web1")
        here = [one for one in told if one not in before]
        ends = sorted((one["source"]["endpoint"], one["destination"]["service"]) for one in here)
        assert ends == [("acme/batch1", 8000), ("acme/web2", 8001)]
        assert state_of(site, "acme/web1", "hv1") == "quarantined"
        assert probe_ping(site.machines["acme-batch1"], "10.0.0.1") == "drop"
        assert probe_tcp(web, "10.0.0.2", 80, 0.3) == "drop"
        assert probe_tcp(web, "10.0.0.5", 8888, ALLOWED_S) == "allow"
        done = site.command("release", "acme/web1", *words)
        assert done.returncode == 0, done.stderr
        assert local.goes_on()
        assert far.goes_on()
    kinds = [
        (one["kind"], one["cause"].split()[0]) for one in site.journal("--vm", "acme/web1", "--last", "8")
    ]
    assert ("quarantined", "root") in kinds
    assert ("released", "root") in kinds


def test_an_isolation_that_cannot_be_written_down_is_in_force_told_and_written_down_once_it_can_be(
    site: SharedSite,
) -> None:
    words, places = ("acme/web1", "--state", str(site.state)), site.state / "places.json"
    written = places.rename(places.with_name("places.before"))
    (places / "in-the-way").mkdir(parents=True)
    try:
        done = site.command("quarantine", *words)
        assert done.returncode == 0, done.stderr
        assert "it is done, but not on disk yet: " in done.stderr
        assert state_of(site, "acme/web1", "hv1") == "quarantined"
        shown = site.command("status", "--state", str(site.state))
        assert shown.returncode == 1
        assert "not written: " in shown.stdout
    finally:
        (places / "in-the-way").rmdir()
        places.rmdir()
    site.wait_for(lambda status: not status["not_written"])
    assert "acme/web1" in str(json.loads(places.read_text())["holds"])
    assert site.command("release", *words).returncode == 0
    assert json.loads(places.read_text())["holds"] == json.loads(written.read_text())["holds"]
    written.unlink()


def test_an_isolated_router_no_longer_receives_what_others_send_through_it(site: SharedSite) -> None:
    web, router, beside = (site.machines[f"acme-{name}"] for name in ("web2", "batch1", "web1"))
    routing = inventory(site)
    next(one for one in routing["endpoints"] if one["name"] == "batch1")["roles"] = ["router"]
    site.change(inventory=routing)
    words = ("acme/batch1", "--state", str(site.state))

    def through() -> bool:
        """Send a frame to web1's address by the router's MAC, and say whether the router gets it."""
        knock = Knock(web, beside, "tcp", 80).frame()
        frame = bytes.fromhex(router.mac.replace(":", "")) + knock[6:]
        with captures(router, beside) as caught:
            send(web, [frame])
            mark(web, beside, caught[beside.short_name])
            return frame in caught[router.short_name].drain()

    try:
        assert through()
        assert site.command("quarantine", *words).returncode == 0
        assert not through()
        assert site.command("release", *words).returncode == 0
        assert through()
    finally:
        site.change(inventory=inventory(site))


def test_a_machine_on_a_host_that_its_zone_no_longer_trusts_is_cut_until_it_does(site: SharedSite) -> None:
    document = acme()
    document["zones"]["db"]["hosts"] = {"trust": "high"}
    trusted, distrusted = inventory(site), inventory(site)
    for name in ("hv1", "hv2"):
        trusted["hosts"][name]["trust"] = "high"
    distrusted["hosts"] = {
        "hv1": trusted["hosts"]["hv1"],
        "hv2": {**trusted["hosts"]["hv2"], "trust": "low"},
    }
    site.change(acme=document, inventory=trusted)
    try:
        with live(site, "acme-web1", "acme-db1", 5432) as stream:
            assert stream.goes_on()
            site.put(inventory=distrusted)
            site.wait_for(lambda now: state_in(now, "acme/db1", "hv2") == "quarantined")
            assert is_cut(stream)
            assert state_of(site, "acme/db2", "hv1") == "active"
            assert state_of(site, "acme/web2", "hv2") == "active"
            site.put(inventory=trusted)
            site.wait_for(lambda now: state_in(now, "acme/db1", "hv2") == "active")
            assert stream.goes_on()
    finally:
        site.change(acme=acme(), inventory=inventory(site))


def test_a_first_boot_speaks_to_nobody_until_it_is_described(site: SharedSite) -> None:
    hv1 = site.hosts["hv1"]
    new = site.lab.machine("new1", "52:54:00:00:00:77", ("10.0.0.77/24",))
    new.plug(hv1, iface_id="acme-new1")
    peer = site.machines["acme-web2"]
    port = "hv1/br-int/new1"
    site.wait_for(lambda status: any(one["port"] == port for one in status["unknown_ports"]))
    assert [one["host"] for one in site.journal("--kind", "unknown-port", "--last", "1")] == ["hv1"]
    knock = Knock(new, peer, "udp", 5000)
    with captures(peer) as caught:
        send(new, [rarp(new.mac), knock.frame()])
        mark(site.machines["acme-db1"], peer, caught[peer.short_name])
        mac = bytes.fromhex(new.mac.replace(":", ""))
        assert [frame for frame in caught[peer.short_name].drain() if frame[6:12] == mac] == []
    described = inventory(site)
    described["endpoints"].append(
        {"name": "new1", "tenant": "acme", "iface-id": "acme-new1", "mac": new.mac, "ips": ["10.0.0.77"],
         "labels": {"role": "web"}}
    )  # fmt: skip
    site.put(inventory=described)
    site.wait_for(lambda now: state_in(now, "acme/new1", "hv1") == "active")
    with captures(peer) as caught:
        mark(new, peer, caught[peer.short_name])
    new.unplug(hv1)
    site.change(inventory=inventory(site))


def test_a_clone_with_the_same_interface_is_refused_and_the_elder_goes_on(site: SharedSite) -> None:
    hv2, elder = site.hosts["hv2"], site.machines["acme-web1"]
    clone = site.lab.machine("clone1", elder.mac, ("10.0.0.1/24",))
    with live(site, "acme-batch1", "acme-web1", 8000) as stream:
        clone.plug(hv2, iface_id="acme-web1", vm_id="another-vm")
        site.wait_for(lambda now: state_in(now, "acme/web1", "hv2") == "leaving")
        clone.announce(hv2, "rarp", (0.0, 0.05, 0.2)).join()
        assert stream.goes_on()
        assert state_of(site, "acme/web1", "hv1") == "active"
        assert probe_tcp(clone, "10.0.0.2", 80, 0.3) == "drop"
        assert stream.goes_on()
    clone.unplug(hv2)
    site.wait_for(lambda _: site.places("acme/web1") == {"hv1/br-int": "active"})


def test_a_twin_with_anothers_vm_id_is_cut_until_it_says_its_own_and_the_elder_goes_on(
    site: SharedSite, remediation: None
) -> None:
    hv2, peer = site.hosts["hv2"], site.machines["acme-web2"]
    twin = site.lab.machine("twin1", "52:54:00:00:00:79", ("10.0.0.79/24",))
    described = inventory(site)
    described["endpoints"].append(
        {"name": "twin1", "tenant": "acme", "iface-id": "acme-twin1", "mac": twin.mac, "ips": ["10.0.0.79"],
         "labels": {"role": "web"}}
    )  # fmt: skip
    site.put(inventory=described)
    twin.plug(hv2, iface_id="acme-twin1", vm_id="twins-own")
    site.machines["acme-twin1"] = twin
    try:
        site.wait_for(lambda now: state_in(now, "acme/twin1", "hv2") == "active")
        with (
            live(site, "acme-twin1", "acme-db1", 5432) as its_own,
            live(site, "acme-batch1", "acme-web1", 8000) as elders,
        ):
            assert its_own.goes_on()
            hv2.vsctl("set", "interface", "twin1", "external_ids:vm-id=acme-web1")
            status = site.wait_for(lambda now: state_in(now, "acme/twin1", "hv2") == "quarantined")
            known = next(one for one in status["endpoints"] if one["endpoint"] == "acme/twin1")
            assert any("clone" in (place["reason"] or "") for place in known["places"])
            assert is_cut(its_own)
            assert probe_ping(peer, "10.0.0.79") == "drop"
            assert probe_tcp(twin, "10.0.0.5", 8888, ALLOWED_S) == "allow"
            assert elders.goes_on()
            assert state_of(site, "acme/web1", "hv1") == "active"
            hv2.vsctl("set", "interface", "twin1", "external_ids:vm-id=twins-own")
            site.wait_for(lambda now: state_in(now, "acme/twin1", "hv2") == "active")
            assert its_own.goes_on()
    finally:
        del site.machines["acme-twin1"]
        twin.unplug(hv2)
        site.change(inventory=inventory(site))


def test_who_has_the_address_of_a_machine_that_was_just_deleted_is_held_back(
    site: SharedSite, remediation: None
) -> None:
    hv2, mac, ip = site.hosts["hv2"], "52:54:00:00:00:81", "10.0.0.81"

    def described(name: str) -> dict[str, Any]:
        one = {"name": name, "tenant": "acme", "iface-id": f"acme-{name}", "mac": mac, "ips": [ip],
               "labels": {"role": "web"}}  # fmt: skip
        document = inventory(site)
        document["endpoints"].append(one)
        return document

    site.change(inventory=described("elder"))
    elder = site.lab.machine("elder", mac, (f"{ip}/24",))
    elder.plug(hv2, iface_id="acme-elder", vm_id="elder")
    site.wait_for(lambda now: state_in(now, "acme/elder", "hv2") == "active")
    elder.unplug(hv2)
    site.change(inventory=described("heir"))
    heir = site.lab.machine("heir", mac, (f"{ip}/24",))
    heir.plug(hv2, iface_id="acme-heir", vm_id="heir")
    try:
        status = site.wait_for(lambda now: state_in(now, "acme/heir", "hv2") == "quarantined")
        known = next(one for one in status["endpoints"] if one["endpoint"] == "acme/heir")
        assert any("was acme/elder's until lately" in (place["reason"] or "") for place in known["places"])
        assert probe_ping(site.machines["acme-web2"], ip) == "drop"
        assert probe_tcp(heir, "10.0.0.5", 8888, ALLOWED_S) == "allow"
        site.restart()
        status = site.wait_for(lambda now: state_in(now, "acme/heir", "hv2") != "absent")
        assert state_of(site, "acme/heir", "hv2") == "quarantined"
        site.settle()
    finally:
        heir.unplug(hv2)
        site.change(inventory=inventory(site))


def test_two_that_speak_after_a_move_are_both_isolated_until_one_of_them_goes(site: SharedSite) -> None:
    hv1, hv2 = site.hosts.values()
    web = site.machines["acme-web1"]
    with live(site, "acme-batch1", "acme-web1", 8000) as stream:
        web.plug(hv2)
        site.wait_for(lambda now: state_in(now, "acme/web1", "hv2") == "pending" and site.is_settled(now))
        web.hand_over(hv2)
        web.announce(hv2, "rarp", (0.0,))
        site.wait_for(lambda now: state_in(now, "acme/web1", "hv2") == "active")
        assert stream.goes_on()
        time.sleep(2.2)  # later than a straggler of the old place can be
        web.send_at(hv1, [rarp(web.mac)])
        status = site.wait_for(lambda now: state_in(now, "acme/web1", "hv2") == "quarantined")
        place = next(one for one in status["endpoints"] if one["endpoint"] == "acme/web1")["places"]
        assert any("clone" in (one["reason"] or "") for one in place)
        assert is_cut(stream)
        assert probe_tcp(site.machines["acme-batch1"], "10.0.0.1", 80, 0.3) == "drop"
        web.unplug(hv1)
        site.wait_for(lambda _: site.places("acme/web1") == {"hv2/br-int": "active"})
        assert stream.goes_on()
    web.migrate(hv1, copy_s=0, ready=lambda: site.until({"hv1": "pending", "hv2": "active"}), linger_s=0.2)
    site.wait_for(lambda _: site.places("acme/web1") == {"hv1/br-int": "active"})


@pytest.mark.parametrize("way", ["xs-vif-uuid", "port name of Proxmox", "port name of Mininet"])
def test_a_machine_without_iface_id_is_known_by_its_xen_interface_or_its_ports_name(
    site: SharedSite, way: str
) -> None:
    hv1, peer = site.hosts["hv1"], site.machines["acme-web2"]
    name = {"xs-vif-uuid": "xen1", "port name of Proxmox": "tap100i0", "port name of Mininet": "s1-eth7"}[way]
    new = site.lab.machine(name, "52:54:00:00:00:78", ("10.0.0.78/24",))
    described = inventory(site)
    one = {"name": "new2", "tenant": "acme", "mac": new.mac, "ips": ["10.0.0.78"], "labels": {"role": "web"}}
    one |= {"iface-id": "b1f6b0f2"} if way == "xs-vif-uuid" else {"port": {"name": name}}
    described["endpoints"].append(one)
    new.plug(hv1, ids=False)
    site.put(inventory=described)
    if way == "xs-vif-uuid":
        hv1.vsctl("set", "interface", name, "external_ids:xs-vif-uuid=b1f6b0f2")
    site.wait_for(lambda now: state_in(now, "acme/new2", "hv1") == "active")
    with captures(peer) as caught:
        mark(new, peer, caught[peer.short_name])
    new.unplug(hv1)
    site.change(inventory=inventory(site))
