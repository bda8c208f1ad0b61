"""What tells why a packet fared otherwise than it should: asked once it has, for a person to read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from support.raw_probes import Knock, outcome
from support.site import Site

LOG_CHARACTERS = 6000
ASKED = ("upcall/show", "dpctl/dump-flows", "dpctl/dump-conntrack")


def told(site: Site, knocks: Sequence[Knock]) -> str:
    """Return the time, what was dropped and why, whether the packets pass now, and the controller's log.

    What fares otherwise without cached decisions met one that was older than the flows.
    """
    said = [f"now {datetime.now(UTC).isoformat()}"]
    for name, host in site.hosts.items():
        drops = [line for line in host.appctl("coverage/show").splitlines() if "drop" in line]
        flows = [
            line for line in host.ofctl("dump-flows", "br-int").splitlines() if "n_packets=0," not in line
        ]
        cached = [line for words in ASKED for line in host.appctl(words).splitlines()]
        said += [f"{name}: {line}" for line in (*drops, *flows, *cached)]
    passes = outcome(knocks)
    for host in site.hosts.values():
        host.appctl("revalidator/purge")
    for one, does, did in zip(knocks, outcome(knocks), passes, strict=True):
        said.append(f"{one.probe()}: passes again: {did}, without cached decisions: {does}")
    return "\n".join([*said, site.log()[-LOG_CHARACTERS:]])
