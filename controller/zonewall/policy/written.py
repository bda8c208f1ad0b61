"""Single values as they are written: names, addresses, rates, times. Each parser says what would be right."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from zonewall.policy.model import OnChange
from zonewall.policy.notes import quoted
from zonewall.values.addresses import BROADCAST, IpAddress, IpPrefix, MacAddress, is_group_mac, parse_mac
from zonewall.values.limits import Limit

NAME_PATTERN = r"[A-Za-z0-9_]([A-Za-z0-9_.:@+-]{0,126}[A-Za-z0-9_])?"
MOST_RATE = 0xFFFFFFFF
"""A meter's rate and burst are 32 bits (OpenFlow 1.5.1, 7.3.4.5)."""

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_NAME = re.compile(NAME_PATTERN)
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_LIMIT = re.compile(r"([0-9]+) ?(pps|kbps|mbps|gbps)( per endpoint)?")
_KBPS = {"kbps": 1, "mbps": 1000, "gbps": 1_000_000}
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_DURATION = re.compile(r"([1-9][0-9]{0,8}) ?(s|m|h|d)?")
_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DATAPATH_ID = re.compile(r"(0x)?[0-9a-fA-F]{1,16}")
_REMOTE = re.compile(r"(tcp|ssl):(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]+):([0-9]{1,5})|unix:/[^\s]+")
_LISTENING = re.compile(r"(tcp|ssl):(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})")


def text_of(value: object) -> str:
    """Return the value if it is a single one."""
    if isinstance(value, str):
        return value
    what = "a mapping" if isinstance(value, dict) else "a list"
    raise ValueError(f"a single value is wanted here, not {what}")


def parse_name(value: object) -> str:
    """Return a name: letters, digits, and ``_.:@+-`` inside, at most 128 characters."""
    text = text_of(value)
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"{quoted(text)} is no name; write letters, digits, and _ . : @ + - between them, at most 128"
        )
    return text


def parse_text(value: object) -> str:
    """Return any text that is not empty."""
    text = text_of(value)
    if not text.strip() or "\n" in text:
        raise ValueError("a word is wanted here, not an empty value or several lines")
    return text


def parse_whole(value: object, least: int, most: int) -> int:
    """Return a decimal number within bounds; a leading zero is refused, for some read it as octal."""
    text = text_of(value)
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ValueError(f"{quoted(text)} is no whole number; write one from {least} to {most}")
    if not least <= int(text) <= most:
        raise ValueError(f"{text} is out of range; write a number from {least} to {most}")
    return int(text)


def parse_yes_no(value: object) -> bool:
    """Return a truth value."""
    text = text_of(value).lower()
    if text in ("true", "yes", "on"):
        return True
    if text in ("false", "no", "off"):
        return False
    raise ValueError(f"{quoted(text)} is neither true nor false")


def parse_endpoint_mac(value: object) -> MacAddress:
    """Return the MAC address of one station."""
    mac = parse_mac(text_of(value))
    if mac in (0, BROADCAST) or is_group_mac(mac):
        raise ValueError(f"{quoted(text_of(value))} is no address of a single station; write its own MAC")
    return mac


def parse_address(value: object) -> IpAddress:
    """Return one unicast IP address."""
    text = text_of(value)
    if "/" in text:
        raise ValueError(f"{quoted(text)} is a range; write one address here, and ranges under `ranges`")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is no IP address; write it as 10.0.0.1 or fd00::1") from None
    if address.is_multicast or address.is_unspecified or address.is_loopback or "%" in text:
        raise ValueError(f"{quoted(text)} is no address that an endpoint can have")
    if address == ipaddress.ip_address("255.255.255.255"):
        raise ValueError(f"{quoted(text)} is the broadcast address; write one endpoint's")
    return address


