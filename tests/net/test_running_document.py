"""docs/running.md followed to the letter: its commands, its options file, the service's own command line."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from topologies.lab import Host, Lab

from support.asked import is_in_force
from support.demo_site import blue
from support.site import ZONEWALL, Site

pytestmark = pytest.mark.net
ROOT = Path(__file__).parents[2]
BOX = re.compile(r"^```(\w+)\n# (on [\w ]+|/[\w/.]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACES = ("/etc/zonewall", "/etc/openvswitch", "/var/lib/zonewall", "/opt/zonewall")
NO_PRIVILEGES = ("setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all")


def boxes(what: str) -> list[str]:
    """Return the bodies of the document's boxes that begin with a comment."""
    text = (ROOT / "docs" / "running.md").read_text()
    return [body for _, head, body in BOX.findall(text) if head == what]


class Follower:
    """Follows the document, with its folders below one of the test's own."""

    def __init__(self, lab: Lab) -> None:
        self.site = Site(lab)
        self.root = self.site.folder / "root"
        for place in PLACES:
            (self.root / place[1:]).mkdir(parents=True)
        (self.root / "opt/zonewall/bin").mkdir()
        (self.root / "opt/zonewall/bin/zonewall").symlink_to(ZONEWALL)
        self.site.directory = self.root / "etc/zonewall/policies"
        self.site.directory.mkdir()
        self.site.state = self.root / "var/lib/zonewall"
        self.site.hosts = {name: lab.host(name) for name in ("hv1", "hv2")}
        lab.link(*self.site.hosts.values())

    def moved(self, text: str) -> str:
        """Return text with the document's folders where the test has them."""
        for place in PLACES:
            text = text.replace(place, f"{self.root}{place}")
        return text

    def on_controller(self, text: str) -> str:
        """Run a box on the controller's machine."""
        path = f"PATH={self.root}/opt/zonewall/bin:$PATH\n"
        return self.site.lab.controller.run("sh", "-e", stdin=path + self.moved(text))

    def on_host(self, host: Host, text: str) -> None:
        """Run a box on a host whose database is the one that ovs-vsctl finds there."""
        database = f"export OVS_RUNDIR={shlex.quote(str(host.switch.folder))}\n"
        host.run("sh", "-e", stdin=database + self.moved(text))

    def copy_keys(self) -> None:
        """Do what scp does in the document: the lab's hosts have one file system."""
        here, there = self.root / "etc/zonewall", self.root / "etc/openvswitch"
        for name in ("hv1", "hv2"):
            for kind in ("privkey", "cert"):
                shutil.copy(here / f"{name}-{kind}.pem", there)
        shutil.copy(here / "pki/controllerca/cacert.pem", there)


def service() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(ROOT / "packaging" / "zonewall.service")
    return parser


@pytest.fixture(scope="module")
def followed() -> Iterator[Follower]:
    with Lab() as lab:
        one = Follower(lab)
        create, status = boxes("on the controller")
        one.on_controller(create)
        one.copy_keys()
        (options,) = boxes("/etc/zonewall/zonewall.yaml")
        (one.root / "etc/zonewall/zonewall.yaml").write_text(one.moved(options))
        end = {"name": "app1", "tenant": "blue", "iface-id": "blue-app1", "mac": "52:54:00:00:00:01"}
        inventory = {
            "kind": "inventory",
            "hosts": lab.inventory_hosts(),
            "endpoints": [end | {"ips": ["10.0.0.1"]}],
        }
        one.site.put(inventory=inventory, blue=blue())
        command = shlex.split(one.moved(service()["Service"]["ExecStart"]))
        one.site.controller = lab.controller.start(*NO_PRIVILEGES, *command)
        for name, host in one.site.hosts.items():
            (box,) = boxes(f"on {name}")
            one.on_host(host, box)
        one.site.wait_for(is_in_force)
        one.status_box = status  # type: ignore[attr-defined]
        yield one


