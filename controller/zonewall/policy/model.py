"""The parsed documents as frozen values: all that the evaluator and the compiler share.

Every name in it is already checked to exist (``policy.load``); order is the documents' order. Where
something stands is no part of what it is: an edit above it leaves it equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Literal, NamedTuple

from zonewall.policy.findings import Finding, Location
from zonewall.policy.inventory import Inventory
from zonewall.values.addresses import IpPrefix, MacAddress
from zonewall.values.limits import Limit
from zonewall.values.names import HostName, TenantName, ZoneName
from zonewall.values.services import ServiceTerm


class Action(Enum):
    """What a rule decides."""

    ALLOW = "allow"
    DROP = "drop"
    REJECT = "reject"
    PASS = "pass"  # noqa: S105 - an action of the language, no password


class Mode(Enum):
    """Whether a drop or reject is carried out, or only counted and logged."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


ANY_VALUE = "*"


@dataclass(frozen=True, slots=True)
class Selector:
    """Who is in a zone; every key that is set must hold, values in a tuple are alternatives.

    Attributes:
        labels: key to alternatives; ``("*",)`` is any value of a key that is there. None: not asked.
        endpoints: names within the tenant.
        cidrs: whoever has the address; ``outside`` keeps it to addresses of no endpoint.
        zones: union of other zones of the tenant.
        excluded: taken away from what the rest selects (``except:``).
    """

    labels: Mapping[str, tuple[str, ...]] | None = None
    endpoints: tuple[str, ...] | None = None
    macs: tuple[MacAddress, ...] | None = None
    cidrs: tuple[IpPrefix, ...] | None = None
    zones: tuple[ZoneName, ...] | None = None
    outside: bool = False
    excluded: Selector | None = None


@dataclass(frozen=True, slots=True)
class HostConstraint:
    """Which hosts a zone's members may run on: trust words and host labels, all that are set must hold."""

    trust: tuple[str, ...] | None = None
    labels: Mapping[str, tuple[str, ...]] | None = None
    hosts: tuple[HostName, ...] | None = None


@dataclass(frozen=True, slots=True)
class Zone:
    """A named set of a tenant's endpoints and addresses."""

    name: ZoneName
    selector: Selector
    location: Location = field(compare=False)
    hosts: HostConstraint | None = None
    mode: Mode = Mode.ENFORCE


class Peer(NamedTuple):
    """One side of a rule; a tuple, because thousands of rules are looked up by theirs at each edit.

    ``kind`` says how to read it: ``any`` is everybody, inside or outside; ``external`` everybody who is no
    endpoint of the tenant; ``self`` (in ``to`` only) pairs each ``from`` zone with itself; ``zone`` names
    one. In a tenant's rules ``tenant`` is None and an imported zone is named by its local name; in a
    provider's rules ``tenant`` is a tenant's name or ``"*"``, or None where the rule was written without
    one and is read in each tenant's own view.
    """

    kind: Literal["any", "external", "self", "zone"]
    zone: ZoneName | None = None
    tenant: TenantName | Literal["*"] | None = None


@dataclass(frozen=True, slots=True)
class Hours:
    """When a rule holds: weekdays 0 (Monday) to 6, minutes of the day, an IANA time zone name.

    ``until`` smaller than ``since`` runs past midnight into the next day.
    """

    days: frozenset[int]
    since: int
    until: int
    timezone: str


