"""How many files and connections the process may have open, and what part of them strangers may take."""

from __future__ import annotations

import resource

WANTED = 65536


def raise_limit(wanted: int = WANTED) -> None:
    """Allow this process as many descriptors as it wants, or as it may (getrlimit(2), RLIMIT_NOFILE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def a_quarter(most: int) -> int:
    """Return ``most``, or a quarter of what this process may have open where that is less."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft // 4))
