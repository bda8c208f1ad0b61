"""Where bridges send IPFIX, as the inventory says it; what is refused."""

from __future__ import annotations

import pytest

from zonewall.policy.inventory import FlowExport
from zonewall.policy.load import LoadResult, load_texts

HOSTS = "kind: inventory\nhosts: {hv1: {bridges: {br-int: {attachment: fabric}}}}\n"


def read(said: str, *more: str) -> LoadResult:
    texts = {"inventory.yaml": f"{HOSTS}flow-export: {said}\n"}
    texts.update(
        (f"more{number}.yaml", f"kind: inventory\nflow-export: {one}\n") for number, one in enumerate(more)
    )
    return load_texts({name: text.encode() for name, text in texts.items()})


def test_collectors_are_addresses_with_ports_and_all_packets_are_looked_at_unless_said() -> None:
    result = read("{collectors: ['192.0.2.9:4739', '[2001:db8::9]:9995']}")
    assert result.configuration is not None
    assert result.configuration.inventory.export == FlowExport(("192.0.2.9:4739", "[2001:db8::9]:9995"))


def test_one_in_a_hundred_packets_may_do() -> None:
    result = read("{collectors: '192.0.2.9:4739', sample: 1/100}")
    assert result.configuration is not None
    assert result.configuration.inventory.export == FlowExport(("192.0.2.9:4739",), 100)


@pytest.mark.parametrize(
    "collector", ["192.0.2.9", "collector:4739", "192.0.2.9:0", "192.0.2.9:70000", "::1:4739x"]
)
def test_what_is_no_collector_is_refused_with_an_example(collector: str) -> None:
    result = read(f"{{collectors: ['{collector}']}}")
    assert any("192.0.2.9:4739" in finding.message for finding in result.findings if finding.is_error)


def test_it_is_said_once() -> None:
    result = read("{collectors: '192.0.2.9:4739'}", "{collectors: '192.0.2.10:4739'}")
    assert any("flow-export" in finding.message for finding in result.findings if finding.is_error)
