"""Each of a port's meters is one thing's, whatever the endpoint is."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from support.compiled import CompiledFleet
from support.configurations import configure, endpoint, probe, rule, tenant, tier
from zonewall.errors import CompileError
from zonewall.pipeline.meters import of_subject, strictest
from zonewall.pipeline.model import Meter, MeterEntry, MeterUnit, ToController
from zonewall.pipeline.stages.admit import endpoint_meter
from zonewall.placement.learnt import AddressBook, laid_over
from zonewall.values.limits import Limit
from zonewall.values.names import EndpointKey

LIMITED = EndpointKey("acme/limited")
PLAIN, CLIENT = {"ips": ("10.0.0.1",)}, {"ips": ()}
SERVER = {"ips": ("10.0.0.1",), "roles": ("dhcp-server",)}


@pytest.mark.parametrize("kind", [PLAIN, CLIENT, SERVER], ids=["plain", "client", "server"])
def test_the_limit_on_an_endpoint_is_the_only_one_of_its_meters_number(kind: dict[str, Any]) -> None:
    limited = replace(endpoint(LIMITED, *kind["ips"], roles=kind.get("roles", ())), limit=Limit(100, "kbps"))
    other = endpoint("acme/other", "10.0.0.2", roles=("dhcp-server",))
    own = tenant("acme", tier("t", rule("all", "any", "any")), learn_addresses=True)
    fleet = CompiledFleet(laid_over(configure(limited, other, own), AddressBook()))
    program = fleet.programs[fleet.places[LIMITED][0]]

    always = next(flow for flow in program.flows if flow.table.name == "admit" and flow.priority == 90)
    (used,) = [action.number for action in always.actions if isinstance(action, Meter)]
    (entry,) = [meter for meter in program.meters if meter.number == used]
    assert (entry.unit, entry.rate) == (MeterUnit.KBPS, 100)
    asked = [one for flow in program.flows for one in flow.actions if isinstance(one, ToController)]
    assert used not in {one.meter for one in asked}


@pytest.mark.parametrize("what", ["tcp/80", "udp/53"])
@pytest.mark.parametrize("moved", [True, False])
def test_the_limit_on_an_endpoint_holds_for_what_is_taken_up_after_a_move(what: str, moved: bool) -> None:
    limited = replace(endpoint(LIMITED, "10.0.0.1"), limit=Limit(100, "kbps"))
    ends = [limited, endpoint("acme/other", "10.0.0.2")]
    own = tenant("acme", tier("t", rule("asks", "any", "any", services=what)))
    far = EndpointKey("acme/other")
    fleet = CompiledFleet(configure(*ends, own), midstream=frozenset({LIMITED} if moved else ()))
    assert fleet.places[far][0] != fleet.places[LIMITED][0]
    number = int(what.partition("/")[2])
    answer = probe(LIMITED, far, what.partition("/")[0] + "/40000", sport=number)
    port, frame = fleet.entering(answer, *fleet.addresses(answer))
    seen = fleet.send(port, frame.but(tcp_flags=0x10) if what == "tcp/80" else frame)

    used = Meter(endpoint_meter(port[1]))
    assert any(used in flow.actions for _, flow in seen.trail) is moved


def test_a_subject_gives_a_meter_one_value() -> None:
    one, other = MeterEntry(5, MeterUnit.PPS, 20, 20), MeterEntry(5, MeterUnit.KBPS, 100, 100)
    assert of_subject((one, one)) == (one,)
    with pytest.raises(CompileError):
        of_subject((one, other))


def test_of_several_values_the_same_one_holds_in_whatever_order_they_came() -> None:
    values = [
        MeterEntry(5, MeterUnit.PPS, 20, 20), MeterEntry(5, MeterUnit.PPS, 500, 500),
        MeterEntry(5, MeterUnit.PPS, 20, 10),
    ]  # fmt: skip
    assert {strictest(order) for order in permutations(values)} == {values[2]}
