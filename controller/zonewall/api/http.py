"""aiohttp, for a socket on this machine: without the TLS that it would read every known authority for."""

from zonewall.lean import import_without

import_without("aiohttp", "ssl", even_if_read=True)

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector, web  # noqa: E402 - see above
from aiohttp.typedefs import Handler  # noqa: E402

__all__ = ["ClientError", "ClientSession", "ClientTimeout", "Handler", "UnixConnector", "web"]
