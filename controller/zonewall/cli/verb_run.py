"""``zonewall run``: the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zonewall.cli.running import run_controller
from zonewall.store.options import STATE_VARIABLE


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
        most_ports: Annotated[
            int | None, typer.Option(help="As many ports are believed of one host; 8192 unless said.")
        ] = None,
        log_format: Annotated[str | None, typer.Option(help="text or json.")] = None,
    ) -> None:
        """Run the controller until SIGTERM or SIGINT; bridges go on enforcing what they have."""
        tls = {"certificate": tls_certificate, "private-key": tls_key, "ca": tls_ca}
        said = {
            "openflow": openflow or None,
            "ovsdb": ovsdb or None,
            "allow-plain": allow_plain,
            "tls": {key: path for key, path in tls.items() if path is not None} or None,
            "state": state,
            "socket": socket,
            "events": events or None,
            "records": records or None,
            "most-ports": most_ports,
            "log-format": log_format,
        }
        run_controller(directory, options, said)
