"""The tables and columns that zonewall reads and writes (ovs-vswitchd.conf.db(5)), and how much it believes.

The part of the schema is kept here, so that the controller's machine needs no Open vSwitch installed.
"""

from __future__ import annotations

from typing import Any

from ovs.db import idl

DATABASE = "Open_vSwitch"

MAX_PORTS = 8192
"""As many are believed of a host, unless the options say another number."""
MAX_BRIDGES = 4096
MAX_TEXT = 255


def _any_number(of: object) -> dict[str, Any]:
    return {"type": {"key": of, "min": 0, "max": "unlimited"}}


def _optional(of: object) -> dict[str, Any]:
    return {"type": {"key": of, "min": 0, "max": 1}}


def _reference(table: str) -> dict[str, str]:
    return {"type": "uuid", "refTable": table}


_TEXT = {"type": "string"}
_TEXTS_BY_TEXT = {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}}
_FLOW_TABLES = {"type": {"key": "integer", "value": _reference("Flow_Table"), "min": 0, "max": "unlimited"}}

_TABLES: dict[str, dict[str, dict[str, Any]]] = {
    "Open_vSwitch": {
        "bridges": _any_number(_reference("Bridge")),
        "external_ids": _TEXTS_BY_TEXT,
        "other_config": _TEXTS_BY_TEXT,
        "ovs_version": _optional("string"),
        "datapath_types": _any_number("string"),
    },
    "Bridge": {
        "name": _TEXT,
        "datapath_id": _optional("string"),
        "datapath_type": _TEXT,
        "ports": _any_number(_reference("Port")),
        "fail_mode": _optional("string"),
        "protocols": _any_number("string"),
        "controller": _any_number(_reference("Controller")),
        "other_config": _TEXTS_BY_TEXT,
        "flow_tables": _FLOW_TABLES,
    },
    "Port": {"name": _TEXT, "interfaces": _any_number(_reference("Interface")), "tag": _optional("integer")},
    "Interface": {
        "name": _TEXT,
        "ofport": _optional("integer"),
        "external_ids": _TEXTS_BY_TEXT,
        "type": _TEXT,
        "link_state": _optional("string"),
        "mac_in_use": _optional("string"),
        "error": _optional("string"),
    },
    "Controller": {"target": _TEXT},
    "IPFIX": {
        "targets": _any_number("string"),
        "cache_active_timeout": _optional("integer"),
        "cache_max_flows": _optional("integer"),
    },
    "Flow_Sample_Collector_Set": {
        "id": {"type": "integer"},
        "bridge": {"type": {"key": _reference("Bridge")}},
        "ipfix": _optional(_reference("IPFIX")),
    },
    "Flow_Table": {"prefixes": _any_number("string")},
}


_ROOTS = (DATABASE, "Flow_Sample_Collector_Set")
"""Tables whose rows stay until they are deleted; others go when nothing refers to them."""


def schema_helper() -> Any:
    """Return a fresh schema for one ``Idl``, which keeps and changes it."""
    tables = {
        name: {"columns": columns, "isRoot": name in _ROOTS, "maxRows": 1 if name == DATABASE else 1 << 31}
        for name, columns in _TABLES.items()
    }
    helper = idl.SchemaHelper(schema_json={"name": DATABASE, "version": "8.0.0", "tables": tables})
    helper.register_all()
    return helper
