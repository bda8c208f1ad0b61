"""A connection with a round trip every few milliseconds, and whether it has been cut."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from topologies.probes import EchoServer, Stream

from support.site import Site

DEAD_S = 10.0


@contextmanager
def live(site: Site, client: str, server: str, port: int) -> Iterator[Stream]:
    """Give a connection between two machines that goes on until the block ends."""
    answering = EchoServer(site.machines[server], (port,))
    answering.start()
    stream = Stream(site.machines[client], site.machines[server].ips[0], port)
    stream.start()
    try:
        yield stream
    finally:
        stream.stop()
        answering.stop()


def is_cut(stream: Stream) -> bool:
    """Say whether the connection dies, and stays so for longer than TCP waits to repeat."""
    deadline = time.monotonic() + DEAD_S
    while time.monotonic() < deadline:
        # A machine that is busy may make it pause as long before it is cut.
        if time.monotonic() - stream.last() >= 0.4 and not stream.goes_on(0.5):
            return True
        time.sleep(0.01)
    return False
