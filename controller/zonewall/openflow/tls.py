"""TLS of OpenFlow sessions: 1.2 or later, and a bridge must show a certificate that our authority signed."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Our key and certificate, and the authority that signs the bridges' certificates."""

    private_key: Path
    certificate: Path
    bridge_authority: Path

    def written(self) -> tuple[tuple[int, int], ...]:
        """Return what changes when a file is replaced or written; empty while one is missing."""
        found = []
        for path in (self.private_key, self.certificate, self.bridge_authority):
            try:
                status = path.stat()
            except OSError:
                return ()
            found.append((status.st_mtime_ns, status.st_ino))
        return tuple(found)

    def context(self) -> ssl.SSLContext:
        """Read the files and return a server's context.

        Raises:
            OSError: a file cannot be read (``ssl.SSLError`` when it is no key or certificate).
        """
        return self._filled(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def client_context(self) -> ssl.SSLContext:
        """Read the files and return the context of who connects out; the peer's address proves nothing.

        Raises:
            OSError: as ``context``.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        return self._filled(context)

    def _filled(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.certificate, self.private_key)
        context.load_verify_locations(self.bridge_authority)
        return context


def certificate_names(connection: ssl.SSLObject) -> frozenset[str]:
    """Return the common names and the alternative names (DNS, URI, IP) of the peer's checked certificate."""
    certificate: dict[str, Any] = connection.getpeercert() or {}
    names = {
        str(value) for part in certificate.get("subject", ()) for key, value in part if key == "commonName"
    }
    names.update(str(entry[1]) for entry in certificate.get("subjectAltName", ()))
    # ovs-pki(8) writes the common name as "NAME id:UUID".
    names.update(name.partition(" id:")[0] for name in tuple(names))
    return frozenset(names)
