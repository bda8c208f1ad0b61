"""The question and the two kinds of answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from zonewall.policy.model import Action, Rule
from zonewall.values.addresses import IpAddress
from zonewall.values.names import EndpointKey, TenantName


@dataclass(frozen=True, slots=True)
class Probe:
    """A connection's first packet.

    Attributes:
        source: an endpoint by name, or an address as ``tenant`` sees it.
        destination: the same.
        protocol: IP protocol number.
        tenant: in whose view addresses are read; the other end's tenant unless said.
        source_port: for TCP, UDP and SCTP.
        destination_port: for TCP, UDP and SCTP, which cannot be judged without it.
        icmp: (type, code), for ICMP and ICMPv6, which cannot be judged without it.
        source_ip: which address of an endpoint that has several.
        destination_ip: the same.
        time: when, with a time zone; needed only where a rule in question has hours or an end.
    """

    source: EndpointKey | IpAddress
    destination: EndpointKey | IpAddress
    protocol: int
    tenant: TenantName | None = None
    source_port: int | None = None
    destination_port: int | None = None
    icmp: tuple[int, int] | None = None
    source_ip: IpAddress | None = None
    destination_ip: IpAddress | None = None
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProbeError:
    """Why a probe cannot be judged: one line that says what would do."""

    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to the connection, and why.

    Attributes:
        verdict: ``ALLOW``, ``DROP`` or ``REJECT``, never ``PASS``.
        rule: ``tenant/tier/rule``, ``provider/tier/rule``, ``tenant/default`` or ``builtin/...``.
        at: ``file:line`` of the rule; None for built-ins.
        tier: the rule's tier, ``default`` or ``builtin``.
        mirror: names of targets that get a copy, sorted.
        through: service functions in order.
        monitored: the rule would have dropped or rejected, and is only watched.
    """

    verdict: Action
    rule: str
    at: str | None
    tier: str
    mirror: tuple[str, ...] = ()
    through: tuple[str, ...] = ()
    log: Literal["connections", "none"] = "none"
    monitored: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A tier that was asked: its author (a tenant or ``provider``), and its rule that matched, if any."""

    author: str
    tier: str
    rule: Rule | None
