"""Names and small numbers that must not be mixed up."""

from __future__ import annotations

from typing import NewType

TenantName = NewType("TenantName", str)
ZoneName = NewType("ZoneName", str)
HostName = NewType("HostName", str)
BridgeName = NewType("BridgeName", str)
EndpointKey = NewType("EndpointKey", str)
"""``tenant/name``: how an endpoint is written everywhere."""

OfPort = NewType("OfPort", int)
"""OpenFlow port number of an interface on its bridge, 1 to 65279 (ovs-vswitchd.conf.db(5), ofport)."""

DatapathId = NewType("DatapathId", int)
CtZone = NewType("CtZone", int)
"""Conntrack zone, 1 to 65535; 0 is never used."""

RuleNumber = NewType("RuleNumber", int)
"""What a flow, a connection's label and a log line know a rule by; 1 to 2**32-1, never used again."""

IdentityNumber = NewType("IdentityNumber", int)
"""A distinct set of zones of one tenant; unique over all tenants. Outside identities have bit 31 set."""
