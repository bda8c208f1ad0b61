"""What the matrix says of two zones holds for every two members, as the evaluator judges them."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from support.generated_configurations import worlds
from zonewall.intent.matrix import EXTERNAL, NO_ZONE, Matrix, matrix
from zonewall.intent.regions import Regions
from zonewall.intent.semantics import Probe, Verdict, verdict
from zonewall.intent.semantics.connection import connect
from zonewall.intent.semantics.ends import find_ends
from zonewall.intent.semantics.membership import End, is_in_zone
from zonewall.intent.service_classes import Sample
from zonewall.policy.model import Configuration, Tenant

SOME = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def names(tenant: Tenant, end: End, probe: Probe, other: End) -> set[str]:
    """Return the rows or columns of a tenant's matrix that an end is in."""
    if end.tenant.name != tenant.name:
        connection = connect(end, other, probe)
        return {
            str(one.local_name)
            for one in tenant.imports
            if connection.is_imported(tenant, one.local_name, end)
        }
    found = {str(zone) for zone in tenant.zones if is_in_zone(tenant, zone, end)}
    return found | {EXTERNAL} if end.is_outside else found or {NO_ZONE}


def claims(shown: Matrix, bit: int, rows: set[str], columns: set[str]) -> set[str]:
    """Return what the cells of a probe say of it: ``always``, ``sometimes`` or ``never``."""
    said = set()
    for row in rows:
        for column in columns:
            cell = shown.cells[row, column]
            assert not cell.empty
            words = {"always": cell.always_bits & bit, "sometimes": cell.sometimes_bits & bit}
            said.add(next((word for word, holds in words.items() if holds), "never"))
    return said


@SOME
@given(world=worlds())
def test_always_never_and_sometimes_hold_for_every_probe(world: tuple[Configuration, list[Probe]]) -> None:
    configuration, probes = world
    regions = Regions.of(configuration)
    shown = {name: matrix(regions, tenant) for name, tenant in configuration.tenants.items()}
    for probe in probes:
        ends = find_ends(configuration, probe)
        judged = verdict(configuration, probe)
        assert isinstance(ends, tuple)
        assert isinstance(judged, Verdict)
        packet = Sample(probe.protocol, probe.source_port, probe.destination_port, probe.icmp)
        bit = 1 << regions.services.place(packet)
        for end in ends:
            tenant = end.tenant
            rows, columns = (names(tenant, one, probe, other) for one, other in (ends, ends[::-1]))
            said = claims(shown[tenant.name], bit, rows, columns)
            passes = judged.verdict.value == "allow"
            assert ("never" if passes else "always") not in said, (probe, judged, rows, columns)
