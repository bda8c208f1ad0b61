"""``zonewall ready``: wait until a VM's policy is in force where it is, or where it is about to be."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from zonewall.api.control import ask
from zonewall.cli.options import OptionsFile, SocketFile, StateFolder, Vm, control_socket
from zonewall.errors import ZonewallError

EVERY_S = 0.3
EXIT_NOT_READY = 1


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(ready)


def ready(
    vm: Vm,
    host: Annotated[str | None, typer.Option(help="On this host, such as a migration's destination.")] = None,
    timeout: Annotated[float, typer.Option(min=0.0, help="Seconds to wait at most.")] = 30.0,
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: SocketFile = None,
) -> None:
    """Wait until a bridge has confirmed a VM's flows, before it is started or migrated; exit 1 if not."""
    control = control_socket(options, state, socket)
    deadline = time.monotonic() + timeout
    while True:
        place = ready_place(ask(control, "/status"), vm, host)
        if place is not None:
            print(f"{vm}: ready at {place['bridge']}, ofport {place['ofport']} ({place['state']})")
            return
        if time.monotonic() >= deadline:
            print(f"{vm}: not ready{'' if host is None else ' on ' + host} after {timeout:g} s")
            raise typer.Exit(EXIT_NOT_READY)
        time.sleep(EVERY_S)


def ready_place(status: dict[str, Any], vm: str, host: str | None) -> dict[str, Any] | None:
    """Return a place of an endpoint, on a host or anywhere, whose bridge has confirmed its flows.

    Raises:
        ZonewallError: the inventory does not have it.
    """
    known = next((one for one in status["endpoints"] if one["endpoint"] == vm), None)
    if known is None:
        raise ZonewallError(f"{vm}: no such endpoint; write it as tenant/name, as the inventory does")
    for place in known["places"]:
        here = host is None or place["bridge"].partition("/")[0] == host
        if here and place["ready"] and place["state"] in ("pending", "active"):
            return dict(place)
    return None
