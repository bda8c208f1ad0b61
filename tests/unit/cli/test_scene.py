"""What a running controller says is in force is read back as it is there: numbers, places, addresses."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from zonewall.cli import scene
from zonewall.errors import ZonewallError
from zonewall.intent.numbering import Kind
from zonewall.placement.model import Binding, BridgeKey, Link, Placement
from zonewall.policy.load import load_texts
from zonewall.store.placement_document import placement_document
from zonewall.store.placement_file import parse_placement
from zonewall.values.names import BridgeName, EndpointKey, HostName, OfPort

DEMO = Path(__file__).parents[3] / "policies" / "demo"
NOW = datetime.now(UTC)
HV1, HV2 = (BridgeKey(HostName(name), BridgeName("br-int")) for name in ("hv1", "hv2"))
WEB1 = EndpointKey("acme/web1")
PLACEMENT = Placement(
    {WEB1: (Binding(WEB1, HV1, OfPort(5)),)},
    {(HV1, "fab0"): OfPort(1), (HV2, "fab0"): OfPort(2)},
    frozenset({Link((HV1, OfPort(1)), (HV2, OfPort(2)))}),
)


def documents() -> dict[str, str]:
    """Return the demo's documents without web1's addresses, so that it may get one."""
    mac = '"52:54:00:00:00:01"'
    given = f'{mac}, ips: [10.0.0.1, "fd00::1"], labels: {{role: web}}'
    texts = {file.name: file.read_text() for file in DEMO.glob("*.yaml")}
    assert given in texts["inventory.yaml"]
    texts["inventory.yaml"] = texts["inventory.yaml"].replace(given, f"{mac}, labels: {{role: web}}")
    return texts


def in_force(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> scene.Scene:
    document: dict[str, Any] = {
        "documents": documents(),
        "numbering": {"tenant": {"acme": 7}},
        "placement": placement_document(PLACEMENT),
        "addresses": [["acme/web1", "10.0.0.77", "dhcp"]],
        "outliving": [["acme/application/gone", None]],
    }
    monkeypatch.setattr(scene, "look", lambda *_: {**document, **changes})
    return scene.in_force(Path("/nowhere"), NOW)


def test_a_placement_written_down_is_read_as_it_was() -> None:
    assert parse_placement(placement_document(PLACEMENT), "here") == PLACEMENT


def test_numbers_places_and_learnt_addresses_are_the_controllers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = in_force(monkeypatch)
    assert found.policy().number(Kind.TENANT, "acme") == 7
    assert found.placement == PLACEMENT
    assert ip_address("10.0.0.77") in found.configuration.inventory.endpoints[WEB1].ips


def test_what_is_learnt_stays_so_under_other_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    found = in_force(monkeypatch)
    other = load_texts({file: text.encode() for file, text in documents().items()})
    assert other.configuration is not None
    assert ip_address("10.0.0.77") in found.with_learnt(other.configuration).inventory.endpoints[WEB1].ips


def test_a_rule_whose_connections_outlive_it_is_among_what_bridges_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = in_force(monkeypatch)
    assert [one.rule for one in found.policy().passing.outliving] == ["acme/application/gone"]


def test_a_controller_that_says_less_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZonewallError, match="another version"):
        in_force(monkeypatch, numbering="none")
