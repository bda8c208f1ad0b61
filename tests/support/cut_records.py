"""What the journal of a running controller tells of connections that were cut."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from support.site import Site

PATIENCE_S = 20.0


def cut_connections(site: Site, *words: str) -> list[dict[str, Any]]:
    """Return the details of its records, oldest first; ``words`` say which."""
    done = site.command("journal", "--state", str(site.state), "--kind", "cut", "--output", "json", *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["details"] for line in done.stdout.splitlines()]


def wait_for_cuts(
    site: Site, least: int, wanted: Callable[[dict[str, Any]], bool], *words: str
) -> list[dict[str, Any]]:
    """Return those that are wanted, as soon as there are so many, or all that came in time."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        told = [one for one in cut_connections(site, *words) if wanted(one)]
        if len(told) >= least or time.monotonic() > deadline:
            return told
        time.sleep(0.1)
