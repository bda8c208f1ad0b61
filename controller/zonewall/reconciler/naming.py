"""How connections are told of: rules by name and place, ends by tenant, zones, endpoint and port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zonewall.intent.identity import parts_of
from zonewall.intent.numbering import Kind as Numbered
from zonewall.intent.policy import Policy
from zonewall.openflow.events import PacketIn
from zonewall.pipeline.cookie import Reason, is_of_another_layout
from zonewall.pipeline.model import Field
from zonewall.reconciler.reconciler import Reconciler
from zonewall.values.addresses import IpAddress
from zonewall.values.names import EndpointKey, TenantName

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 58: "icmp6", 132: "sctp"}


class Names:
    """How numbers and addresses are called under one policy; found once for it."""

    def __init__(self, policy: Policy, reconciler: Reconciler) -> None:
        """Look names up in ``policy``, and places in what ``reconciler`` knows at the time."""
        self.policy = policy
        self._reconciler = reconciler
        self.rules = {n: name for name, n in policy.numbering.numbers.get(Numbered.RULE.word, {}).items()}
        self.places = {
            name: None if record.location is None else str(record.location)
            for name, record in policy.records.items()
        }
        # With those that nobody has any more: a connection may be remembered by one.
        self._identities = {
            number: name
            for kind in (Numbered.IDENTITY, Numbered.OUTSIDE)
            for name, number in policy.numbering.numbers.get(kind.word, {}).items()
        }
        self._owners: dict[tuple[TenantName, IpAddress], EndpointKey] = {
            (one.tenant, ip): key
            for key, one in policy.configuration.inventory.endpoints.items()
            for ip in one.ips
        }

    def end(self, address: IpAddress, number: int) -> dict[str, Any]:
        """Return who is at one end, in which zones and where."""
        name = self._identities.get(number)
        if name is None:
            return {"tenant": None, "zones": [], "endpoint": None, "port": None}
        tenant, zones, is_outside = parts_of(name)
        owner = None if is_outside else self._owners.get((tenant, address))
        record = None if owner is None else self._reconciler.world.fleet.records.get(owner)
        holder = None if record is None else record.holder
        return {
            "tenant": str(tenant),
            "zones": zones,
            "endpoint": None if owner is None else str(owner),
            "port": None if holder is None else str(holder.port),
        }


class Naming:
    """Keeps the names of the policy in force."""

    def __init__(self, reconciler: Reconciler) -> None:
        """Follow the policy of ``reconciler``."""
        self._reconciler = reconciler
        self._names: Names | None = None

    def current(self) -> Names:
        """Return the names under the policy in force."""
        policy = self._reconciler.world.policy
        if self._names is None or self._names.policy is not policy:
            self._names = Names(policy, self._reconciler)
        return self._names


_PLAIN = {
    bytes([reason])
    for reason in (Reason.ANNOUNCEMENT, Reason.DISCOVERY, Reason.SPOKE, Reason.PROBE, Reason.GIVEN_UP)
}
"""What is told by frame and port alone."""


def is_readable(event: PacketIn) -> bool:
    """Say whether a frame means what this version takes it for: another layout's registers do not."""
    return event.userdata[:1] in _PLAIN or not is_of_another_layout(event.cookie)


def value_of(event: PacketIn, field: Field) -> int:
    """Return what a frame's register field held when it was sent up."""
    return dict(event.registers).get(int(field.base.removeprefix("reg")), 0) >> field.low & field.ones


def written(word: str, address: IpAddress, port: int | None, end: Mapping[str, Any]) -> dict[str, Any]:
    """Return one end of a connection as records say it; what does not apply is left out."""
    said = {"address": str(address), **{key: value for key, value in end.items() if value}}
    if port is not None:
        said["service"] = port
    return {word: said}


def protocol_word(number: int) -> str:
    """Return what records call a protocol: its name, or its number."""
    return _PROTOCOLS.get(number, str(number))
