"""TLS towards the hosts' databases: both sides show a certificate of the same authority, TLS 1.2 or newer."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zonewall.errors import ZonewallError

# ovs-pki(8) writes the common name as "NAME id:UUID".
_OVS_PKI_SUFFIX = re.compile(r" id:[0-9a-fA-F-]{36}")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the controller's key and certificate, and the authority that signs the hosts'."""

    private_key: Path
    certificate: Path
    authority: Path


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
        context.load_cert_chain(str(files.certificate), str(files.private_key))
    except (OSError, ssl.SSLError) as problem:
        raise ZonewallError(
            f"TLS files {files.private_key}, {files.certificate}, {files.authority} cannot be "
            f"used: {problem}; give a key, its certificate and the hosts' authority, all in PEM"
        ) from problem
    return context
