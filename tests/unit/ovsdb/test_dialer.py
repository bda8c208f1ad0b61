"""Where a host's database listens, and how often it is tried."""

from __future__ import annotations

import pytest

from ovs import timeval
from zonewall.errors import ZonewallError
from zonewall.ovsdb.dialer import Dialer, Remote, parse_remote
from zonewall.ovsdb.loop import Wants
from zonewall.values.names import HostName


@pytest.mark.parametrize(
    ("text", "remote", "written"),
    [
        ("tcp:192.0.2.11:6641", Remote("tcp", "192.0.2.11", 6641), "tcp:192.0.2.11:6641"),
        ("ssl:192.0.2.11", Remote("ssl", "192.0.2.11", 6640), "ssl:192.0.2.11:6640"),
        ("tcp:[2001:db8::1]:6640", Remote("tcp", "2001:db8::1", 6640), "tcp:[2001:db8::1]:6640"),
        ("unix:/run/db.sock", Remote("unix", "/run/db.sock"), "unix:/run/db.sock"),
    ],
)
def test_a_remote_is_read_as_open_vswitch_writes_it(text: str, remote: Remote, written: str) -> None:
    assert parse_remote(text) == remote
    assert str(remote) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp:",
        "unix:",
        "ptcp:6640",
        "tcp:host.example:6640",
        "tcp:192.0.2.1:0",
        "tcp:192.0.2.1:65536",
        "tcp:2001:db8::1:6640",
        "tcp:192.0.2.1:66x",
        "tcp:[192.0.2.1:6640",
    ],
)
def test_what_is_no_remote_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(ZonewallError, match=r"ovsdb: .*(write|port)"):
        parse_remote(text)


def test_a_host_that_does_not_answer_is_tried_after_longer_and_longer_pauses() -> None:
    tried: list[Dialer] = []
    dialer = Dialer(HostName("hv1"), Remote("tcp", "192.0.2.1", 6640), tried.append)
    dialer.run()
    assert tried == [dialer]
    pauses = []
    for _ in range(6):
        dialer.again()
        wants = Wants()
        dialer.wait(wants)
        assert wants.deadline_ms is not None
        pauses.append(round((wants.deadline_ms - timeval.msec()) / 1000, 1))
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    dialer.run()
    assert len(tried) == 1
