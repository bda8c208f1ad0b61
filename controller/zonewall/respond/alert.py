"""One line of an IDS's events to an alert.

Suricata's EVE JSON: https://docs.suricata.io/en/latest/output/eve/eve-json-format.html. Nothing in a line is
believed before it is looked at; a line that is no alert is None, one that cannot be read a ValueError.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zonewall.values.addresses import IpAddress, MacAddress, parse_mac

MOST_TEXT = 512
_OFFSET = re.compile(r"([+-]\d{2})(\d{2})$")


@dataclass(frozen=True, slots=True)
class Alert:
    """What an IDS has seen.

    Attributes:
        at: when, seconds since 1970.
        attacker, victim: who did it to whom, as the IDS says, or as the connection's direction suggests.
        attacker_mac, victim_mac: of the same two, where the IDS tells them.
        severity: 1 is the worst.
    """

    at: float
    signature: str
    number: int
    severity: int
    attacker: IpAddress
    victim: IpAddress
    attacker_mac: MacAddress | None = None
    victim_mac: MacAddress | None = None


Parser = Callable[[bytes], Alert | None]


def parse_eve(line: bytes) -> Alert | None:
    """Return the alert of a line of EVE JSON, None for an event of another type.

    Who attacked: ``alert.source`` where the rule has a ``target``; else who began the flow; else ``src_ip``.

    Raises:
        ValueError: the line is no such event.
    """
    event = _mapping(_json(line), "an event")
    if event.get("event_type") != "alert":
        return None
    said = _mapping(event.get("alert"), "alert")
    ends = [_address(event.get("src_ip")), _address(event.get("dest_ip"))]
    told = event.get("ether")
    ether: Mapping[str, Any] = told if isinstance(told, dict) else {}
    macs = [_mac(ether.get("src_mac")), _mac(ether.get("dest_mac"))]
    first = _first_of(said, event)
    if first is not None and first == ends[1]:
        ends.reverse()
        macs.reverse()
    return Alert(
        _moment(event.get("timestamp")),
        str(said.get("signature", ""))[:MOST_TEXT],
        _number(said.get("signature_id"), 0),
        _number(said.get("severity"), 255),
        ends[0],
        ends[1],
        macs[0],
        macs[1],
    )


def parse_plain(line: bytes) -> Alert | None:
    """Return the alert of ``{"time", "attacker", "victim", "signature", "id", "severity"}``: for adapters.

    Raises:
        ValueError: the line is no such event.
    """
    event = _mapping(_json(line), "an event")
    return Alert(
        _moment(event.get("time")),
        str(event.get("signature", ""))[:MOST_TEXT],
        _number(event.get("id"), 0),
        _number(event.get("severity"), 255),
        _address(event.get("attacker")),
        _address(event.get("victim")),
        _mac(event.get("attacker-mac")),
        _mac(event.get("victim-mac")),
    )


FORMATS: Mapping[str, Parser] = {"eve": parse_eve, "plain": parse_plain}


def _first_of(alert: Mapping[str, Any], event: Mapping[str, Any]) -> IpAddress | None:
    for place, key in ((alert.get("source"), "ip"), (event.get("flow"), "src_ip")):
        if isinstance(place, dict) and isinstance(place.get(key), str):
            return _address(place[key])
    return None


def _json(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {str(error)[:80]}") from None


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no object")
    return value


def _address(value: object) -> IpAddress:
    if not isinstance(value, str):
        raise ValueError("an address is missing")
    return ipaddress.ip_address(value)


def _mac(value: object) -> MacAddress | None:
    if not isinstance(value, str):
        return None
    return parse_mac(value)


def _number(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _moment(value: object) -> float:
    """Return seconds since 1970; offsets are ``+0200`` (Suricata's), ``+02:00`` or ``Z``."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        raise ValueError("the time is missing")
    moment = datetime.fromisoformat(_OFFSET.sub(r"\1:\2", value.strip()))
    if moment.tzinfo is None:
        raise ValueError("the time has no offset")
    return moment.timestamp()
