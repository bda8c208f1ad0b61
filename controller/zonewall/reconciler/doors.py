"""The sockets that bridges and hosts connect to, open before anything is read.

Who connects in the meantime waits in the kernel's queue, and is answered as soon as the controller can; who
is refused comes again after a pause of its own, which grows to 8 s unless the switch says otherwise.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address

from zonewall.errors import AdmissionError, ZonewallError
from zonewall.store.options import Options, parse_remote

BACKLOG = 256


@dataclass(frozen=True, slots=True)
class Door:
    """One listening socket; ``is_tls``: what comes in must speak TLS."""

    place: str
    is_tls: bool
    listening: socket.socket


@dataclass(frozen=True, slots=True)
class Doors:
    """Where bridges connect, and where hosts' databases do."""

    openflow: tuple[Door, ...] = ()
    ovsdb: tuple[Door, ...] = ()


def open_doors(options: Options) -> Doors:
    """Open every place that the options name.

    Raises:
        ZonewallError: one cannot be listened on.
        AdmissionError: it is not to be: TLS without certificates, or plain where others can reach it.
    """
    opened: list[Door] = []
    try:
        for place in (*options.openflow, *options.ovsdb):
            opened.append(_open(place, options))
    except ZonewallError:
        for door in opened:
            door.listening.close()
        raise
    count = len(options.openflow)
    return Doors(tuple(opened[:count]), tuple(opened[count:]))


def _open(place: str, options: Options) -> Door:
    kind, address, port = parse_remote(place)
    try:
        known = ip_address(address)
    except ValueError:
        raise ZonewallError(f"{place}: {address!r} is no IP address to listen on") from None
    if kind == "ssl" and options.tls is None:
        raise AdmissionError(f"{place}: no certificates; say --tls-certificate, --tls-key and --tls-ca")
    if kind == "tcp" and not options.allow_plain and not known.is_loopback:
        raise AdmissionError(f"{place}: plain TCP beyond loopback; use ssl:, or say --allow-plain")
    family = socket.AF_INET6 if known.version == 6 else socket.AF_INET
    try:
        listening = socket.create_server((address, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ZonewallError(f"{place}: cannot be listened on: {error.strerror or error}") from error
    listening.setblocking(False)
    return Door(place, kind == "ssl", listening)