def parse_probe(value: object) -> Literal["through", "none"] | ipaddress.IPv4Address:
    """Return how an appliance is probed: by frames through it, not at all, or by ARP for an address."""
    text = text_of(value)
    if text == "through":
        return "through"
    if text == "none":
        return "none"
    try:
        address = parse_address(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is no probe; write through, none, or an IPv4 address") from None
    if not isinstance(address, ipaddress.IPv4Address):
        raise ValueError(f"{quoted(text)} cannot be asked for by ARP; write an IPv4 address")
    return address


def parse_prefix(value: object) -> IpPrefix:
    """Return a prefix without bits beyond its length."""
    text = text_of(value)
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        nearest = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{quoted(text)} is no prefix; write it as 192.0.2.0/24 or 2001:db8::/48") from None
    raise ValueError(f"{quoted(text)} has bits beyond its length; did you mean {nearest}?")


def parse_limit(value: object) -> Limit:
    """Return a rate such as ``100pps`` or ``10mbps per endpoint``."""
    text = " ".join(text_of(value).split())
    parts = _LIMIT.fullmatch(text)
    if not parts:
        raise ValueError(
            f"{quoted(text)} is no limit; write 100pps, 500kbps, 10mbps or 1gbps, or `… per endpoint`"
        )
    number, unit, scope = parts.groups()
    rate = int(number[:12]) * _KBPS.get(unit, 1)
    if not 1 <= rate <= MOST_RATE or len(number) > 10:
        raise ValueError(f"{quoted(text)} is out of range; a limit is from 1 to {MOST_RATE} pps or kbps")
    return Limit(rate, "pps" if unit == "pps" else "kbps", scope is not None)


def parse_rate(value: object, unit: str, scope: str) -> int:
    """Return the number of ``200/s per endpoint`` (unit ``/s``) or ``20000 per tenant`` (unit empty)."""
    text = " ".join(text_of(value).split())
    parts = re.fullmatch(rf"([0-9]{{1,10}}){re.escape(unit)}( per {scope})?", text)
    if not parts or not 1 <= int(parts[1]) <= MOST_RATE:
        raise ValueError(f"{quoted(text)} is no such limit; write it as `200{unit} per {scope}`")
    return int(parts[1])


@dataclass(frozen=True, slots=True)
class ConnectionRate:
    """How many connections may begin in a second."""

    per_s: int
    per_tenant: bool


def parse_connection_rate(value: object) -> ConnectionRate:
    """Return the rate of ``200/s per endpoint`` or ``2000/s per tenant``."""
    if text_of(value).rstrip().endswith("tenant"):
        return ConnectionRate(parse_rate(value, "/s", "tenant"), True)
    return ConnectionRate(parse_rate(value, "/s", "endpoint"), False)


def parse_time_of_day(value: object) -> int:
    """Return minutes since midnight of ``08:00``; ``24:00`` is the day's end."""
    text = text_of(value)
    parts = _TIME_OF_DAY.fullmatch(text)
    minutes = int(parts[1]) * 60 + int(parts[2]) if parts else 1441
    if minutes > 1440:
        raise ValueError(f'{quoted(text)} is no time of day; write "08:00", from "00:00" to "24:00"')
    return minutes


def parse_days(value: object) -> frozenset[int]:
    """Return weekdays, Monday 0, of a day or a range of days such as ``mon-fri``."""
    text = text_of(value).lower()
    first, _, last = text.partition("-")
    names = [day for day in (first, last or first) if day[:3] in WEEKDAYS and _is_day(day)]
    if len(names) != 2:
        raise ValueError(f"{quoted(text)} is no weekday; write mon, tue, wed, thu, fri, sat, sun, or mon-fri")
    start, end = (WEEKDAYS.index(day[:3]) for day in names)
    return frozenset((start + step) % 7 for step in range((end - start) % 7 + 1))


def _is_day(text: str) -> bool:
    return text in WEEKDAYS or text in (
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    )


def parse_timezone(value: object) -> str:
    """Return an IANA time zone's name that this machine knows."""
    text = text_of(value)
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{quoted(text)} is no time zone; write one such as Europe/Berlin or UTC") from None
    return text


def parse_moment(value: object) -> datetime:
    """Return a moment (RFC 3339): date, time and offset."""
    text = text_of(value)
    try:
        moment = datetime.fromisoformat(text.upper().replace(" ", "T")) if _MOMENT.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"{quoted(text)} is no moment; write 2030-12-31T18:00:00Z or …+01:00 (RFC 3339)")
    return moment


