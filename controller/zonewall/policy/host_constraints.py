"""Which hosts the members of a zone may run on."""

from __future__ import annotations

from zonewall.policy.inventory import HostDeclaration
from zonewall.policy.membership import labels_match
from zonewall.policy.model import HostConstraint


def accepts(asked: HostConstraint, host: HostDeclaration) -> bool:
    """Say whether members may run on a host: all that the zone asks for holds there."""
    if asked.trust is not None and host.trust not in asked.trust:
        return False
    if asked.hosts is not None and host.name not in asked.hosts:
        return False
    return asked.labels is None or labels_match(asked.labels, host.labels or {})
