"""``zonewall matrix``: zones by zones, what may pass."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from zonewall.cli.matrix_report import html_page, print_matrices, svg_picture
from zonewall.cli.options import OptionsFile, SocketFile, StateFolder, control_socket
from zonewall.cli.scene import in_force, on_disk
from zonewall.cli.times import parse_moment
from zonewall.errors import ZonewallError
from zonewall.intent.matrix import matrix, matrix_document
from zonewall.intent.regions import Regions
from zonewall.values.names import TenantName

FORMS = ("text", "json", "html", "svg")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("matrix")(show)


def show(
    directory: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG_DIR]", help="Left out: what a controller has in force.")
    ] = None,
    tenant: Annotated[list[str] | None, typer.Option(help="Only this tenant; may be repeated.")] = None,
    time: Annotated[str | None, typer.Option(help="When, RFC 3339; now unless said.")] = None,
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: SocketFile = None,
    output: Annotated[str, typer.Option(help="text, json, html or svg.")] = "text",
) -> None:
    """Show for each tenant what may pass from zone to zone, to and from the outside."""
    if output not in FORMS:
        raise typer.BadParameter(f"write {', '.join(FORMS)}", param_hint="--output")
    moment = parse_moment(time, datetime.now(UTC))
    if directory is not None:
        scene = on_disk(directory, None, moment)
    else:
        scene = in_force(control_socket(options, state, socket), moment)
    known = scene.configuration.tenants
    for name in tenant or ():
        if name not in known:
            raise ZonewallError(f"no tenant {name}; there are {', '.join(sorted(known))}")
    regions = Regions.of(scene.configuration, scene.inactive)
    wanted = [TenantName(name) for name in tenant] if tenant else sorted(known)
    found = [matrix(regions, known[name]) for name in wanted]
    if output == "json":
        print(json.dumps({"tenants": [matrix_document(one) for one in found]}, indent=2))
    elif output == "html":
        print(html_page(found), end="")
    elif output == "svg":
        print(svg_picture(found), end="")
    else:
        print_matrices(found)