def parse_duration_s(value: object) -> int:
    """Return seconds of ``30``, ``30s``, ``5m``, ``2h`` or ``1d``."""
    text = text_of(value)
    parts = _DURATION.fullmatch(text)
    if not parts:
        raise ValueError(f"{quoted(text)} is no duration; write 30s, 5m, 2h or 1d")
    return int(parts[1]) * _SECONDS[parts[2]]


def parse_on_change(value: object) -> OnChange:
    """Return ``cut``, ``keep`` or ``drain <seconds>``."""
    text = " ".join(text_of(value).split())
    if text == "cut":
        return OnChange("cut")
    if text == "keep":
        return OnChange("keep")
    word, _, seconds = text.partition(" ")
    if word != "drain" or not _DURATION.fullmatch(seconds):
        raise ValueError(f"{quoted(text)} is not known here; write cut, keep, or drain and seconds: drain 30")
    return OnChange("drain", parse_duration_s(seconds))


def parse_collector(value: object) -> str:
    """Return ``ADDRESS:PORT`` of an IPFIX collector, an IPv6 address in brackets."""
    host, _, port = str(value).rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        address = None
    if address is None or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{value!r} is no collector; write an address and port, as 192.0.2.9:4739")
    return f"[{address}]:{int(port)}" if address.version == 6 else f"{address}:{int(port)}"


def parse_sample(value: object) -> int:
    """Return N of ``1/N``: one packet of N is copied."""
    text = text_of(value)
    first, _, second = text.partition("/")
    if first != "1" or not _WHOLE_NUMBER.fullmatch(second) or not 1 <= int(second) <= 65535:
        raise ValueError(
            f"{quoted(text)} is no sampling; write 1/100 for one packet of a hundred, up to 1/65535"
        )
    return int(second)


def parse_datapath_id(value: object) -> int:
    """Return a datapath id of up to 16 hexadecimal digits; 0 is none."""
    text = text_of(value)
    if not _DATAPATH_ID.fullmatch(text) or int(text, 16) == 0:
        raise ValueError(f'{quoted(text)} is no datapath id; write 16 hexadecimal digits: "00000000000000a1"')
    return int(text, 16)


def parse_remote(value: object) -> str:
    """Return an OVSDB remote that can be connected to (ovsdb(7), active connections)."""
    text = text_of(value)
    parts = _REMOTE.fullmatch(text)
    if not parts or (parts[3] and not 1 <= int(parts[3]) <= 65535):
        raise ValueError(f"{quoted(text)} is no remote; write tcp:192.0.2.11:6640 or ssl:192.0.2.11:6640")
    return text


def parse_openflow_remote(value: object) -> str:
    """Return where a bridge listens for the controller, by IP address (``ptcp``, ``pssl``: ovs-vsctl(8))."""
    text = text_of(value)
    parts = _LISTENING.fullmatch(text)
    try:
        version = ipaddress.ip_address(parts[2] or parts[3]).version if parts else 0
    except ValueError:
        version = 0
    if not parts or version != (6 if parts[2] else 4) or not 1 <= int(parts[4]) <= 65535:
        raise ValueError(
            f"{quoted(text)} is no place where a bridge listens; "
            "write ssl:192.0.2.11:6653 or ssl:[2001:db8::11]:6653"
        )
    return text


def parse_ethertype(value: object) -> int:
    """Return an ethertype beyond those that zonewall handles itself (IEEE 802.3: 0x0600 and up)."""
    text = text_of(value)
    known = {0x0800: "IPv4", 0x0806: "ARP", 0x86DD: "IPv6", 0x8100: "VLAN", 0x88A8: "VLAN", 0x8035: "RARP"}
    number = int(text, 16) if re.fullmatch(r"0[xX][0-9a-fA-F]{1,4}", text) else -1
    if not 0x0600 <= number <= 0xFFFF:
        raise ValueError(f"{quoted(text)} is no ethertype; write it as 0x88cc, from 0x0600 to 0xffff")
    if number in known:
        raise ValueError(f"{text} is {known[number]}, which zonewall judges by itself; leave it out")
    return number
