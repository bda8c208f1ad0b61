"""``zonewall endpoint``: add, remove and list endpoints of a running controller."""

from __future__ import annotations

import json
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from zonewall.api.control import look, tell
from zonewall.cli.options import OptionsFile, Output, OutputForm, SocketFile, StateFolder, control_socket
from zonewall.cli.verb_quarantine import report
from zonewall.errors import ZonewallError
from zonewall.policy.added import added_parts

_SEVERAL = 3

File = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="An inventory of endpoints, YAML or JSON; - is stdin."),
]
Names = Annotated[list[str], typer.Argument(metavar="VM…", help="Endpoints, tenant/name.")]


class Shown(Enum):
    """Which endpoints are listed."""

    ALL = "all"
    ADDED = "added"


def register(app: typer.Typer) -> None:
    """Add the verb and what can be done with it."""
    group = typer.Typer(
        no_args_is_help=True, help="Add, remove and list endpoints while the controller runs."
    )
    group.command()(add)
    group.command()(remove)
    group.command("list")(show)
    app.add_typer(group, name="endpoint")


def add(  # noqa: PLR0917 - typer reads the options here
    vm: Annotated[str | None, typer.Argument(metavar="VM", help="The endpoint, tenant/name.")] = None,
    mac: Annotated[str | None, typer.Option(help="Its MAC.")] = None,
    iface_id: Annotated[
        str | None, typer.Option(help="How its port is known: external_ids:iface-id.")
    ] = None,
    port: Annotated[str | None, typer.Option(help="Or by its name: NAME, or HOST/BRIDGE/NAME.")] = None,
    ip: Annotated[list[str] | None, typer.Option(help="An address; may be repeated.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be repeated.")] = None,
    vm_id: Annotated[str | None, typer.Option(help="The VM's id, as external_ids say it.")] = None,
    file: File = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Describe one anew that was added before.")
    ] = False,
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: SocketFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Add an endpoint, or those of a file; checked like a document, kept until it is removed."""
    if (vm is None) == (file is None):
        raise ZonewallError("say one endpoint, tenant/name, or --file with several")
    if file is not None:
        parts = [dict(part) for part in added_parts(_read(file))]
    else:
        tenant, _, name = str(vm).partition("/")
        known = {
            "iface-id": iface_id,
            "port": _port(port),
            "vm-id": vm_id,
            "ips": ip,
            "labels": _labels(label),
        }
        said = {"name": name, "tenant": tenant, "mac": mac, **known}
        parts = [{key: value for key, value in said.items() if value}]
    names = ", ".join(f"{part.get('tenant')}/{part.get('name')}" for part in parts[:_SEVERAL])
    more = f" and {len(parts) - _SEVERAL} more" if len(parts) > _SEVERAL else ""
    place = control_socket(options, state, socket)
    answer = tell(place, "endpoint-add", {"endpoints": parts, "replace": replace})
    report(answer, f"{names}{more} added", output)


def remove(
    vms: Names,
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: SocketFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Remove endpoints that were added by command; those of documents are removed there."""
    place = control_socket(options, state, socket)
    report(tell(place, "endpoint-remove", {"endpoints": vms}), f"{', '.join(vms)} removed", output)


def show(
    which: Annotated[
        Shown, typer.Option("--show", help="All, or those that were added by command.")
    ] = Shown.ALL,
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: SocketFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """List endpoints: what describes them, and where they are."""
    place = control_socket(options, state, socket)
    rows = [row for row in look(place, "endpoints")["endpoints"] if which is Shown.ALL or row["added"]]
    if output is Output.JSON:
        print(json.dumps(rows))
        return
    for row in rows:
        places = ", ".join(f"{one['bridge']} ({one['state']})" for one in row["places"]) or "nowhere"
        print(f"{row['endpoint']}  {row['mac']}  {places}  {row['at']}")


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise ZonewallError(f"{file}: {error.strerror}") from error


def _port(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    words = text.split("/")
    if len(words) == 1:
        return {"name": text}
    if len(words) != len(_PORT_KEYS):
        raise ZonewallError(f"--port {text}: write NAME, or HOST/BRIDGE/NAME")
    return dict(zip(_PORT_KEYS, words, strict=True))


_PORT_KEYS = ("host", "bridge", "name")


def _labels(texts: list[str] | None) -> dict[str, Any]:
    labels = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise ZonewallError(f"--label {text}: write KEY=VALUE")
        labels[key] = value
    return labels
