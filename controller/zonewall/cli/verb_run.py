"""``zonewall run``: the controller."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from zonewall.api.alone import alone_in, refuse_second
from zonewall.reconciler.doors import open_doors
from zonewall.store.options import STATE_VARIABLE, Options, read_options

SWITCH_S = 0.0005
START_S = 2.0
"""So long threads take turns no oftener than Python does by itself: it would cost a tenth of the start."""
_TLS = ("certificate", "private-key", "ca")


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command()
    def run(  # noqa: PLR0917 - typer reads the options here
        directory: Annotated[Path, typer.Argument(metavar="CONFIG_DIR", help="The configuration.")],
        options: Annotated[Path | None, typer.Option(help="YAML with the options below.")] = None,
        openflow: Annotated[
            list[str] | None, typer.Option(help="Where bridges connect: tcp:ADDRESS:PORT or ssl:….")
        ] = None,
        ovsdb: Annotated[
            list[str] | None, typer.Option(help="Where hosts' databases connect, the same forms.")
        ] = None,
        allow_plain: Annotated[
            bool | None, typer.Option("--allow-plain", help="Plain TCP beyond loopback, too.")
        ] = None,
        state: Annotated[
            Path | None, typer.Option(envvar=STATE_VARIABLE, help="Folder of what must survive a restart.")
        ] = None,
        socket: Annotated[Path | None, typer.Option(help="Control socket of status and the like.")] = None,
        tls_certificate: Annotated[Path | None, typer.Option(help="The controller's, PEM.")] = None,
        tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
        tls_ca: Annotated[Path | None, typer.Option(help="Who signs bridges and hosts, PEM.")] = None,
        events: Annotated[
            list[str] | None, typer.Option(help="An IDS's EVE JSON: file:PATH or unix:PATH; may be repeated.")
        ] = None,
        records: Annotated[
            list[str] | None,
            typer.Option(help="What rules log: file:PATH, syslog:unix:PATH or syslog:udp:HOST:PORT."),
        ] = None,
        log_format: Annotated[str | None, typer.Option(help="text or json.")] = None,
    ) -> None:
        """Run the controller until SIGTERM or SIGINT; bridges go on enforcing what they have."""
        # What is made until bridges are as wanted stays: looking through it for garbage begins after that.
        gc.disable()
        said: dict[str, Any] = {
            "openflow": tuple(openflow) if openflow else None,
            "ovsdb": tuple(ovsdb) if ovsdb else None,
            "allow-plain": allow_plain,
            "state": state,
            "socket": socket,
            "events": tuple(events) if events else None,
            "records": tuple(records) if records else None,
            "log-format": log_format,
        }
        tls = dict(zip(_TLS, (tls_certificate, tls_key, tls_ca), strict=True))
        if any(tls.values()):
            said["tls"] = {key: path for key, path in tls.items() if path is not None}
        chosen = read_options(options, said)
        set_up_logging(chosen.log_format)
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
    try:
        await controller.run(stop)
    finally:
        await control.stop()


def set_up_logging(form: str) -> None:
    """Write log events to stderr, one a line."""
    renderers: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if form == "text":
        renderers = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
