"""Packets of a host's own that are dropped for a while, as a network that is broken drops them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from topologies.lab import Host


@contextmanager
def dropped(host: Host, direction: str, what: str) -> Iterator[None]:
    """Drop what a host hears (``input``) or says (``output``) and an expression of nft(8) matches."""
    chain = f"chain c {{\n type filter hook {direction} priority 0; {what} drop\n }}"
    host.run("nft", "-f", "-", stdin=f"table inet dropped {{\n {chain}\n}}\n")
    try:
        yield
    finally:
        host.run("nft", "delete", "table", "inet", "dropped")
