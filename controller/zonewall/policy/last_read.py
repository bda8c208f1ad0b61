"""What is remembered of documents that were read, for when they are read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zonewall.policy.findings import Finding
from zonewall.policy.model import Configuration
from zonewall.values.names import TenantName

if TYPE_CHECKING:
    from zonewall.policy.lookups import Names
    from zonewall.policy.service_terms import ServiceEntry

Texts = Mapping[str, bytes]
"""Documents by file name."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A list in a text: where its items begin, in characters; whether it is written with brackets."""

    starts: Sequence[int]
    in_brackets: bool


Lists = Mapping[int | None, Listed]
"""A file's long lists: rules by the number of their tier, endpoints under None."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of one document: whose policy it is (None: an inventory), its services, its lists."""

    tenant: TenantName | None
    services: Mapping[str, tuple[ServiceEntry, ...]]
    lists: Lists


@dataclass(frozen=True, slots=True)
class Last:
    """What was read last, without errors, of how many values and alternatives of services (or more).

    Attributes:
        of_inventory: what was found of all inventories together, once that was asked of them as they are.
        names: what a document may refer to, once that was asked.
    """

    texts: Texts
    configuration: Configuration
    files: Mapping[str, File]
    values: int
    terms: int
    of_inventory: tuple[Finding, ...] | None = None
    names: Names | None = None
