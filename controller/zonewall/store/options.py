"""How a controller is run: a file of options, each of which the command line may override."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zonewall.errors import ZonewallError

JOURNAL_FILE = "journal.db"
"""What the journal is called in the state folder."""

STATE_VARIABLE = "ZONEWALL_STATE"
"""In the environment: the state folder, for controllers that have no options file."""


class TlsOptions(BaseModel):
    """Files of a TLS endpoint, PEM as ``ovs-pki`` makes them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificate: Path
    private_key: Path = Field(alias="private-key")
    ca: Path


class Options(BaseModel):
    """Everything that can be said of a running controller.

    Attributes:
        openflow: where bridges connect, ``tcp:ADDRESS:PORT`` or ``ssl:ADDRESS:PORT``.
        ovsdb: where hosts' databases connect, the same forms; empty listens nowhere.
        allow_plain: plain TCP is accepted beyond loopback.
        state: folder of the numbering and of where endpoints were.
        events: where an IDS tells, ``file:PATH`` or ``unix:PATH``, after ``plain+`` in the form for adapters.
        records: where records of logged rules go beside the journal, ``file:PATH``, ``syslog:unix:PATH`` or
            ``syslog:udp:ADDRESS:PORT``.
        most_ports: as many ports are believed of one host, from 256 to 65,536.
        socket: unix socket for ``status`` and the like; ``state``/control.sock unless said.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    openflow: tuple[str, ...] = ("tcp:127.0.0.1:6653",)
    ovsdb: tuple[str, ...] = ()
    allow_plain: bool = Field(default=False, alias="allow-plain")
    tls: TlsOptions | None = None
    state: Path = Path("/var/lib/zonewall")
    socket: Path | None = None
    events: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    most_ports: int = Field(default=8192, alias="most-ports", ge=256, le=65536)
    log_format: str = Field(default="text", alias="log-format", pattern="^(text|json)$")

    @property
    def control_socket(self) -> Path:
        """Return where the command line reaches the controller."""
        return self.socket or self.state / "control.sock"


def read_options(path: Path | None, overrides: dict[str, Any]) -> Options:
    """Return the options of a file (None: the defaults) with the command line's on top.

    Raises:
        ZonewallError: the file cannot be read, or says something unknown.
    """
    said: Any = {}
    if path is not None:
        try:
            said = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ZonewallError(f"{path}: cannot be read as options: {str(error).splitlines()[0]}") from error
        if not isinstance(said, dict):
            raise ZonewallError(f"{path}: options are a mapping, such as `openflow: [ssl:0.0.0.0:6653]`")
    said.update({key: value for key, value in overrides.items() if value is not None})
    try:
        return Options.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ZonewallError(f"{path or 'command line'}: {place}: {first['msg']}") from error


def parse_events(text: str) -> tuple[str, str, Path]:
    """Return (format, ``file`` or ``unix``, path) of ``file:/var/log/suricata/eve.json``.

    Raises:
        ZonewallError: it is written otherwise.
    """
    form, plus, place = text.partition("+")
    if not plus or form not in ("eve", "plain"):
        form, place = "eve", text  # a path may have a + in it
    kind, _, path = place.partition(":")
    if kind not in ("file", "unix") or not path:
        raise ZonewallError(f"{text!r} is no source of events; write file:/var/log/suricata/eve.json")
    return form, kind, Path(path)


def parse_remote(text: str) -> tuple[str, str, int]:
    """Return (``tcp`` or ``ssl``, address, port) of ``tcp:ADDRESS:PORT``; IPv6 addresses in brackets.

    Raises:
        ZonewallError: it is written otherwise.
    """
    kind, _, rest = text.partition(":")
    address, _, port = rest.rpartition(":")
    if kind not in ("tcp", "ssl") or not address or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ZonewallError(f"{text!r} is no place to listen; write tcp:127.0.0.1:6653 or ssl:[::]:6653")
    return kind, address.strip("[]"), int(port)