def test_two_hosts_are_joined_by_tls_step_by_step(followed: Follower) -> None:
    status = followed.site.wait_for(lambda now: now["links"])
    assert [one["database"] for one in status["hosts"]] == ["connected", "connected"]
    assert [one["state"] for one in status["bridges"]] == ["in-force", "in-force"]


def test_the_commands_that_look_at_it_work(followed: Follower) -> None:
    said = followed.on_controller(followed.status_box)  # type: ignore[attr-defined]
    assert "hv1/br-int" in said
    assert '"revision"' in said


def test_the_controller_of_the_service_has_no_privileges_and_keeps_its_state_to_itself(
    followed: Follower,
) -> None:
    assert followed.site.controller is not None
    status = Path(f"/proc/{followed.site.controller.pid}/status").read_text()
    assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert (followed.site.state / "control.sock").stat().st_mode & 0o077 == 0
    assert (followed.site.state / "discovery.key").stat().st_mode & 0o077 == 0


def test_a_bridge_with_another_hosts_certificate_is_refused(followed: Follower) -> None:
    hv1, hv2 = followed.site.hosts.values()
    (right,) = boxes("on hv2")
    set_ssl = next(line for line in right.splitlines() if "set-ssl" in line)
    followed.on_host(hv2, set_ssl.replace("hv2-", "hv1-"))
    hv2.switch.restart_vswitchd()
    try:
        status = followed.site.wait_for(
            lambda now: any("certificate" in one["reason"] for one in now["refused"])
        )
        reasons = " ".join(one["reason"] for one in status["refused"])
        assert "hv2" in reasons
        assert "not hv2" in reasons
        assert status["bridges"][0]["state"] == "in-force"
        assert hv1.dump_flows()
    finally:
        followed.on_host(hv2, set_ssl)
        hv2.switch.restart_vswitchd()
    followed.site.wait_for(is_in_force)


def test_sigterm_ends_it_with_0_and_the_bridges_keep_their_flows(followed: Follower) -> None:
    site = followed.site
    site.wait_for(lambda now: now["links"] and is_in_force(now))  # a switch may have restarted just before
    site.rest()
    before = [host.dump_flows() for host in site.hosts.values()]
    assert site.controller is not None
    assert site.controller.stop() == 0
    assert "Traceback" not in site.log()
    assert [host.dump_flows() for host in site.hosts.values()] == before
    assert all(before)
    command = shlex.split(followed.moved(service()["Service"]["ExecStart"]))
    site.controller = site.lab.controller.start(*NO_PRIVILEGES, *command)
    status = site.wait_for(is_in_force)
    assert [one["changes_applied"] for one in status["bridges"]] == [0, 0]


def test_the_service_is_hardened_and_runs_as_nobody_special() -> None:
    said = service()["Service"]
    assert said["User"] == "zonewall"
    assert said["CapabilityBoundingSet"] == ""
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateDevices", "PrivateTmp", "RestrictNamespaces"):
        assert said[key] == "yes"
    assert said["ProtectSystem"] == "strict"
    assert said["StateDirectory"] == "zonewall"


def test_every_option_of_the_command_is_in_the_document_and_no_other() -> None:
    from typer.main import get_command

    from zonewall.cli.app import build_app
    from zonewall.store.options import Options

    text = (ROOT / "docs" / "running.md").read_text()
    table = text[text.index("| command line |") : text.index("Hosts and bridges need not")]
    run = get_command(build_app()).commands["run"]  # type: ignore[attr-defined]
    real = {name for one in run.params for name in one.opts if name.startswith("--")} - {
        "--options",
        "--help",
    }
    assert set(re.findall(r"--[a-z][a-z-]*", table)) == real
    keys = {field.alias or name for name, field in Options.model_fields.items()}
    assert set(re.findall(r"\| `([a-z-]+): ", table)) == keys
