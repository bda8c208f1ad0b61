"""`zonewall apply` and `confirm`: what is on trial goes back by itself, at once if something is lost."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest
import yaml
from topologies.lab import Host

from support.demo_site import acme
from support.filters import dropped
from support.raw_probes import Knock, outcome
from support.running_controller import bridge_row
from support.site import OPENFLOW, OVSDB, Site, copy_tree
from support.whole_controller import is_settled

pytestmark = pytest.mark.net
NOTHING = {"name": "nothing", "from": "any", "to": "any", "action": "drop"}


@pytest.fixture
def closed(site: Site, tmp_path: Path) -> Iterator[Path]:
    """A copy of the configuration in force, under which a tenant may nothing."""
    # Only a host that is there when a trial begins can be lost by it; the last test may have cut one off.
    site.wait_for(
        lambda now: site.is_settled(now) and all(h["database"] == "connected" for h in now["hosts"])
    )
    folder = tmp_path / "closed"
    copy_tree(site.directory, folder)
    (folder / "acme.yaml").write_text(yaml.safe_dump(acme(NOTHING)))
    yield folder
    if site.status()["configuration"]["directory"] != str(site.directory):
        site.command("confirm", "--state", str(site.state))
        tell(site, "apply", str(site.directory))


def tell(site: Site, *words: str) -> str:
    done = site.command(*words, "--state", str(site.state))
    assert done.returncode == 0, done.stderr
    return done.stdout


def shop_is_open(site: Site) -> bool:
    knock = Knock(site.machines["acme-db1"], site.machines["acme-web1"], "tcp", 8000, 4)
    return outcome([knock]) == [True]


def in_force(site: Site, directory: Path) -> None:
    site.wait_for(
        lambda status: status["configuration"]["directory"] == str(directory) and site.is_settled(status)
    )


def test_what_nobody_confirms_goes_back(site: Site, closed: Path) -> None:
    assert shop_is_open(site)
    tell(site, "apply", str(closed), "--confirm", "12s")
    refused = site.command("apply", str(closed), "--state", str(site.state))
    assert "is on trial; say `zonewall confirm`" in refused.stderr
    assert site.status()["configuration"]["trial"]["directory"] == str(closed)
    in_force(site, closed)
    assert not shop_is_open(site)
    in_force(site, site.directory)
    assert shop_is_open(site)
    assert "nobody confirmed it" in site.status()["configuration"]["refused"]
    late = site.command("confirm", "--state", str(site.state))
    assert late.returncode == 2
    assert "nothing is on trial" in late.stderr


def test_what_is_confirmed_stays_over_a_restart_until_another_is_applied(site: Site, closed: Path) -> None:
    tell(site, "apply", str(closed), "--confirm", "60s")
    tell(site, "confirm")
    in_force(site, closed)
    site.restart(signal.SIGKILL)
    in_force(site, closed)
    assert not shop_is_open(site)
    tell(site, "apply", str(site.directory))
    in_force(site, site.directory)
    assert shop_is_open(site)


def test_a_restart_in_the_middle_of_a_trial_goes_back(site: Site, closed: Path) -> None:
    tell(site, "apply", str(closed), "--confirm", "1h")
    in_force(site, closed)
    site.restart(signal.SIGKILL)
    in_force(site, site.directory)
    assert shop_is_open(site)


@contextmanager
def silenced(host: Host, port: int) -> Iterator[None]:
    """Drop all that a host says to a port of the controller's."""
    with dropped(host, "output", f"tcp dport {port}"):
        yield


@contextmanager
def cut_off(host: Host) -> Iterator[None]:
    """Take a host from the management network."""
    host.set_management(up=False)
    try:
        yield
    finally:
        host.set_management(up=True)


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (cut_off, "hv1"),
        (partial(silenced, port=OPENFLOW), "bridge hv1/br-int does not answer"),
        (partial(silenced, port=OVSDB), "the database of hv1 was lost"),
    ],
    ids=["management", "openflow alone", "database alone"],
)
def test_a_trial_by_which_a_host_is_lost_goes_back_at_once(
    site: Site, closed: Path, lose: Callable[[Host], AbstractContextManager[None]], reason: str
) -> None:
    tell(site, "apply", str(closed), "--confirm", "1h")
    in_force(site, closed)
    with lose(site.hosts["hv1"]):
        status = site.wait_for(lambda status: status["configuration"]["trial"] is None)
        assert status["configuration"]["directory"] == str(site.directory)
        assert reason in status["configuration"]["refused"]
        # A way to the lost host through the other one would be back, whatever the trial did to it there.
        site.wait_for(lambda now: is_settled(bridge_row(now, "hv2")))
        assert outcome([Knock(site.machines["acme-db1"], site.machines["acme-web2"], "tcp", 8000, 4)]) == [
            True
        ]
    in_force(site, site.directory)
    assert shop_is_open(site)
    site.put(acme=(site.directory / "acme.yaml").read_text() + "\n")
    site.wait_for(lambda status: not status["configuration"]["refused"])


def test_what_is_not_valid_is_not_applied(site: Site, closed: Path) -> None:
    (closed / "more.yaml").write_text("kind: tenant\n")
    done = site.command("apply", str(closed), "--state", str(site.state))
    assert done.returncode == 2
    assert "more.yaml:1:1" in done.stderr
    assert site.status()["configuration"]["directory"] == str(site.directory)