@dataclass(frozen=True, slots=True)
class OnChange:
    """What happens to live connections of a rule that goes."""

    kind: Literal["cut", "drain", "keep"] = "cut"
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a tier.

    Attributes:
        services: alternatives; empty means every IP protocol.
        mirror: names of mirror targets.
        through: service functions in the order of the connection's first direction.
        mode: None where the rule does not say.
    """

    name: str
    sources: tuple[Peer, ...]
    destinations: tuple[Peer, ...]
    services: tuple[ServiceTerm, ...]
    action: Action
    location: Location = field(compare=False)
    log: Literal["connections", "none"] = "none"
    mirror: tuple[str, ...] = ()
    through: tuple[str, ...] = ()
    limit: Limit | None = None
    hours: Hours | None = None
    expires: datetime | None = None
    on_change: OnChange = OnChange()
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """Rules of which the first that matches wins.

    ``tenants`` (provider tiers only) says for whom it stands; None is every tenant.
    """

    name: str
    rules: tuple[Rule, ...]
    location: Location = field(compare=False)
    mode: Mode | None = None
    tenants: tuple[TenantName, ...] | None = None


@dataclass(frozen=True, slots=True)
class MirrorRule:
    """Copies of chosen traffic, independent of the verdict."""

    name: str
    sources: tuple[Peer, ...]
    destinations: tuple[Peer, ...]
    services: tuple[ServiceTerm, ...]
    targets: tuple[str, ...]
    when: Literal["before", "allowed", "dropped"]
    location: Location
    sample: int = 1
    truncate: int | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """A zone that other tenants may import."""

    zone: ZoneName
    to: tuple[TenantName, ...]
    location: Location = field(compare=False)


@dataclass(frozen=True, slots=True)
class Import:
    """Another tenant's exported zone under a local name."""

    tenant: TenantName
    zone: ZoneName
    local_name: ZoneName
    location: Location = field(compare=False)


@dataclass(frozen=True, slots=True)
class Assertion:
    """A test of the policy: no probe between the two may, or every one must, end in ``verdict``."""

    sources: tuple[Peer, ...]
    destinations: tuple[Peer, ...]
    services: tuple[ServiceTerm, ...]
    quantifier: Literal["never", "always"]
    verdict: Action
    location: Location


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant's policy."""

    name: TenantName
    location: Location = field(compare=False)
    zones: Mapping[ZoneName, Zone]
    tiers: tuple[Tier, ...] = ()
    default: Action = Action.DROP
    default_location: Location | None = field(default=None, compare=False)
    mode: Mode = Mode.ENFORCE
    mirrors: tuple[MirrorRule, ...] = ()
    exports: tuple[Export, ...] = ()
    imports: tuple[Import, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    learn_addresses: bool = False


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """What one endpoint, tenant or port may cause; None is no limit but the built-in one."""

    new_connections_per_s: int | None = None
    new_connections_per_tenant_per_s: int | None = None
    tracked_connections: int | None = None
    announcements_per_s: int = 20


@dataclass(frozen=True, slots=True)
class Response:
    """What alerts of an IDS lead to.

    Attributes:
        signature: words with ``*``, or the signature's number; None is any.
        severity: this or worse (lower); None is any.
        count: so many alerts about one endpoint within ``within_s`` seconds.
        who: which end of the alert it is about.
        monitor: only say what would be done.
        at_most: endpoints of one tenant in an hour; None is no cap.
    """

    name: str
    action: Literal["quarantine", "limit", "mirror", "notify"]
    location: Location
    signature: str | None = None
    severity: int | None = None
    count: int = 1
    within_s: int | None = None
    who: Literal["attacker", "victim"] = "attacker"
    limit: Limit | None = None
    targets: tuple[str, ...] = ()
    expires_s: int | None = None
    exempt: tuple[Peer, ...] = ()
    at_most: int | None = None
    monitor: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """The operator's own tiers and what holds for all tenants."""

    before: tuple[Tier, ...] = ()
    after: tuple[Tier, ...] = ()
    limits: ProviderLimits = ProviderLimits()
    ethertypes: frozenset[int] = frozenset()
    multicast: frozenset[str] = frozenset()
    remediation: tuple[TenantName, ZoneName] | None = None
    respond: tuple[Response, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """One directory of documents, whole and checked.

    Attributes:
        warnings: what the author should know, though it can be used.
    """

    inventory: Inventory
    provider: Provider
    tenants: Mapping[TenantName, Tenant]
    warnings: tuple[Finding, ...] = ()
