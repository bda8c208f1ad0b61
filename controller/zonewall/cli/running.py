"""A controller's process: it takes its state folder, opens its doors, and runs until a signal comes."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any

from zonewall.api.alone import alone_in, refuse_second
from zonewall.cli.logging_form import set_up_logging
from zonewall.reconciler.doors import open_doors
from zonewall.store.descriptors import raise_limit
from zonewall.store.options import Options, read_options

SWITCH_S = 0.0005
START_S = 2.0
"""So long threads take turns no oftener than Python does by itself: it would cost a tenth of the start."""


def run_controller(directory: Path, options: Path | None, said: dict[str, Any]) -> None:
    """Run the controller until SIGTERM or SIGINT; ``said`` goes before what the file of ``options`` says.

    Raises:
        ZonewallError: options, documents or state folder cannot be used, or something ended that must not.
    """
    # Who says that documents are whole before any is followed is early: they are read in any case.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # What is made until bridges are as wanted stays: looking through it for garbage begins after that.
    gc.disable()
    chosen = read_options(options, said)
    set_up_logging(chosen.log_format)
    raise_limit()
    os.umask(0o077)  # who was where and spoke with whom is nobody else's business, whatever folder it is in
    with alone_in(chosen.state):
        asyncio.run(serve(directory, chosen))


async def serve(directory: Path, options: Options) -> None:
    """Run the controller and its control socket until a signal comes."""
    await refuse_second(options.control_socket)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # What a bridge has told passes several threads, and must not wait for 5 ms of others' turns at each.
    loop.call_later(START_S, sys.setswitchinterval, SWITCH_S)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    doors = open_doors(options)
    # What takes long to read is read while bridges and hosts connect.
    from zonewall.api.server import ControlServer  # noqa: PLC0415 - see above
    from zonewall.reconciler.controller import Controller  # noqa: PLC0415 - see above

    controller = Controller(directory, options, doors)
    control = ControlServer(options.control_socket, controller.status, controller.act, controller.look)
    await control.start()
    # Not the loop's own handler: when that goes, the signal ends the process.
    signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(controller.hurry.read_now))
    try:
        await controller.run(stop)
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # too late, which is no reason to end otherwise
        await control.stop()
