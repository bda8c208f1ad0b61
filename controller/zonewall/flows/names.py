"""Numbers in flows back to the words they stand for, for logical text and explanations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zonewall.intent.fleet import Policy
from zonewall.intent.numbering import Kind
from zonewall.pipeline.model import Field
from zonewall.pipeline.registers import (
    BANK,
    CHAIN,
    DST_ENDPOINT,
    DST_IDENTITY,
    LABEL_DST,
    LABEL_RULE,
    LABEL_SRC,
    ORIGIN,
    RULE,
    SRC_IDENTITY,
    TENANT,
    VERDICT,
    VIA,
)

ORIGINS = {1: "endpoint", 2: "uplink", 3: "fabric", 4: "service"}
VERDICTS = {1: "allow", 2: "drop", 3: "reject"}


def field_names(policy: Policy) -> Mapping[Field, Callable[[int], str]]:
    """Return, for each field whose numbers have names, the function from number to name."""
    identities = names_of(policy, Kind.IDENTITY) | names_of(policy, Kind.OUTSIDE)
    rules = names_of(policy, Kind.RULE)
    by_field: dict[Field, dict[int, str]] = {
        SRC_IDENTITY: identities,
        DST_IDENTITY: identities,
        LABEL_SRC: identities,
        LABEL_DST: identities,
        RULE: rules,
        LABEL_RULE: rules,
        TENANT: names_of(policy, Kind.TENANT),
        BANK: names_of(policy, Kind.BANK),
        CHAIN: names_of(policy, Kind.CHAIN),
        VIA: {0: "local", 4095: "uplink", **names_of(policy, Kind.DESTINATION)},
        DST_ENDPOINT: {0: "none", 1: "outside", **names_of(policy, Kind.ENDPOINT)},
        ORIGIN: ORIGINS,
        VERDICT: VERDICTS,
    }
    return {field: _lookup(names) for field, names in by_field.items()}


def rule_names(policy: Policy) -> Mapping[int, str]:
    """Return every rule's name by its number."""
    return names_of(policy, Kind.RULE)


def names_of(policy: Policy, kind: Kind) -> dict[int, str]:
    """Return the names of one kind by their numbers."""
    return {number: name for name, number in policy.numbering.numbers.get(kind.word, {}).items()}


def _lookup(names: dict[int, str]) -> Callable[[int], str]:
    return lambda number: names.get(number, str(number))
