"""Who may connect as which host: the inventory's system-id, and the certificate that the inventory names."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from typing import Protocol

from zonewall.errors import AdmissionError
from zonewall.policy.inventory import HostDeclaration
from zonewall.values.names import HostName


class HostSet(Protocol):
    """Hosts that have shown a certificate; a set is one."""

    def __contains__(self, host: object, /) -> bool:
        """Say whether a host has."""

    def add(self, host: HostName, /) -> None:
        """Take that it has."""


def as_before(host: HostName) -> str:
    """Return why a host must show one where the inventory does not say so, and how to change that."""
    return (
        "as it has before; to go back to plain TCP, stop the controller and take"
        f" {host} out of certificates.json in its state folder"
    )


def admitted_host(
    hosts: Mapping[HostName, HostDeclaration],
    connected: Collection[HostName],
    system_id: str | None,
    certificate_names: frozenset[str] | None,
    dialled: HostName | None,
    have_shown: Container[HostName] = (),
) -> HostName:
    """Return which host the other side is.

    Args:
        connected: hosts that have a live connection.
        system_id: what its database says; None when it says nothing usable.
        certificate_names: names of its checked certificate; None without TLS.
        dialled: the host that was connected out to; None when it connected in.
        have_shown: hosts whose database has ever shown a certificate.

    Raises:
        AdmissionError: it may not connect; the text says why and what to do.
    """
    host = _named(hosts, system_id, dialled)
    if certificate_names is None and dialled is None and (host.must_show or host.name in have_shown):
        missing = f"host {host.name} must show a certificate for {host.certificate!r} and showed none"
        how = "use ssl:" if host.must_show else f"use ssl:, {as_before(host.name)}"
        raise AdmissionError(f"{missing}; {how}")
    if certificate_names is not None and host.certificate not in certificate_names:
        shown = ", ".join(sorted(repr(name) for name in certificate_names)) or "no name"
        raise AdmissionError(
            f"the certificate is for {shown[:200]}, host {host.name} must show {host.certificate!r}; "
            "correct certificate: or the host's certificate"
        )
    if host.name in connected:
        raise AdmissionError(
            f"system-id {system_id!r} is connected already; give every host a system-id of its own"
        )
    return host.name


def _named(
    hosts: Mapping[HostName, HostDeclaration], system_id: str | None, dialled: HostName | None
) -> HostDeclaration:
    """Return which host has that system-id; the other conditions of ``admitted_host`` are not looked at."""
    if system_id is None:
        raise AdmissionError(
            "the database has no external_ids:system-id; set it: "
            "ovs-vsctl set Open_vSwitch . external_ids:system-id=NAME"
        )
    if dialled is not None and (dialled not in hosts or hosts[dialled].system_id != system_id):
        wanted = hosts[dialled].system_id if dialled in hosts else dialled
        raise AdmissionError(
            f"system-id {system_id!r} answers where {wanted!r} should; correct system-id: or ovsdb:"
        )
    host = next((host for host in hosts.values() if host.system_id == system_id), None)
    if host is None:
        raise AdmissionError(f"system-id {system_id!r} is no host of the inventory; add it under hosts:")
    if dialled is None and host.ovsdb is not None:
        raise AdmissionError(f"host {host.name} is connected out to ({host.ovsdb}); remove its set-manager")
    return host
