"""An IDS's alert isolates, limits, copies or only tells: on real bridges, within milliseconds."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import pytest
from topologies.lab import Capture
from topologies.machine import CARD
from topologies.probes import EchoServer

from support.raw_probes import address_of
from support.service_frames import eventually, gather, listening, send, transport, udp
from support.service_site import ServiceSite
from support.stand_in_ids import StandIn, alert, write
from zonewall.api.control import tell

pytestmark = pytest.mark.net
ALLOW = {"from": "any", "to": "any", "action": "allow"}
SILENT_S = 0.4
EVERY_S = 0.0005
TIMES_A_COMMAND = 5


def respond(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"respond": [{"name": f"response-{at}", **rule} for at, rule in enumerate(rules)]}


def others(at: int) -> list[dict[str, Any]]:
    """Events that are no alerts, as they stand between them."""
    kinds = ("flow", "dns", "http", "stats", "anomaly", "tls", "fileinfo")
    return [
        {"timestamp": "2026-11-24T13:00:00+00:00", "event_type": kind, "src_ip": "10.0.0.2", "n": at}
        for kind in kinds
    ]


def to_silence_ms(site: ServiceSite, isolate: Callable[[], object]) -> float:
    """Return the milliseconds from what isolates a1 until the last of its packets arrives at b1."""
    a1, b1 = site.machines["a1"], site.machines["b1"]
    frames = [udp(a1, b1, 7777, b"%06d" % number) for number in range(20_000)]
    stop = threading.Event()

    def stream() -> None:
        with a1.socket(socket.AF_PACKET, socket.SOCK_RAW) as card:
            card.bind((CARD, 0))
            for frame in frames:
                if stop.is_set():
                    return
                card.send(frame)
                time.sleep(EVERY_S)

    with listening(b1) as (capture,), ThreadPoolExecutor(2) as threads:
        streaming = threads.submit(stream)
        try:
            eventually(lambda: len(arrived(capture)) > 20)
            begun = last = time.monotonic()
            isolating = threads.submit(isolate)
            seen = len(arrived(capture))
            while time.monotonic() < last + SILENT_S:
                if (now := len(arrived(capture))) != seen:
                    seen, last = now, time.monotonic()
                time.sleep(EVERY_S)
            isolating.result()
        finally:
            stop.set()
        streaming.result()
    return max(EVERY_S, last - begun) * 1000


def arrived(capture: Capture) -> list[bytes]:
    """Return the datagrams of the stream that have arrived."""
    return [frame for frame in capture.drain() if transport(frame)[1][2:4] == (7777).to_bytes(2, "big")]


def test_an_alert_isolates_as_soon_as_a_command_does(site: ServiceSite) -> None:
    """No disk is waited for, and nothing is looked at now and then: a command is a peer."""
    site.policy(ALLOW, provider=respond({"action": "quarantine", "expires": "3s"}))
    alerts, commands, control = [], [], site.state / "control.sock"
    for run in range(5):
        events = (*others(run), alert("10.0.0.1", "10.0.0.3", flow_id=run))
        alerts.append(to_silence_ms(site, lambda events=events: write(site.events, *events)))
        site.wait_for(lambda status: not status["events"]["standing"] and site.is_settled(status))
        said = {"endpoint": "acme/a1", "reason": "by hand"}
        commands.append(to_silence_ms(site, lambda said=said: tell(control, "quarantine", said)))
        tell(control, "release", said)
        site.wait_for(site.is_settled)
    assert median(alerts) < TIMES_A_COMMAND * median(commands), (alerts, commands)


def test_a_request_seen_on_the_mirrored_port_isolates_who_made_it(site: ServiceSite) -> None:
    """One asks over IPv4, the other over IPv6."""
    site.policy(
        {**ALLOW, "mirror": ["near"]},
        provider=respond(
            {"signature": "STAND-IN *", "severity": 1, "action": "quarantine", "expires": "15s"}
        ),
    )
    asking = {4: site.machines["a1"], 6: site.machines["a2"]}
    b1, b2 = site.machines["b1"], site.machines["b2"]
    server = EchoServer(b1, [80])
    server.start()
    ids = StandIn(site.sinks["near"], site.events)
    try:
        deadline = time.monotonic() + 60
        while not ids.is_listening() and time.monotonic() < deadline:
            time.sleep(0.05)
        for family, machine in asking.items():
            _request(machine, address_of(b1, family), "/etc/passwd")
        status = site.wait_for(lambda status: len(status["events"]["standing"]) == 2)
        assert [one["endpoint"] for one in status["events"]["standing"]] == ["acme/a1", "acme/a2"]
        site.wait_for(
            lambda status: all("quarantined" in _states(status, f"acme/{name}") for name in ("a1", "a2"))
        )
        for machine in asking.values():
            assert machine.ping(address_of(b1, 4), timeout_s=0.4) == 0
        assert b2.ping(address_of(b1, 4), count=5) >= 1
        site.wait_for(lambda status: not status["events"]["standing"] and site.is_settled(status))
        for family, machine in asking.items():
            assert machine.ping(address_of(b1, family), count=5) >= 1
    finally:
        ids.stop()
        server.stop()


def _states(status: dict[str, Any], endpoint: str) -> set[str]:
    places = next(one["places"] for one in status["endpoints"] if one["endpoint"] == endpoint)
    return {place["state"] for place in places}


def _request(machine: Any, host: str, path: str) -> None:

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with machine.socket(family, socket.SOCK_STREAM) as caller:
        caller.settimeout(5)
        caller.connect((host, 80))
        caller.sendall(f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
        caller.recv(64)


def test_a_dry_run_an_exemption_and_a_cap_leave_the_traffic_alone(site: ServiceSite) -> None:
    site.policy(
        ALLOW,
        provider=respond(
            {"signature": "STAND-IN dry", "action": "quarantine", "mode": "monitor"},
            {"signature": "STAND-IN spared", "action": "quarantine", "exempt": ["acme/a1"]},
            {"signature": "STAND-IN forged", "action": "quarantine", "at-most": "1/h", "expires": "1s"},
        ),
    )
    before = site.status()["events"]["outcomes"]
    for name, source in (("dry", 1), ("spared", 1), ("forged", 2), ("forged", 1), ("forged", 4)):
        event = alert(f"10.0.0.{source}", "10.0.0.3", flow_id=source)
        event["alert"]["signature"] = f"STAND-IN {name}"
        write(site.events, event)
    wanted = {"would-act": 1, "exempt": 1, "act": 1, "capped": 2}
    site.wait_for(
        lambda status: all(
            status["events"]["outcomes"].get(one, 0) - before.get(one, 0) == count
            for one, count in wanted.items()
        )
    )
    assert site.machines["a1"].ping("10.0.0.3", count=5) >= 1
    assert site.machines["b2"].ping("10.0.0.3", count=5) >= 1
    site.wait_for(lambda status: not status["events"]["standing"] and site.is_settled(status))


def test_no_more_machines_are_cut_off_in_an_hour_than_the_rule_allows(site: ServiceSite) -> None:
    """Forged alerts about every machine of a tenant isolate two of them, and no more when those are back."""
    pairs = [("a1", "b2"), ("a2", "b2"), ("b1", "b2"), ("b2", "b1")]
    cap = {"name": "capped", "signature": "STAND-IN flood", "action": "quarantine", "at-most": "2/h"}
    site.policy(ALLOW, provider=respond({**cap, "expires": "1h"}))

    def forge() -> None:
        before = site.status()["events"]["events"]
        for number in range(1, 5):
            event = alert(f"10.0.0.{number}", "10.0.0.77", flow_id=number, n=before)
            event["alert"]["signature"] = "STAND-IN flood"
            write(site.events, event)
        site.wait_for(lambda status: status["events"]["events"] == before + 4 and site.is_settled(status))

    def reached() -> list[bool]:
        machines = site.machines
        return [machines[one].ping(address_of(machines[other], 4), count=3) > 0 for one, other in pairs]

    assert reached() == [True] * 4
    forge()
    assert reached() == [False, False, True, True]
    site.restart()
    site.wait_for(lambda status: len(status["events"]["standing"]) == 2)
    assert reached() == [False, False, True, True]
    for name in ("a1", "a2"):
        tell(site.state / "control.sock", "release", {"endpoint": f"acme/{name}"})
    site.wait_for(site.is_settled)
    forge()
    assert reached() == [True] * 4
    site.policy(ALLOW, provider={})


def test_more_is_copied_of_whom_an_alert_is_about_and_it_is_limited(site: ServiceSite) -> None:
    site.policy(
        ALLOW,
        provider=respond(
            {"signature": "STAND-IN odd", "action": "mirror", "target": "far", "expires": "10s"},
            {"signature": "STAND-IN odd", "action": "limit", "limit": "50pps", "expires": "10s"},
        ),
    )
    a1, a2, b1 = (site.machines[name] for name in ("a1", "a2", "b1"))
    event = alert("10.0.0.1", "10.0.0.3")
    event["alert"]["signature"] = "STAND-IN odd"
    with listening(site.sinks["far"], b1) as (ids, receiver):
        send(a1, [udp(a1, b1, 53, b"before")])
        write(site.events, event)
        site.wait_for(lambda status: len(status["events"]["standing"]) == 2 and site.is_settled(status))
        sent = [udp(a1, b1, 53, b"after %d" % number) for number in range(300)]
        send(a2, [udp(a2, b1, 53, b"somebody else")])
        began = time.monotonic()
        send(a1, sent, 0.001)
        lasted_s = time.monotonic() - began
        copies = gather(ids, lambda frame: transport(frame)[0] == 17, 50)
        arrived = [frame for frame in receiver.drain() if frame in set(sent)]
    assert copies == arrived
    assert 40 <= len(arrived) <= 60 + 55 * lasted_s
    site.wait_for(lambda status: not status["events"]["standing"] and site.is_settled(status))


def test_broken_and_repeated_lines_neither_stop_nor_repeat_anything(site: ServiceSite) -> None:
    site.policy(ALLOW, provider=respond({"signature": "STAND-IN told", "action": "notify"}))
    before = site.status()["events"]
    event = alert("10.0.0.1", "10.0.0.3", flow_id=991)
    event["alert"]["signature"] = "STAND-IN told"
    with site.events.open("ab", buffering=0) as file:
        file.write(
            b'{"event_type": "alert"\n' + b"\xff\xfe\n" + b"[" * 70_000 + b"\n" + b"y" * (2 << 20) + b"\n"
        )
    write(site.events, event, event)
    site.events.rename(site.events.with_suffix(".1"))
    write(site.events, event, {**event, "flow_id": 992})
    told = before["outcomes"].get("notify", 0)
    after = site.wait_for(lambda status: status["events"]["outcomes"].get("notify", 0) >= told + 2)["events"]
    assert after["outcomes"]["notify"] == told + 2
    assert after["malformed"] == before["malformed"] + 3
    assert after["sources"][0]["oversized"] >= 1
