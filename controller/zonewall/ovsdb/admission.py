"""Who may connect as which host: the inventory's system-id, and the certificate that the inventory names."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from zonewall.errors import AdmissionError
from zonewall.policy.inventory import HostDeclaration
from zonewall.values.names import HostName


def admitted_host(
    hosts: Mapping[HostName, HostDeclaration],
    connected: Collection[HostName],
    system_id: str | None,
    certificate_names: frozenset[str] | None,
    dialled: HostName | None,
) -> HostName:
    """Return which host the other side is.

    Args:
        connected: hosts that have a live connection.
        system_id: what its database says; None when it says nothing usable.
        certificate_names: names of its checked certificate; None without TLS.
        dialled: the host that was connected out to; None when it connected in.

    Raises:
        AdmissionError: it may not connect; the text says why and what to do.
    """
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
    if certificate_names is None and dialled is None and host.must_show:
        raise AdmissionError(
            f"host {host.name} must show a certificate for {host.certificate!r} and showed none; use ssl:"
        )
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
