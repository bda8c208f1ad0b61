"""OpenFlow's error types and codes in words (OpenFlow 1.5.1, 7.5.4), those that a request can meet."""

from __future__ import annotations

from typing import Final

_EXPERIMENTER: Final = 0xFFFF

_TYPES: Final = {
    0: "HELLO_FAILED", 1: "BAD_REQUEST", 2: "BAD_ACTION", 3: "BAD_INSTRUCTION", 4: "BAD_MATCH",
    5: "FLOW_MOD_FAILED", 6: "GROUP_MOD_FAILED", 7: "PORT_MOD_FAILED", 8: "TABLE_MOD_FAILED",
    9: "QUEUE_OP_FAILED", 10: "SWITCH_CONFIG_FAILED", 11: "ROLE_REQUEST_FAILED", 12: "METER_MOD_FAILED",
    13: "TABLE_FEATURES_FAILED", 14: "BAD_PROPERTY", 15: "ASYNC_CONFIG_FAILED", 16: "FLOW_MONITOR_FAILED",
    17: "BUNDLE_FAILED", _EXPERIMENTER: "EXPERIMENTER",
}  # fmt: skip

_IN_ORDER: Final = {
    0: "INCOMPATIBLE EPERM",
    1: "BAD_VERSION BAD_TYPE BAD_MULTIPART BAD_EXPERIMENTER BAD_EXP_TYPE EPERM BAD_LEN BUFFER_EMPTY "
    "BUFFER_UNKNOWN BAD_TABLE_ID IS_SLAVE BAD_PORT BAD_PACKET MULTIPART_BUFFER_OVERFLOW "
    "MULTIPART_REQUEST_TIMEOUT MULTIPART_REPLY_TIMEOUT MULTIPART_BAD_SCHED PIPELINE_FIELDS_ONLY "
    "UNKNOWN",
    2: "BAD_TYPE BAD_LEN BAD_EXPERIMENTER BAD_EXP_TYPE BAD_OUT_PORT BAD_ARGUMENT EPERM TOO_MANY "
    "BAD_QUEUE BAD_OUT_GROUP MATCH_INCONSISTENT UNSUPPORTED_ORDER BAD_TAG BAD_SET_TYPE BAD_SET_LEN "
    "BAD_SET_ARGUMENT BAD_SET_MASK BAD_METER",
    3: "UNKNOWN_INST UNSUP_INST BAD_TABLE_ID UNSUP_METADATA UNSUP_METADATA_MASK BAD_EXPERIMENTER "
    "BAD_EXP_TYPE BAD_LEN EPERM DUP_INST",
    4: "BAD_TYPE BAD_LEN BAD_TAG BAD_DL_ADDR_MASK BAD_NW_ADDR_MASK BAD_WILDCARDS BAD_FIELD BAD_VALUE "
    "BAD_MASK BAD_PREREQ DUP_FIELD EPERM",
    5: "UNKNOWN TABLE_FULL BAD_TABLE_ID OVERLAP EPERM BAD_TIMEOUT BAD_COMMAND BAD_FLAGS CANT_SYNC "
    "BAD_PRIORITY IS_SYNC",
    6: "GROUP_EXISTS INVALID_GROUP WEIGHT_UNSUPPORTED OUT_OF_GROUPS OUT_OF_BUCKETS CHAINING_UNSUPPORTED "
    "WATCH_UNSUPPORTED LOOP UNKNOWN_GROUP CHAINED_GROUP BAD_TYPE BAD_COMMAND BAD_BUCKET BAD_WATCH "
    "EPERM UNKNOWN_BUCKET BUCKET_EXISTS",
    11: "STALE UNSUP BAD_ROLE ID_UNSUP ID_IN_USE",
    12: "UNKNOWN METER_EXISTS INVALID_METER UNKNOWN_METER BAD_COMMAND BAD_FLAGS BAD_RATE BAD_BURST "
    "BAD_BAND BAD_BAND_VALUE OUT_OF_METERS OUT_OF_BANDS",
    17: "UNKNOWN EPERM BAD_ID BUNDLE_EXIST BUNDLE_CLOSED OUT_OF_BUNDLES BAD_TYPE BAD_FLAGS MSG_BAD_LEN "
    "MSG_BAD_XID MSG_UNSUP MSG_CONFLICT MSG_TOO_MANY MSG_FAILED TIMEOUT BUNDLE_IN_PROGRESS "
    "SCHED_NOT_SUPPORTED SCHED_FUTURE SCHED_PAST",
}
"""Names of the codes 0, 1, … of a type."""

_OF_OPEN_VSWITCH: Final = {
    2: "NXM_INVALID", 3: "NXM_BAD_TYPE", 4: "MUST_BE_ZERO", 5: "BAD_REASON", 11: "MUST_BE_ZERO",
    12: "HARDWARE", 13: "BAD_TABLE_ID", 15: "BAD_CONJUNCTION", 22: "BAD_VERSION", 36: "NOT_CONFIGURED",
    37: "INVALID_TLV_FIELD", 39: "BAD_HEADER_TYPE", 40: "UNKNOWN_ED_PROP", 41: "BAD_ED_PROP",
    42: "CT_DATAPATH_SUPPORT", 43: "CT_DATAPATH_SUPPORT",
}  # fmt: skip
"""Codes of its own from OpenFlow 1.4 on (include/openvswitch/ofp-errors.h)."""

_MEANS: Final = {
    (1, 5): "this controller is not the bridge's master",
    (1, 10): "another controller is the bridge's master",
    (2, 9): "no such group",
    (2, 10): "an action needs a match it lacks",
    (2, 17): "no such meter",
    (3, 2): "goto leads back or nowhere",
    (11, 0): "another controller has a newer generation",
    (_EXPERIMENTER, 3): "the bridge does not know a field",
    (_EXPERIMENTER, 42): "its datapath lacks connection tracking, or a part of it that an action uses",
    (_EXPERIMENTER, 43): "its datapath lacks connection tracking, or a field of it that is matched",
}  # fmt: skip

_CODES: Final = {
    **{(kind, code): name for kind, names in _IN_ORDER.items() for code, name in enumerate(names.split())},
    **{(_EXPERIMENTER, code): name for code, name in _OF_OPEN_VSWITCH.items()},
}


def error_name(kind: int, code: int) -> str:
    """Return what the standard calls an error, or its numbers, and what it means where that says little."""
    type_name = _TYPES.get(kind, f"type {kind}")
    name = f"{type_name}/{_CODES.get((kind, code), f'code {code}')}"
    return f"{name}: {_MEANS[kind, code]}" if (kind, code) in _MEANS else name


def is_known(kind: int, code: int) -> bool:
    """Say whether an error has a name here; one of any code that concerns a session as a whole does."""
    return kind in _OF_A_SESSION or (kind, code) in _CODES


_OF_A_SESSION: Final = frozenset({0, 11})
"""HELLO_FAILED, ROLE_REQUEST_FAILED."""
