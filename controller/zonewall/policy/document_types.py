"""The building blocks of the document models: single values with their parser and their JSON Schema."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic import WithJsonSchema as Schema
from pydantic_core import CoreSchema

from zonewall.policy import written
from zonewall.policy.model import OnChange
from zonewall.policy.service_terms import ServiceEntry, parse_service
from zonewall.values.addresses import IpAddress, IpPrefix, MacAddress
from zonewall.values.limits import Limit

_Item = TypeVar("_Item")
_MAC_PATTERN = "^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$"


def _text(pattern: str | None = None, **more: Any) -> Schema:
    return Schema({"type": "string", **({"pattern": pattern} if pattern else {}), **more})


def _number(least: int, most: int) -> Schema:
    return Schema({"type": "integer", "minimum": least, "maximum": most})


def _whole(least: int, most: int) -> PlainValidator:
    return PlainValidator(partial(written.parse_whole, least=least, most=most))


def _rate(unit: str, scope: str) -> PlainValidator:
    return PlainValidator(partial(written.parse_rate, unit=unit, scope=scope))


class _OneOrMany:
    """Lets a single value stand for a list of one."""

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        several = handler(core_schema)
        if "minLength" in several:  # pydantic takes what stands behind a validator for text
            several["minItems"] = several.pop("minLength")
        return {"anyOf": [several["items"], several]}


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


Many = Annotated[tuple[_Item, ...], BeforeValidator(_as_list), _OneOrMany()]
"""A list, or a single value for a list of one; may be empty."""

Some = Annotated[tuple[_Item, ...], BeforeValidator(_as_list), Field(min_length=1), _OneOrMany()]
"""A list that is not empty, or a single value."""

_PORTS = {
    "anyOf": [
        {"type": ["integer", "string"]},
        {"type": "array", "minItems": 1, "items": {"type": ["integer", "string"]}},
    ]
}

Name = Annotated[str, PlainValidator(written.parse_name), _text(f"^{written.NAME_PATTERN}$")]
Word = Annotated[str, PlainValidator(written.parse_text), Schema({"type": ["string", "number", "boolean"]})]
YesNo = Annotated[bool, PlainValidator(written.parse_yes_no), Schema({"type": "boolean"})]
PeerName = Annotated[
    str,
    PlainValidator(written.parse_text),
    _text(description="any, external, self (in `to` only), a zone, or tenant/zone in a provider's rules"),
]
Service = Annotated[
    ServiceEntry,
    PlainValidator(parse_service),
    Schema(
        {
            "anyOf": [
                {"type": "string", "description": "tcp/443, icmp/echo-request, ip/47, any, or a service"},
                {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["proto"],
                    "properties": {
                        "proto": {"type": ["string", "integer"]},
                        "ports": _PORTS,
                        "source-ports": _PORTS,
                    },
                },
            ]
        }
    ),
]
Mac = Annotated[MacAddress, PlainValidator(written.parse_endpoint_mac), _text(_MAC_PATTERN)]
Address = Annotated[IpAddress, PlainValidator(written.parse_address), _text()]
Probe = Annotated[
    Literal["through", "none"] | IPv4Address,
    PlainValidator(written.parse_probe),
    _text(description="through, none, or an IPv4 address of the appliance that answers ARP on its leg"),
]
Prefix = Annotated[IpPrefix, PlainValidator(written.parse_prefix), _text()]
Rate = Annotated[
    Limit, PlainValidator(written.parse_limit), _text("^[0-9]+ ?(pps|[kmg]bps)( per endpoint)?$")
]
NewConnections = Annotated[
    written.ConnectionRate,
    PlainValidator(written.parse_connection_rate),
    _text("^[0-9]+/s( per (endpoint|tenant))?$"),
]
Connections = Annotated[
    int, _rate("", "tenant"), Schema({"type": ["string", "integer"], "pattern": "^[0-9]+( per tenant)?$"})
]
Announcements = Annotated[int, _rate("/s", "port"), _text("^[0-9]+/s( per port)?$")]
PerHour = Annotated[int, _rate("/h", "tenant"), _text("^[0-9]+/h( per tenant)?$")]
TimeOfDay = Annotated[int, PlainValidator(written.parse_time_of_day), _text("^[0-2][0-9]:[0-5][0-9]$")]
Days = Annotated[frozenset[int], PlainValidator(written.parse_days), _text()]
TimeZone = Annotated[str, PlainValidator(written.parse_timezone), _text()]
Moment = Annotated[datetime, PlainValidator(written.parse_moment), _text(format="date-time")]
Duration = Annotated[int, PlainValidator(written.parse_duration_s), Schema({"type": ["string", "integer"]})]
Change = Annotated[
    OnChange, PlainValidator(written.parse_on_change), _text("^(cut|keep|drain [0-9]+ ?[smhd]?)$")
]
Sample = Annotated[int, PlainValidator(written.parse_sample), _text("^1/[1-9][0-9]*$")]
Collector = Annotated[str, PlainValidator(written.parse_collector), _text()]
Truncate = Annotated[int, _whole(14, 65535), _number(14, 65535)]
FlowCount = Annotated[int, _whole(1, 10_000_000), _number(1, 10_000_000)]
Vlan = Annotated[int, _whole(1, 4094), _number(1, 4094)]
VlanOrUntagged = Annotated[int, _whole(0, 4094), _text("^[0-9]{1,4}$")]
Severity = Annotated[int, _whole(1, 255), _number(1, 255)]
Count = Annotated[int, _whole(1, 1_000_000), _number(1, 1_000_000)]
HexId = Annotated[int, PlainValidator(written.parse_datapath_id), _text("^(0x)?[0-9a-fA-F]{1,16}$")]
Remote = Annotated[str, PlainValidator(written.parse_remote), _text()]
Listening = Annotated[str, PlainValidator(written.parse_openflow_remote), _text()]
Ethertype = Annotated[int, PlainValidator(written.parse_ethertype), Schema({"type": ["string", "integer"]})]


def written_as(field_name: str) -> str:
    """Return the key of a field: ``from_`` is ``from``, ``iface_id`` is ``iface-id``."""
    return field_name.rstrip("_").replace("_", "-")


@dataclass(slots=True)
class Patience:
    """How many more errors a reading notes; who hands it over as context does not get all of a million."""

    left: int


class Part(BaseModel):
    """A mapping of a document; keys that it does not have are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=written_as)

    @model_validator(mode="wrap")
    @classmethod
    def _bounded(cls, value: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Look at no further part once there are errors enough."""
        patience = info.context
        if not isinstance(patience, Patience):
            return handler(value)
        if patience.left <= 0:
            return cls.__new__(cls)
        before = patience.left
        try:
            return handler(value)
        except ValidationError as error:
            # What is wrong with parts of this one is counted already, and in here again.
            patience.left = before - error.error_count()
            raise
