"""``zonewall check``: what the configuration says about connections, one verdict for each probe."""

from __future__ import annotations

import ipaddress
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from zonewall.errors import ZonewallError
from zonewall.intent.semantics import Probe, ProbeError, Verdict, astray, verdict
from zonewall.policy.load import load_directory
from zonewall.policy.model import Configuration
from zonewall.values.addresses import IpAddress
from zonewall.values.names import EndpointKey, TenantName
from zonewall.values.services import Protocol

MAX_LINE_CHARACTERS = 16384
EXIT_SOME_NOT_JUDGED = 1

_PROTOCOLS = {
    "tcp": Protocol.TCP,
    "udp": Protocol.UDP,
    "sctp": Protocol.SCTP,
    "icmp": Protocol.ICMP,
    "icmpv6": Protocol.ICMPV6,
}
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def register(app: typer.Typer) -> None:
    """Add the verb to the application."""
    app.command("check")(check)


def check(
    directory: Annotated[Path, typer.Argument(metavar="CONFIG_DIR", help="Directory of YAML documents.")],
    probes: Annotated[str, typer.Option(metavar="FILE", help="JSON Lines of probes; - is standard input.")],
    output: Annotated[str, typer.Option(help="json: there is no other form.")] = "json",
) -> None:
    """Say what the policy does with each probe's connection.

    Exit code 0 when all were judged, 1 when some were not, 2 when the configuration cannot be used.
    """
    if output != "json":
        raise typer.BadParameter("write json", param_hint="--output")
    configuration = load_directory(directory)
    now = datetime.now(UTC)
    all_judged = True
    with _opened(probes) as stream:
        for line in _lines(stream):
            asked = parse_probe(line, now)
            answer = _answer(configuration, asked) if isinstance(asked, Probe) else asked
            all_judged &= isinstance(answer, Verdict)
            print(json.dumps(_as_json(answer)), flush=True)
    if not all_judged:
        raise typer.Exit(EXIT_SOME_NOT_JUDGED)


def _answer(configuration: Configuration, probe: Probe) -> Verdict | ProbeError:
    return astray(configuration, probe) or verdict(configuration, probe)


def parse_probe(line: str | None, now: datetime) -> Probe | ProbeError:
    """Return the probe that a line of JSON means, or what is wrong with it; None: the line was too long."""
    if line is None:
        return ProbeError(f"the line is longer than {MAX_LINE_CHARACTERS} characters; no probe needs so many")
    try:
        document = _ProbeDocument.model_validate(json.loads(line))
    except ValidationError as error:
        return ProbeError(_first_problem(error))
    except (ValueError, RecursionError):
        return ProbeError('the line is no JSON object; write {"src": ..., "dst": ..., "proto": ...}')
    return Probe(
        source=document.src,
        destination=document.dst,
        protocol=document.proto,
        tenant=None if document.tenant is None else TenantName(document.tenant),
        source_port=document.sport,
        destination_port=document.dport,
        icmp=document.icmp,
        source_ip=document.src_ip,
        destination_ip=document.dst_ip,
        time=document.time or now,
    )


def _parse_address(value: Any) -> IpAddress:
    if isinstance(value, str) and "%" not in value:
        try:
            return ipaddress.ip_address(value)
        except ValueError:
            pass
    raise ValueError(f"{value!r:.80} is no IP address")


def _parse_end(value: Any) -> EndpointKey | IpAddress:
    if isinstance(value, str) and "/" in value:
        return EndpointKey(value)
    try:
        return _parse_address(value)
    except ValueError:
        raise ValueError(f"{value!r:.80} is neither tenant/name of an endpoint nor an IP address") from None


def _parse_protocol(value: Any) -> int:
    if isinstance(value, str) and value in _PROTOCOLS:
        return int(_PROTOCOLS[value])
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255:
        return value
    raise ValueError(f"{value!r:.80} is none of {', '.join(_PROTOCOLS)}, nor a number up to 255")


def _parse_time(value: Any) -> datetime:
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper())
        except ValueError:
            pass
    raise ValueError(f"{value!r:.80} is no RFC 3339 time; write it as 2026-07-03T08:00:00+02:00")


def _parse_icmp(value: Any) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2:
        first, second = value
        if all(type(one) is int and 0 <= one <= 255 for one in value):
            return first, second
    raise ValueError("must be [type, code], two numbers up to 255")


def _unless_null(parse: Callable[[Any], Any]) -> BeforeValidator:
    return BeforeValidator(lambda value: None if value is None else parse(value))


_Port = Annotated[int, Field(ge=0, le=65535)]
_Address = Annotated[IpAddress | None, _unless_null(_parse_address)]
_End = Annotated[Any, BeforeValidator(_parse_end)]


class _ProbeDocument(BaseModel):
    """One line of ``--probes``."""

    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)

    src: _End
    dst: _End
    proto: Annotated[int, BeforeValidator(_parse_protocol)]
    tenant: str | None = None
    sport: _Port | None = None
    dport: _Port | None = None
    icmp: Annotated[tuple[int, int] | None, _unless_null(_parse_icmp)] = None
    src_ip: _Address = None
    dst_ip: _Address = None
    time: Annotated[datetime | None, _unless_null(_parse_time)] = None


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    words = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        words = f"no such key; known are {', '.join(_ProbeDocument.model_fields)}"
    elif first["type"] == "missing":
        words = "is missing; every probe needs src, dst and proto"
    return f"{place:.80}: {words}" if place else words


def _as_json(answer: Verdict | ProbeError) -> dict[str, Any]:
    if isinstance(answer, ProbeError):
        return {"error": answer.message}
    return {
        "verdict": answer.verdict.value,
        "rule": answer.rule,
        "at": answer.at,
        "tier": answer.tier,
        "mirror": list(answer.mirror),
        "through": list(answer.through),
        "log": answer.log,
        "monitored": answer.monitored,
    }


@contextmanager
def _opened(name: str) -> Iterator[TextIO]:
    if name == "-":
        yield sys.stdin
        return
    try:
        with Path(name).open(encoding="utf-8", errors="replace") as stream:
            yield stream
    except OSError as error:
        raise ZonewallError(f"cannot read the probes in {name}: {error.strerror}") from error


def _lines(stream: TextIO) -> Iterator[str | None]:
    """Yield each line that is not blank; None for one that is too long, whose rest is passed over."""
    while line := stream.readline(MAX_LINE_CHARACTERS + 1):
        if len(line) > MAX_LINE_CHARACTERS and not line.endswith("\n"):
            while line and not line.endswith("\n"):
                line = stream.readline(MAX_LINE_CHARACTERS + 1)
            yield None
        elif line.strip():
            yield line
