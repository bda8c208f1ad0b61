"""An IDS's alert isolates, limits, copies or only tells: on real bridges, within milliseconds."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from topologies.probes import EchoServer

from support.service_frames import address, gather, listening, send, transport, udp
from support.service_site import ServiceSite
from support.stand_in_ids import StandIn, alert, write

pytestmark = pytest.mark.net
ALLOW = {"from": "any", "to": "any", "action": "allow"}
QUICK_MS = 40.0
"""What the quickest of five is below while others use the machine; ``python -m bench`` measures alone."""


def respond(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"respond": [{"name": f"response-{at}", **rule} for at, rule in enumerate(rules)]}


def others(at: int) -> list[dict[str, Any]]:
    """Events that are no alerts, as they stand between them."""
    kinds = ("flow", "dns", "http", "stats", "anomaly", "tls", "fileinfo")
    return [
        {"timestamp": "2026-11-24T13:00:00+00:00", "event_type": kind, "src_ip": "10.0.0.2", "n": at}
        for kind in kinds
    ]


def test_from_the_alerts_line_to_the_last_packet_is_a_matter_of_milliseconds(site: ServiceSite) -> None:
    site.policy(ALLOW, provider=respond({"action": "quarantine", "expires": "1s"}))
    a1, b1 = site.machines["a1"], site.machines["b1"]
    frames = [udp(a1, b1, 7777, b"%06d" % number) for number in range(10_000)]
    took = []
    for run in range(5):
        with listening(b1) as (capture,):
            stop = threading.Event()
            last = [0.0]

            def stream(stop: threading.Event = stop) -> None:
                for frame in frames:
                    if stop.is_set():
                        return
                    send(a1, [frame])
                    time.sleep(0.0005)

            thread = threading.Thread(target=stream)
            thread.start()
            time.sleep(0.15)
            assert capture.drain()
            written = time.monotonic()
            write(site.events, *others(run), alert("10.0.0.1", "10.0.0.3", flow_id=run))
            seen = len(capture.drain())
            while time.monotonic() < written + 0.4:
                now = len(capture.drain())
                if now != seen:
                    seen, last[0] = now, time.monotonic()
                time.sleep(0.0005)
            stop.set()
            thread.join()
            took.append(max(0.0, last[0] - written) * 1000)
        site.wait_for(lambda status: not status["events"]["standing"])
        site.wait_for(site.is_settled)
    assert min(took) < QUICK_MS, took


@pytest.mark.parametrize("family", [4, 6])
def test_a_request_seen_on_the_mirrored_port_isolates_who_made_it(site: ServiceSite, family: int) -> None:
    site.policy(
        {**ALLOW, "mirror": ["near"]},
        provider=respond({"signature": "STAND-IN *", "severity": 1, "action": "quarantine", "expires": "2s"}),
    )
    a1, b1 = site.machines["a1"], site.machines["b1"]
    server = EchoServer(b1, [80])
    server.start()
    ids = StandIn(site.sinks["near"], site.events)
    try:
        deadline = time.monotonic() + 15
        while not ids.is_listening() and time.monotonic() < deadline:
            time.sleep(0.05)
        _request(a1, address(b1, family), "/etc/passwd")
        status = site.wait_for(lambda status: status["events"]["standing"])
        assert status["events"]["standing"][0]["endpoint"] == "acme/a1"
        site.wait_for(lambda status: "quarantined" in _states(status, "acme/a1"))
        assert a1.ping(address(b1, 4), timeout_s=0.4) == 0
        assert site.machines["a2"].ping(address(b1, 4), count=5) >= 1
        site.wait_for(lambda status: not status["events"]["standing"] and site.is_settled(status))
        assert a1.ping(address(b1, 4), count=5) >= 1
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


def test_more_is_copied_of_whom_an_alert_is_about_and_it_is_limited(site: ServiceSite) -> None:
    site.policy(
        ALLOW,
        provider=respond(
            {"signature": "STAND-IN odd", "action": "mirror", "target": "far", "expires": "4s"},
            {"signature": "STAND-IN odd", "action": "limit", "limit": "50pps", "expires": "4s"},
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
        send(a1, sent, 0.001)
        copies = gather(ids, lambda frame: transport(frame)[0] == 17, 50)
        arrived = [frame for frame in receiver.drain() if frame in set(sent)]
    assert copies == arrived
    assert 40 <= len(arrived) <= 150
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
