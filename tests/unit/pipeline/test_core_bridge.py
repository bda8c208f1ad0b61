"""A core bridge holds flows for the bridges that it joins, whatever the number of machines."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from zonewall.flows.render import render_program
from zonewall.intent.fleet import index_fleet, prepare
from zonewall.intent.numbering import Numbering
from zonewall.pipeline.compile import compile_bridge
from zonewall.placement.model import BridgeKey
from zonewall.policy.load import load_directory
from zonewall.store.placement_file import read_placement
from zonewall.values.names import BridgeName, HostName

EDGES = ("hv1", "hv2", "hv3")
CORE = BridgeKey(HostName("core"), BridgeName("br-core"))
EDGE = BridgeKey(HostName("hv1"), BridgeName("br-int"))


def flows(folder: Path, machines: int, bridge: BridgeKey) -> list[str]:
    """Return a bridge's flows in a star of three hosts around a core, with machines on each host."""
    fabric = {"role": "fabric"}
    hosts = {
        host: {"bridges": {"br-int": {"attachment": "fabric", "ports": {"up": fabric}}}} for host in EDGES
    }
    downs = {f"down{number}": fabric for number in range(3)}
    hosts["core"] = {"bridges": {"br-core": {"attachment": "fabric", "ports": downs}}}
    numbers = [(at, one) for at in range(3) for one in range(machines)]
    endpoints = [
        {
            "name": f"vm{at}-{one}",
            "tenant": "acme",
            "iface-id": f"vm{at}-{one}",
            "mac": f"52:54:00:00:0{at}:{one:02x}",
            "ips": [f"10.0.{at}.{one + 1}"],
        }
        for at, one in numbers
    ]
    placements = [
        {"endpoint": f"acme/vm{at}-{one}", "host": EDGES[at], "bridge": "br-int", "ofport": one + 10}
        for at, one in numbers
    ]
    ports = [{"host": host, "bridge": "br-int", "name": "up", "ofport": 1} for host in EDGES]
    ports += [{"host": "core", "bridge": "br-core", "name": f"down{at}", "ofport": at + 1} for at in range(3)]
    links = [{"a": f"{host}/br-int/1", "b": f"core/br-core/{at + 1}"} for at, host in enumerate(EDGES)]
    rules = [{"name": "all", "from": "any", "to": "any", "action": "allow"}]
    tenant = {"kind": "tenant", "tenant": "acme", "tiers": [{"name": "application", "rules": rules}]}
    directory = folder / str(machines)
    directory.mkdir(exist_ok=True)
    (directory / "tenant.yaml").write_text(yaml.safe_dump(tenant))
    inventory = {"kind": "inventory", "hosts": hosts, "endpoints": endpoints}
    (directory / "inventory.yaml").write_text(yaml.safe_dump(inventory))
    placement = folder / f"placement-{machines}"
    placement.write_text(yaml.safe_dump({"placements": placements, "ports": ports, "links": links}))
    policy = prepare(load_directory(directory), Numbering())
    program = compile_bridge(index_fleet(policy, read_placement(placement)), bridge)
    return list(render_program(program))


@pytest.mark.parametrize("machines", [10, 40])
def test_a_core_bridge_holds_the_same_flows_however_many_machines_there_are(
    tmp_path: Path, machines: int
) -> None:
    assert flows(tmp_path, machines, CORE) == flows(tmp_path, 1, CORE)
    assert len(flows(tmp_path, machines, EDGE)) > len(flows(tmp_path, 1, EDGE)) + 3 * (machines - 1)


def test_no_machine_is_named_on_a_core_bridge(tmp_path: Path) -> None:
    text = "\n".join(flows(tmp_path, 10, CORE))
    assert "output:" in text
    assert "52:54:00" not in text
    assert "10.0." not in text
