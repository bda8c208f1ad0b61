"""TLS towards bridges and hosts' databases: 1.2 or newer, and our authority has signed the other side."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from zonewall.errors import ZonewallError

_log = structlog.get_logger("zonewall.tls")

# ovs-pki(8) writes the common name as "NAME id:UUID".
_OVS_PKI_SUFFIX = re.compile(r" id:[0-9a-fA-F-]{36}\Z")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the controller's key and certificate, and the authority that signs the hosts'."""

    private_key: Path
    certificate: Path
    authority: Path


class Renewed:
    """A context that is made anew when its files have changed, for the connections to come."""

    def __init__(self, files: TlsFiles, make: Callable[[TlsFiles], ssl.SSLContext]) -> None:
        """Make the first one.

        Raises:
            ZonewallError: a file is missing or does not fit the others.
        """
        self._files = files
        self._make = make
        self._seen = self._looked_at = self._written()
        self._context = make(files)

    def current(self) -> ssl.SSLContext:
        """Return the present one; what cannot be used, or is half written, leaves the old one in force.

        Either is said in the log, once for each state of the files.
        """
        written = self._written()
        if written != self._seen:
            is_news, self._looked_at = written != self._looked_at, written
            try:
                self._context = self._make(self._files)
            except ZonewallError as problem:
                if is_news:
                    _log.warning("certificates_not_used", reason=f"{problem}; the ones before stay in force")
            else:
                self._seen = written
                _log.info("certificates_replaced", certificate=str(self._files.certificate))
        return self._context

    def _written(self) -> tuple[tuple[int, int], ...]:
        """Return what changes when a file is replaced or written; empty while one is missing."""
        found = []
        for path in (self._files.private_key, self._files.certificate, self._files.authority):
            try:
                status = path.stat()
            except OSError:
                return ()
            found.append((status.st_mtime_ns, status.st_ino))
        return tuple(found)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return what accepts hosts that show a certificate of the authority.

    Raises:
        ZonewallError: a file is missing or does not fit the others.
    """
    return _context(files, ssl.PROTOCOL_TLS_SERVER)


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """Return what connects out; who the host is, is checked by ``certificate_names`` afterwards.

    Raises:
        ZonewallError: a file is missing or does not fit the others.
    """
    return _context(files, ssl.PROTOCOL_TLS_CLIENT)


def certificate_names(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the common and alternative names of a checked certificate (``SSLSocket.getpeercert``)."""
    if not certificate:
        return frozenset()
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    names = {value for key, value in subject if key == "commonName"}
    names |= {_OVS_PKI_SUFFIX.sub("", name) for name in names if _OVS_PKI_SUFFIX.search(name)}
    names |= {
        value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address", "URI")
    }
    return frozenset(names)


def _context(files: TlsFiles, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(str(files.authority))
        context.load_cert_chain(str(files.certificate), str(files.private_key), password=_no_password)
    except (OSError, ssl.SSLError) as problem:
        raise ZonewallError(
            f"TLS files {files.private_key}, {files.certificate}, {files.authority} cannot be "
            f"used: {problem}; give a key, its certificate and the hosts' authority, all in PEM"
        ) from problem
    return context


def _no_password() -> str:
    """Refuse a key that needs a password: OpenSSL would ask for it on the terminal, and all would wait."""
    raise OSError("the private key is encrypted")
