"""A packet that shows what was found, and what the evaluator says about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from zonewall.intent.analysis.ends import FAMILY_OF, Example, first_pair
from zonewall.intent.analysis.regions import OTHER, Protocols, Region
from zonewall.intent.semantics import Probe, ProbeError, Verdict, verdict
from zonewall.policy.model import Configuration
from zonewall.values.addresses import IpAddress
from zonewall.values.names import TenantName
from zonewall.values.services import PORT_PROTOCOLS, Protocol

_WORDS = {int(protocol): protocol.name.lower() for protocol in Protocol}
_HIGH_PORT = 40000


@dataclass(frozen=True, slots=True)
class Witness:
    """A connection's first packet and its verdict."""

    probe: Probe
    verdict: Verdict

    @property
    def service(self) -> str:
        """Return the probe's service as a policy writes it."""
        return service_text(self.probe)

    def __str__(self) -> str:
        """Return ``web1 (10.0.0.1) to db1 (10.0.0.2), tcp/22: allow by acme/app/ssh (acme.yaml:7)``."""
        probe, said = self.probe, self.verdict
        place = f" ({said.at})" if said.at else ""
        word = "allow (merely watched)" if said.monitored else said.verdict.value
        ends = (
            str(end) if address is None or str(end) == str(address) else f"{end} ({address})"
            for end, address in (
                (probe.source, probe.source_ip),
                (probe.destination, probe.destination_ip),
            )
        )
        return f"{' to '.join(ends)}, {self.service}: {word} by {said.rule}{place}"


def witness_of(
    configuration: Configuration,
    tenant: TenantName,
    pair: tuple[Example, Example],
    header: Probe,
    at: datetime,
) -> Witness | None:
    """Return the connection between two ends with a header's service; None where it cannot be judged."""
    source, destination = pair
    probe = Probe(
        source=source.address if source.endpoint is None else source.endpoint,
        destination=destination.address if destination.endpoint is None else destination.endpoint,
        protocol=header.protocol,
        tenant=tenant,
        source_port=header.source_port,
        destination_port=header.destination_port,
        icmp=header.icmp,
        source_ip=None if source.endpoint is None else source.address,
        destination_ip=None if destination.endpoint is None else destination.address,
        time=at,
    )
    said = verdict(configuration, probe)
    return None if isinstance(said, ProbeError) else Witness(probe, said)


Sides = tuple[Mapping[str, Mapping[int, list[Example]]], Mapping[str, Mapping[int, list[Example]]]]
"""Examples of ends by identity, for a bank's source and its destination."""


def find_packet(
    protocols: Protocols, region: Region, sides: Sides, groups: tuple[Iterable[str], Iterable[str]]
) -> tuple[tuple[Example, Example], Probe] | None:
    """Return an end of each group of identities and a packet of the region; None: they cannot meet."""
    destinations = list(groups[1])
    for protocol in sorted(region, key=lambda key: (key not in (6, 17), key)):
        family = FAMILY_OF.get(protocol)
        for source in groups[0]:
            for destination in destinations:
                pair = first_pair(sides[0][source], sides[1][destination], family)
                if pair is not None:
                    return pair, _header(protocols, region, protocol, pair[0].address)
    return None


def _header(protocols: Protocols, region: Region, protocol: int, anywhere: IpAddress) -> Probe:
    """Return a packet of a protocol of the region; of its two ends only the service is meant."""
    first, last, low, high = region[protocol][0]
    number = (protocols.other or 0) if protocol == OTHER else protocol
    if number in PORT_PROTOCOLS:
        source_port = min(max(_HIGH_PORT, low), high)
        port = first or min(1, last)
        return Probe(anywhere, anywhere, number, source_port=source_port, destination_port=port)
    if number in FAMILY_OF:
        return Probe(anywhere, anywhere, number, icmp=(first, low))
    return Probe(anywhere, anywhere, number)


def service_text(probe: Probe) -> str:
    """Return ``tcp/443``, ``icmp/8/0`` or ``ip/47``."""
    word = _WORDS.get(probe.protocol)
    if word is None:
        return f"ip/{probe.protocol}"
    if probe.icmp is not None:
        return f"{word}/{probe.icmp[0]}/{probe.icmp[1]}"
    return f"{word}/{probe.destination_port}"
