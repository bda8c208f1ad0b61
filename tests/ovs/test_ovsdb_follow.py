"""What real databases say is told: each change once, and after an absence only what differs."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from pathlib import Path

import pytest

from support.ovsdb_host import (
    DatabaseHost,
    database_host,
    declared_bridge,
    declared_hosts,
    follower,
    free_port,
)
from zonewall.ovsdb.patience import Patience
from zonewall.placement.observations import (
    BridgeGone,
    BridgeSeen,
    HostLost,
    HostSeen,
    HostUnreachable,
    PortGone,
    PortSeen,
    SnapshotComplete,
)
from zonewall.values.names import BridgeName

pytestmark = pytest.mark.ovs


def _add_port(host: DatabaseHost, name: str, *settings: str) -> None:
    host.vsctl("add-port", "br0", name, "--", "set", "interface", name, "type=dummy", *settings)


def test_a_host_that_connects_in_is_told_with_its_bridges_and_ports(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        host.vsctl("add-br", "br0")
        _add_port(host, "tap1", "external_ids:iface-id=web1", "external_ids:other=x")
        host.vsctl("set", "port", "tap1", "tag=7")
        port = ear.service.listen("127.0.0.1", 0, None)
        host.connect_to(f"tcp:127.0.0.1:{port}")
        ear.until_a(SnapshotComplete, host="hv1")
    kinds = [type(one) for one in ear.heard]
    assert kinds == [HostSeen, BridgeSeen, PortSeen, PortSeen, SnapshotComplete]
    tap = next(one for one in ear.heard if isinstance(one, PortSeen) and one.name == "tap1")
    assert dict(tap.external_ids) == {"iface-id": "web1"}
    assert (tap.bridge, tap.ofport, tap.failed, tap.tag) == ("br0", None, False, 7)


def test_a_host_that_listens_is_connected_to_and_its_path_may_be_a_socket(tmp_path: Path) -> None:
    port = free_port()
    tcp = DatabaseHost(tmp_path / "hv1", "hv1")
    tcp.remotes = [f"ptcp:{port}:127.0.0.1"]
    hosts = declared_hosts("hv1", ovsdb=f"tcp:127.0.0.1:{port}")
    hosts |= declared_hosts("hv2", ovsdb=f"unix:{tmp_path}/hv2/db.sock")
    with database_host(tmp_path / "hv2", "hv2"), follower(hosts) as ear:
        ear.until_a(SnapshotComplete, host="hv2")
        refused = next(one for one in ear.heard if isinstance(one, HostUnreachable))
        assert (refused.host, refused.reason) == ("hv1", "connecting failed: Connection refused")
        try:
            tcp.start()
            ear.until_a(SnapshotComplete, host="hv1")
        finally:
            tcp.stop()


def test_a_host_of_which_too_much_waits_is_read_no_further_until_there_is_room_and_is_not_lost(
    tmp_path: Path,
) -> None:
    full: set[str] = set()
    hosts = declared_hosts("hv1") | declared_hosts("hv2")
    with (
        database_host(tmp_path / "hv1", "hv1") as host,
        database_host(tmp_path / "hv2", "hv2") as other,
        follower(hosts, Patience(probe_s=0.5), is_full=full.__contains__) as ear,
    ):
        port = ear.service.listen("127.0.0.1", 0, None)
        for one in (host, other):
            one.vsctl("add-br", "br0")
            one.connect_to(f"tcp:127.0.0.1:{port}")
        for name in ("hv1", "hv2"):
            ear.until_a(SnapshotComplete, host=name)
        ear.heard.clear()
        full.add("hv1")
        _add_port(host, "tap1")
        _add_port(other, "tap2")
        ear.until_a(PortSeen, host="hv2", name="tap2")
        ear.quiet(2.0)  # longer than a silent host is waited for
        assert not [one for one in ear.heard if getattr(one, "host", "hv1") == "hv1"]
        full.clear()
        ear.until_a(PortSeen, host="hv1", name="tap1")
        assert not any(isinstance(one, HostLost) and one.host == "hv1" for one in ear.heard)


def test_each_change_of_a_port_is_told_once(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        host.start_switch()
        host.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", wait=True)
        host.connect_to(f"tcp:127.0.0.1:{ear.service.listen('127.0.0.1', 0, None)}")
        ear.until_a(SnapshotComplete)
        bridge = next(one for one in ear.heard if isinstance(one, BridgeSeen))
        assert f"{bridge.datapath_id:016x}" == host.vsctl("get", "bridge", "br0", "datapath_id").strip('"\n')
        _add_port(host, "p1", "ofport_request=5", "external_ids:iface-id=web1")
        up = ear.until(lambda one: isinstance(one, PortSeen) and one.ofport == 5 and one.link_up is True)
        assert isinstance(up, PortSeen)
        assert dict(up.external_ids) == {"iface-id": "web1"}
        host.vsctl("set", "interface", "p1", "external_ids:unrelated=1", wait=True)
        assert ear.quiet() == []
        host.vsctl("set", "interface", "p1", "external_ids:vm-id=vm7")
        assert ear.until_a(PortSeen, name="p1").external_ids == {"iface-id": "web1", "vm-id": "vm7"}
        host.vsctl("del-port", "br0", "p1", wait=True)
        ear.until_a(PortGone, name="p1", bridge="br0")
        assert ear.quiet() == []
        told = [one for one in ear.heard if isinstance(one, PortSeen)]
        assert all(before != after for before, after in itertools.pairwise(told))


def test_a_port_that_the_switch_cannot_make_is_told_as_failed(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        host.start_switch()
        host.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", wait=True)
        host.vsctl("add-port", "br0", "bad", "--", "set", "interface", "bad", "type=nonsense")
        host.connect_to(f"tcp:127.0.0.1:{ear.service.listen('127.0.0.1', 0, None)}")
        bad = ear.until_a(PortSeen, name="bad", failed=True)
    assert bad.ofport is None
    assert bad.error != ""


def test_after_a_restart_only_what_differs_is_told_and_what_vanished_last(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        host.vsctl("add-br", "br0", "--", "add-br", "br1")
        for name in ("stays", "changes", "goes"):
            _add_port(host, name)
        host.connect_to(f"tcp:127.0.0.1:{ear.service.listen('127.0.0.1', 0, None)}")
        ear.until_a(SnapshotComplete)
        host.vsctl("del-manager")
        ear.until_a(HostLost, host="hv1")
        host.stop()
        host.start()
        host.vsctl("set", "interface", "changes", "external_ids:iface-id=a", "--", "del-port", "goes")
        host.vsctl("del-br", "br1")
        _add_port(host, "comes")
        ear.heard.clear()
        host.connect_to(f"tcp:127.0.0.1:{ear.service.listen('127.0.0.1', 0, None)}")
        ear.until_a(BridgeGone, bridge="br1")
        assert ear.quiet() == []
    kinds = [type(one) for one in ear.heard]
    assert kinds == [HostSeen, PortSeen, PortSeen, SnapshotComplete, PortGone, PortGone, BridgeGone]
    assert {one.name for one in ear.heard if isinstance(one, PortSeen)} == {"changes", "comes"}
    assert {one.name for one in ear.heard if isinstance(one, PortGone)} == {"goes", "br1"}


def test_a_host_that_hangs_is_lost_soon_where_that_is_watched_for_and_delays_no_other(tmp_path: Path) -> None:
    hosts = declared_hosts("hv1", "hv2")
    patience = Patience(handshake_s=10.0, snapshot_s=20.0, probe_s=300.0, short_probe_s=2.0)
    with (
        database_host(tmp_path / "hv1", "hv1") as hanging,
        database_host(tmp_path / "hv2", "hv2") as lively,
        follower(hosts, patience) as ear,
    ):
        port = ear.service.listen("127.0.0.1", 0, None)
        for host in (hanging, lively):
            host.connect_to(f"tcp:127.0.0.1:{port}")
            ear.until_a(SnapshotComplete)
        hanging.pause()
        lively.vsctl("add-br", "br0")
        ear.until_a(BridgeSeen, host="hv2")
        # Nobody has given up the one that hangs by then.
        assert not [one for one in ear.heard if isinstance(one, HostLost)]
        ear.service.watch_closely(closely=True)
        lost = ear.until_a(HostLost, within_s=60.0, host="hv1")
        assert "did not answer a probe" in lost.reason
        hanging.resume()
        ear.until_a(SnapshotComplete, host="hv1")


def hang(host: DatabaseHost) -> None:
    host.pause()
    time.sleep(1.5)
    host.resume()


def test_a_host_that_answers_late_is_waited_for_and_never_lost(tmp_path: Path) -> None:
    patient = Patience(handshake_s=60.0, snapshot_s=60.0, probe_s=60.0)
    with (
        database_host(tmp_path / "hv1", "hv1") as host,
        follower(declared_hosts("hv1"), patience=patient) as ear,
    ):
        host.vsctl("add-br", "br0")
        _add_port(host, "before")
        host.connect_to(f"tcp:127.0.0.1:{ear.service.listen('127.0.0.1', 0, None)}")
        hang(host)
        ear.until_a(SnapshotComplete, within_s=30.0)
        hang(host)
        _add_port(host, "after")
        ear.until_a(PortSeen, within_s=30.0, name="after")
    told = [one.name for one in ear.heard if isinstance(one, PortSeen) and one.name != "br0"]
    assert told == ["before", "after"]
    assert [one for one in ear.heard if isinstance(one, HostLost)] == []


def test_the_inventory_may_change_while_it_runs(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        host.connect_to(f"tcp:127.0.0.1:{ear.service.listen('127.0.0.1', 0, None)}")
        ear.until_a(SnapshotComplete)
        ear.service.set_hosts(declared_hosts("hv1", "hv2"))
        assert ear.quiet() == []
        ear.service.set_hosts(declared_hosts("hv2"))
        assert "no longer in the inventory" in ear.until_a(HostLost, host="hv1").reason
        ear.service.set_hosts(declared_hosts("other", system_id="hv1"))
        ear.until_a(SnapshotComplete, host="other")


def test_a_bridge_that_the_inventory_names_later_is_told_with_its_ports_connected_or_not(
    tmp_path: Path,
) -> None:
    (hv1,) = declared_hosts("hv1").values()
    more = {hv1.name: replace(hv1, bridges={**hv1.bridges, BridgeName("br1"): declared_bridge("br1")})}
    with database_host(tmp_path / "hv1", "hv1") as host, follower({hv1.name: hv1}) as ear:
        host.vsctl("add-br", "br0", "--", "add-br", "br1", "--", "add-port", "br1", "tap1")
        port = ear.service.listen("127.0.0.1", 0, None)
        host.connect_to(f"tcp:127.0.0.1:{port}")
        ear.until_a(SnapshotComplete)

        def told_of_br1() -> list[str]:
            ear.heard.clear()
            ear.until_a(SnapshotComplete)
            assert {one.bridge for one in ear.heard if isinstance(one, BridgeSeen | PortSeen)} == {"br1"}
            return sorted(one.name for one in ear.heard if isinstance(one, PortSeen))

        ear.service.set_hosts(more)
        assert told_of_br1() == ["br1", "tap1"]
        ear.service.set_hosts({hv1.name: hv1})
        host.vsctl("del-manager")
        ear.until_a(HostLost)
        ear.service.set_hosts(more)
        assert ear.quiet() == []
        host.connect_to(f"tcp:127.0.0.1:{port}")
        assert told_of_br1() == ["br1", "tap1"]
