"""OpenFlow's error types and codes in words (OpenFlow 1.5.1, 7.5.4), those that a flow or bundle can meet."""

from __future__ import annotations

from typing import Final

_TYPES: Final = {
    0: "HELLO_FAILED", 1: "BAD_REQUEST", 2: "BAD_ACTION", 3: "BAD_INSTRUCTION", 4: "BAD_MATCH",
    5: "FLOW_MOD_FAILED", 6: "GROUP_MOD_FAILED", 7: "PORT_MOD_FAILED", 11: "ROLE_REQUEST_FAILED",
    12: "METER_MOD_FAILED", 17: "BUNDLE_FAILED", 0xFFFF: "EXPERIMENTER",
}  # fmt: skip

_CODES: Final = {
    (0, 0): "INCOMPATIBLE",
    (1, 1): "BAD_TYPE", (1, 4): "EPERM: this controller is not the bridge's master", (1, 6): "BAD_LEN",
    (2, 0): "BAD_TYPE", (2, 1): "BAD_LEN", (2, 4): "BAD_OUT_PORT", (2, 5): "BAD_ARGUMENT", (2, 7): "TOO_MANY",
    (2, 9): "BAD_OUT_GROUP: no such group", (2, 10): "MATCH_INCONSISTENT: an action needs a match it lacks",
    (2, 13): "BAD_SET_TYPE", (2, 14): "BAD_SET_LEN", (2, 15): "BAD_SET_ARGUMENT", (2, 16): "BAD_SET_MASK",
    (2, 17): "BAD_METER: no such meter",
    (3, 2): "BAD_TABLE_ID: goto leads back or nowhere",
    (4, 3): "BAD_TAG", (4, 6): "BAD_FIELD", (4, 7): "BAD_VALUE", (4, 8): "BAD_MASK",
    (4, 9): "BAD_PREREQ", (4, 10): "DUP_FIELD",
    (5, 1): "TABLE_FULL", (5, 2): "BAD_TABLE_ID", (5, 3): "OVERLAP", (5, 4): "EPERM",
    (6, 0): "GROUP_EXISTS", (6, 1): "INVALID_GROUP", (6, 3): "OUT_OF_GROUPS", (6, 7): "LOOP",
    (6, 8): "UNKNOWN_GROUP", (6, 9): "CHAINED_GROUP",
    (11, 0): "STALE: another controller has a newer generation",
    (12, 1): "METER_EXISTS", (12, 2): "INVALID_METER", (12, 3): "UNKNOWN_METER", (12, 9): "OUT_OF_METERS",
    (17, 1): "EPERM", (17, 2): "BAD_ID", (17, 3): "BUNDLE_EXIST", (17, 5): "OUT_OF_BUNDLES",
    (17, 7): "MSG_UNSUP", (17, 8): "MSG_CONFLICT", (17, 10): "MSG_FAILED", (17, 11): "TIMEOUT",
}  # fmt: skip


def error_name(kind: int, code: int) -> str:
    """Return what the standard calls an error, or its numbers."""
    type_name = _TYPES.get(kind, f"type {kind}")
    return f"{type_name}/{_CODES.get((kind, code), f'code {code}')}"
