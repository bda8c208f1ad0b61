"""A managed bridge's records are made what a firewall needs, once, and kept so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.ovsdb_host import (
    DatabaseHost,
    Follower,
    database_host,
    declared_bridge,
    declared_hosts,
    follower,
)
from zonewall.placement.observations import BridgeReady, BridgeSeen, BridgeSetupFailed, SnapshotComplete
from zonewall.values.names import HostName

pytestmark = pytest.mark.ovs
HV1 = HostName("hv1")
PREFIXES = {1: ("ip_src", "ipv6_src"), 4: ("ip_dst", "ipv6_dst")}


def _get(host: DatabaseHost, table: str, record: str, column: str) -> str:
    return host.vsctl("get", table, record, column).strip()


def _exported(host: DatabaseHost) -> tuple[list[str], list[str]]:
    """Return the numbers of the sets of collectors, and all collectors."""
    sets = host.vsctl("--bare", "--columns=id", "list", "Flow_Sample_Collector_Set").split()
    return sorted(sets), sorted(host.vsctl("--bare", "--columns=targets", "list", "IPFIX").split())


def _joined(host: DatabaseHost, ear: Follower) -> None:
    host.connect_to(f"tcp:127.0.0.1:{ear.service.listen('127.0.0.1', 0, None)}")
    ear.until_a(SnapshotComplete)


def test_a_bridge_is_made_secure_and_others_settings_stay(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        host.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "other_config:mac-aging-time=9")
        host.vsctl("set", "bridge", "br0", "protocols=OpenFlow13")
        host.vsctl("set-controller", "br0", "tcp:192.0.2.1:6653")
        _joined(host, ear)
        ear.service.ensure_bridge(HV1, declared_bridge("br0", 0xA1), "tcp:192.0.2.9:6653", PREFIXES)
        assert ear.until_a(BridgeReady, bridge="br0").changed
        assert _get(host, "bridge", "br0", "fail_mode") == "secure"
        assert _get(host, "bridge", "br0", "protocols") == "[OpenFlow13, OpenFlow15]"
        options = '{datapath-id="00000000000000a1", disable-in-band="true", mac-aging-time="9"}'
        assert _get(host, "bridge", "br0", "other_config") == options
        assert _get(host, "Open_vSwitch", ".", "other_config") == '{vlan-limit="2"}'
        controllers = host.vsctl("get-controller", "br0").split()
        assert sorted(controllers) == ["tcp:192.0.2.1:6653", "tcp:192.0.2.9:6653"]
        prefixes = host.vsctl("--bare", "--columns=prefixes", "list", "Flow_Table").split("\n\n")
        assert sorted(one.strip() for one in prefixes) == ["ip_dst ipv6_dst", "ip_src ipv6_src"]
        tables = _get(host, "bridge", "br0", "flow_tables")
        assert tables.startswith("{1=")
        assert ", 4=" in tables


def test_ipfix_collectors_are_made_changed_and_taken_away_and_others_sets_stay(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        host.vsctl("add-br", "br0")
        host.vsctl(
            "--", "--id=@br", "get", "bridge", "br0",
            "--", "create", "Flow_Sample_Collector_Set", "id=1", "bridge=@br",
        )  # fmt: skip
        _joined(host, ear)
        for targets in (("192.0.2.9:4739", "192.0.2.10:4739"), ("192.0.2.9:9995",), ()):
            ear.service.ensure_bridge(HV1, declared_bridge(), collectors=(77, targets))
            assert ear.until_a(BridgeReady, bridge="br0").changed
            wanted = (["1", "77"] if targets else ["1"], sorted(targets))
            deadline = time.monotonic() + 20
            while (found := _exported(host)) != wanted and time.monotonic() < deadline:
                time.sleep(0.1)
            assert found == wanted


def test_no_controller_is_added_unless_one_is_asked_for(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        host.vsctl("add-br", "br0")
        _joined(host, ear)
        ear.service.ensure_bridge(HV1, declared_bridge())
        ear.until_a(BridgeReady)
        assert host.vsctl("get-controller", "br0") == ""
        assert _get(host, "bridge", "br0", "protocols") == "[OpenFlow15]"
        assert _get(host, "bridge", "br0", "flow_tables") == "{}"


def test_a_bridge_that_is_right_is_not_written_to(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        host.vsctl("add-br", "br0")
        _joined(host, ear)
        ear.service.ensure_bridge(HV1, declared_bridge(), "tcp:192.0.2.9:6653", PREFIXES)
        assert ear.until_a(BridgeReady).changed
        before = host.transactions()
        for _ in range(3):
            ear.service.ensure_bridge(HV1, declared_bridge(), "tcp:192.0.2.9:6653", PREFIXES)
            assert not ear.until_a(BridgeReady).changed
        assert host.transactions() == before


def test_a_wish_waits_for_its_host_and_its_bridge(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        ear.service.ensure_bridge(HV1, declared_bridge())
        _joined(host, ear)
        host.vsctl("add-br", "br0")
        ear.until_a(BridgeReady, bridge="br0", changed=True)
        assert _get(host, "bridge", "br0", "fail_mode") == "secure"


def test_what_somebody_else_undoes_is_made_right_again(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        host.vsctl("add-br", "br0")
        _joined(host, ear)
        ear.service.ensure_bridge(HV1, declared_bridge())
        ear.until_a(BridgeReady)
        host.vsctl("set-fail-mode", "br0", "standalone")
        ear.until_a(BridgeReady, changed=True)
        assert _get(host, "bridge", "br0", "fail_mode") == "secure"


def test_a_bridge_that_the_inventory_does_not_name_is_left_alone(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        host.vsctl("add-br", "br-other")
        _joined(host, ear)
        ear.service.ensure_bridge(HV1, declared_bridge("br-other"))
        assert "no managed bridge" in ear.until_a(BridgeSetupFailed).reason
        assert _get(host, "bridge", "br-other", "fail_mode") == "[]"


def test_what_the_database_refuses_is_said(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        host.vsctl("add-br", "br0")
        _joined(host, ear)
        too_many = {0: ("ip_src", "ip_dst", "ipv6_src", "ipv6_dst")}
        ear.service.ensure_bridge(HV1, declared_bridge(), None, too_many)
        assert "syntax error: set must have 0 to 3 members" in ear.until_a(BridgeSetupFailed).reason
        assert _get(host, "bridge", "br0", "fail_mode") == "[]"


def test_a_switch_takes_the_datapath_id_of_the_inventory(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        host.start_switch()
        host.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", wait=True)
        _joined(host, ear)
        ear.service.ensure_bridge(HV1, declared_bridge("br0", 0xA1))
        ear.until_a(BridgeSeen, datapath_id=0xA1, secure=True)
