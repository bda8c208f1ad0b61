"""`zonewall run` with options from file and command line; hosts that connect in and that are connected to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from topologies.lab import Lab
from topologies.probes import EchoServer, probe_tcp

from support.asked import is_in_force
from support.demo_site import blue
from support.site import PATIENCE_S, ZONEWALL, Site, certificates

pytestmark = pytest.mark.net
HOSTS = ("hv1", "hv2", "hv3", "hv4")
TLS = ("hv2", "hv4")
"""hv1 and hv2 connect in, hv3 and hv4 are connected to; hv2 and hv4 with TLS."""


def inventory(site: Site) -> dict[str, object]:
    hosts = site.lab.inventory_hosts()
    hosts["hv3"]["ovsdb"] = f"tcp:{site.hosts['hv3'].address}:6640"
    hosts["hv4"]["ovsdb"] = f"ssl:{site.hosts['hv4'].address}:6640"
    ends = [
        {"name": f"vm{n}", "tenant": "blue", "iface-id": f"blue-vm{n}", "mac": f"52:54:00:00:00:0{n}",
         "ips": [f"10.0.0.{n}"], "labels": {"role": "app"}}
        for n in range(1, 5)
    ]  # fmt: skip
    return {"kind": "inventory", "hosts": hosts, "endpoints": ends}


@pytest.fixture(scope="module")
def four() -> Iterator[Site]:
    with Lab() as lab:
        site = Site(lab)
        site.hosts = {name: lab.host(name) for name in HOSTS}
        for one, other in pairwise(site.hosts.values()):
            lab.link(one, other)
        keys = site.folder / "keys"
        certificates(keys, {"controller": "controller", "hv2": "switch", "hv4": "switch"})
        tls = {"certificate": f"{keys}/controller-cert.pem", "private-key": f"{keys}/controller-privkey.pem"}
        address = lab.controller_address
        options = {
            "openflow": [f"tcp:{address}:6653", f"ssl:{address}:6654"],
            "ovsdb": [f"ssl:{address}:6641"],
            "allow-plain": True,
            "tls": tls | {"ca": f"{keys}/pki/switchca/cacert.pem"},
            "state": "/nowhere/the/command/line/says/another",
            "log-format": "json",
        }
        (site.folder / "options.yaml").write_text(yaml.safe_dump(options))
        site.put(inventory=inventory(site), blue=blue())
        # The command line wins over the file: another state folder, and two places for databases.
        site.start(
            "--options", str(site.folder / "options.yaml"), "--state", str(site.state),
            "--ovsdb", f"tcp:{address}:6640", "--ovsdb", f"ssl:{address}:6641",
        )  # fmt: skip
        for name in TLS:
            pair = (f"{keys}/{name}-privkey.pem", f"{keys}/{name}-cert.pem")
            site.hosts[name].vsctl("set-ssl", *pair, f"{keys}/pki/controllerca/cacert.pem")
        for (name, host), manager in zip(
            site.hosts.items(),
            (f"tcp:{address}:6640", f"ssl:{address}:6641", "ptcp:6640", "pssl:6640"),
            strict=True,
        ):
            host.set_manager(manager)
            host.set_controller(f"ssl:{address}:6654" if name in TLS else f"tcp:{address}:6653")
        for n, name in enumerate(HOSTS, 1):
            site.machine(f"blue-vm{n}", name, f"52:54:00:00:00:0{n}", f"10.0.0.{n}/24")
        site.wait_for(lambda now: len(now["links"]) == 3 and site.is_settled(now))
        yield site


@pytest.mark.parametrize("name", HOSTS, ids=["in by tcp", "in by ssl", "out to ptcp", "out to pssl"])
def test_a_host_joins_whichever_side_connects_and_with_or_without_tls(four: Site, name: str) -> None:
    status = four.status()
    host = next(one for one in status["hosts"] if one["host"] == name)
    assert host["database"] == "connected"
    assert host["problem"] is None
    assert next(b for b in status["bridges"] if b["bridge"] == f"{name}/br-int")["state"] == "in-force"
    assert four.places(f"blue/vm{HOSTS.index(name) + 1}") == {f"{name}/br-int": "active"}


def test_a_bridge_whose_database_is_known_is_made_secure(four: Site) -> None:
    for host in four.hosts.values():
        assert host.vsctl("get", "bridge", "br-int", "fail_mode") == "secure"
        assert host.vsctl("get", "Open_vSwitch", ".", "other_config:vlan-limit").strip('"') == "2"


def test_traffic_crosses_all_of_them_and_the_command_line_won_over_the_file(four: Site) -> None:
    first, last = four.machines["blue-vm1"], four.machines["blue-vm4"]
    assert first.ping("10.0.0.4", count=3) >= 1
    assert last.ping("10.0.0.1", count=3) >= 1
    assert (four.state / "numbering.json").exists()
    assert four.log().splitlines()[0].startswith("{")  # log-format is the file's


def test_after_sigterm_the_exit_code_is_0_and_the_bridges_go_on_enforcing(four: Site) -> None:
    four.rest()
    first, last = four.machines["blue-vm1"], four.machines["blue-vm4"]
    server = EchoServer(last, (9001, 9100))
    server.start()
    try:
        assert four.controller is not None
        code = four.controller.stop(timeout_s=PATIENCE_S)
        log = four.log()
        probed = [
            probe_tcp(first, "10.0.0.4", port, patience_s) for port, patience_s in ((9001, 20.0), (9100, 1.0))
        ]
        assert probed == ["allow", "drop"]
        assert first.ping("10.0.0.3", count=2) >= 1
        assert code == 0
        assert "controller_stopping" in log
        assert "Traceback" not in log
        assert [line for line in log.splitlines() if '"level": "error"' in line] == []
        assert four.command("status", "--state", str(four.state)).returncode == 3
    finally:
        server.stop()
        four.start(*four.words)
    status = four.wait_for(is_in_force)
    assert [one["changes_applied"] for one in status["bridges"]] == [0] * 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--openflow", "tcp:0.0.0.0:6653"], "--allow-plain"),
        (["--openflow", "ssl:127.0.0.1:6699"], "--tls-certificate"),
        (["--openflow", "127.0.0.1"], "tcp:127.0.0.1:6653"),
        (["--allow-plain", "--openflow", "tcp:192.0.2.1:6653"], "cannot be listened on"),
    ],
    ids=["plain beyond loopback", "no certificates", "no place", "taken"],
)
def test_what_cannot_be_run_is_said_in_one_line_with_what_to_do(
    four: Site, words: list[str], said: str
) -> None:
    done = four.command("run", str(four.directory), "--state", str(four.folder / "other"), *words)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("zonewall: ")
    assert said in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "name", ["numbering.json", "places.json", "endpoints.yaml", "applied.json", "certificates.json"]
)
def test_a_damaged_file_of_the_state_folder_is_named_in_one_line_with_what_to_do(
    four: Site, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("{")
    words = ("--state", str(tmp_path), "--openflow", "tcp:127.0.0.1:0")
    done = four.command("run", str(four.directory), *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert (name if name != "endpoints.yaml" else "added by command") in last


def test_a_second_controller_on_one_state_folder_is_refused(four: Site) -> None:
    done = four.command("run", str(four.directory), "--state", str(four.state))
    assert done.returncode == 2
    assert "another controller is running" in done.stderr
    elsewhere = ("--socket", str(four.folder / "elsewhere.sock"))
    done = four.command("run", str(four.directory), "--state", str(four.state), *elsewhere)
    assert done.returncode == 2
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .endswith(f"{four.state}: another controller is running in this state folder; stop it first")
    )
    assert four.status()["bridges"]


def test_a_first_start_with_an_invalid_configuration_says_every_error_and_ends_with_2(four: Site) -> None:
    folder = four.folder / "invalid"
    folder.mkdir()
    (folder / "a.yaml").write_text("kind: tenant\ntenant: acme\ndefault: maybe\n")
    (folder / "b.yaml").write_text("kind: tenant\ntenant: [blue]\n")
    done = four.command("run", str(folder), "--state", str(four.folder / "other"))
    assert done.returncode == 2
    assert "a.yaml:3:10: " in done.stderr
    assert "b.yaml:2:9: " in done.stderr


def test_sigint_ends_it_as_cleanly(four: Site) -> None:
    process = four.lab.controller.start(
        str(ZONEWALL), "run", str(four.directory), "--state", str(four.folder / "third")
    )
    deadline = time.monotonic() + PATIENCE_S
    while "controller_started" not in process.output() and time.monotonic() < deadline:
        time.sleep(0.05)
    # One that does not end is killed after that time, and does not return 0 then.
    assert process.stop(2, PATIENCE_S) == 0, process.output()
