"""Which hosts the members of a zone may run on."""

from __future__ import annotations

from collections.abc import Mapping

from zonewall.policy.inventory import HostDeclaration
from zonewall.policy.model import ANY_VALUE, HostConstraint


def accepts(asked: HostConstraint, host: HostDeclaration) -> bool:
    """Say whether members may run on a host: all that the zone asks for holds there."""
    if asked.trust is not None and host.trust not in asked.trust:
        return False
    if asked.hosts is not None and host.name not in asked.hosts:
        return False
    return asked.labels is None or has_labels(host.labels or {}, asked.labels)


def has_labels(labels: Mapping[str, str], asked: Mapping[str, tuple[str, ...]]) -> bool:
    """Say whether every label that is asked for is there, with one of its values."""
    return all(
        key in labels and (ANY_VALUE in values or labels[key] in values) for key, values in asked.items()
    )
