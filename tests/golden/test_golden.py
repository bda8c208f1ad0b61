"""Cases compile to exactly the flows written beside them; a golden file's diff is reviewed like code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.compiled import CompiledFleet
from support.configurations import configure, endpoint, mirror, rule, tenant, tier, zone
from support.golden import hold
from zonewall.placement.model import BindingState
from zonewall.policy.model import Configuration, Provider, Rule
from zonewall.values.names import EndpointKey, TenantName, ZoneName

WEB, DB = EndpointKey("acme/web"), EndpointKey("acme/db")


def shop(*rules: Rule, roles: tuple[str, ...] = (), **fields: Any) -> Configuration:
    zones = [zone(name, labels={"role": name}) for name in ("web", "db")]
    acme = tenant(
        "acme", tier("t", *rules), zones=[*zones, *fields.pop("zones", ())], mirrors=fields.pop("mirrors", ())
    )
    ends = [
        endpoint("acme/db", "10.0.0.2", "fd00::2", labels={"role": "db"}, roles=roles),
        endpoint("acme/web", "10.0.0.1", labels={"role": "web"}),
    ]
    return configure(*ends, acme, mirror_targets=("ids",), service_functions=("waf",), **fields)


def crowd() -> Configuration:
    """Return many identities on both sides of one rule with many services, which only a sum can carry."""
    names = [f"z{n}" for n in range(6)]
    own = tenant(
        "acme",
        tier(
            "t",
            rule("many", " ".join(names[:3]), " ".join(names[3:]), services=["tcp/80", "udp/53", "tcp/443"]),
        ),
        zones=[zone(name, labels={"role": name}) for name in names],
    )
    return configure(
        *(endpoint(f"acme/{n}", f"10.0.0.{i}", labels={"role": n}) for i, n in enumerate(names, 1)), own
    )


ALLOW = rule("shop", "web", "db", services="tcp/80")
CASES: dict[str, Callable[[], CompiledFleet]] = {
    "allow_and_drop": lambda: CompiledFleet(shop(ALLOW, rule("no", "web", "db", "drop"))),
    "reject": lambda: CompiledFleet(shop(rule("no", "web", "db", "reject", services="tcp/22"), ALLOW)),
    "conjunction": lambda: CompiledFleet(crowd()),
    "redirect_and_mirror": lambda: CompiledFleet(
        shop(
            rule("shop", "web", "db", services="tcp/80", through=("waf",), mirror=("ids",)),
            mirrors=(mirror("all", "any", "db"),),
        )
    ),
    "outside_zones": lambda: CompiledFleet(
        shop(
            rule("in", "branch", "web"),
            zones=[zone("branch", cidrs=["192.0.2.0/24"]), zone("desk", cidrs=["192.0.2.128/25"])],
        )
    ),
    "quarantine": lambda: CompiledFleet(
        shop(ALLOW, provider=Provider(remediation=(TenantName("acme"), ZoneName("db")))),
        states={WEB: BindingState.QUARANTINED},
    ),
    "pending_and_midstream": lambda: CompiledFleet(
        shop(ALLOW), states={WEB: BindingState.PENDING}, midstream=frozenset({DB})
    ),
    "dhcp": lambda: CompiledFleet(shop(ALLOW, roles=("dhcp-server",))),
}


@pytest.mark.parametrize("name", CASES)
def test_the_case_compiles_to_the_flows_beside_it(name: str, request: pytest.FixtureRequest) -> None:
    update = bool(request.config.getoption("--update-golden"))

    assert hold(Path(__file__).parent / name, CASES[name](), update) == {}


def test_every_folder_is_a_case() -> None:
    folders = {path.name for path in Path(__file__).parent.iterdir() if any(path.glob("*.flows"))}

    assert folders == set(CASES)
