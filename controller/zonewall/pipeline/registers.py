"""THE declaration of registers: every bit of them and of ct_label, and what their values mean."""

from __future__ import annotations

from typing import Final

from zonewall.pipeline.model import Field, register

SRC_IDENTITY: Final = register("src_identity", 0)
DST_IDENTITY: Final = register("dst_identity", 1)
RULE: Final = register("rule", 2)
BANK: Final = register("bank", 3, 0, 16)
"""Which list of rules judges: a tenant's own, or that of a pair of tenants; the highest bit is the side of it
that a large change is staged on (``flows.generation``)."""
SECTION: Final = register("section", 3, 16, 8)
"""How far in the bank's list; a ``pass`` and the end of a tier that has one go on to the next."""
TENANT: Final = register("tenant", 4, 0, 12)
VIA: Final = register("via", 4, 16, 12)
"""How to deliver: 0 a local port, 1 to 4094 a fabric destination, 4095 the tenant's uplinks."""
ORIGIN: Final = register("origin", 5, 0, 3)
VERDICT: Final = register("verdict", 5, 4, 2)
MONITORED: Final = register("monitored", 5, 6, 1)
SRC_QUARANTINED: Final = register("src_quarantined", 5, 8, 1)
DST_QUARANTINED: Final = register("dst_quarantined", 5, 9, 1)
SRC_LOCAL: Final = register("src_local", 5, 10, 1)
TAKE_UP: Final = register("take_up", 5, 11, 1)
"""This packet passes as the answer of a connection taken up in its middle; it is not committed."""
UNTRACKED: Final = register("untracked", 5, 12, 1)
"""Judged by itself and never committed: ICMP that tracking takes as no beginning."""
ANSWER: Final = register("answer", 5, 13, 1)
"""The packet goes against its connection's first direction; kept because a commit clears ct_state."""
SRC_MOVED: Final = register("src_moved", 5, 14, 1)
DST_MOVED: Final = register("dst_moved", 5, 15, 1)
"""The end is on this bridge and has just come: connections may be taken up in their middle."""
TURNED: Final = register("turned", 5, 7, 1)
"""To be remembered as an answer, because nothing else of its connection may ever pass here."""
CHAIN: Final = register("chain", 5, 16, 16)
DST_ENDPOINT: Final = register("dst_endpoint", 6)
OUT_PORT: Final = register("out_port", 7, 0, 16)
TRACK_ZONE: Final = register("track_zone", 7, 16, 16)
MIRROR_ALLOWED: Final = register("mirror_allowed", 8, 0, 24)
MIRROR_DROPPED: Final = register("mirror_dropped", 15, 0, 24)
MIRROR_DUE: Final = register("mirror_due", 9, 0, 24)
"""A bit for each target, which gets all of a packet; above them those of the lengths that targets get, as the
connection's tenants have them."""
MIRROR_SENT: Final = register("mirror_sent", 9, 24, 8)
"""The targets that have a copy."""
MIRROR_STEP: Final = register("mirror_step", 10, 16, 16)
MIRROR_PICK: Final = register("mirror_pick", 10, 0, 16)
"""A number that follows from the connection: 0 is in the sample."""
PATH: Final = register("path", 11, 0, 16)
"""The way through its rule's service functions that the connection has taken so far; 0 is none yet."""
ARRIVED: Final = register("arrived", 11, 16, 16)
"""The way that this packet has come, in its connection's first direction; 0 is none."""
PICK: Final = register("pick", 12, 0, 16)
"""A number that follows from the connection: which of the usable ways it takes. Of ARP and neighbour
discovery for another tenant's endpoint, no connection: that it is (``ASKED_OTHERS``), and the tenant."""
LEG_VLAN: Final = register("leg_vlan", 12, 16, 12)
"""Which of an uplink's VLANs is the leg; 0 for a leg that has a port to itself."""
GATHER_ZONE: Final = register("gather_zone", 13, 0, 16)
"""The conntrack zone in which the fragments of one datagram wait for each other."""
GATHERED: Final = register("gathered", 13, 16, 1)
"""A datagram's fragments go on together, with what its first one was judged to be."""
FRESH: Final = register("fresh", 13, 17, 1)
"""Its connection has not been answered yet; kept because gathering fragments changes ct_state."""
HAD: Final = register("had", 13, 18, 2)
"""What a datagram's connection was remembered by, kept because gathering its fragments changes ct_label."""
HAD_RULE: Final = register("had_rule", 14)
LOGGED: Final = register("logged", 12, 28, 1)
"""The deciding rule's connections are recorded."""
LOG_KNOWN: Final = register("log_known", 12, 29, 1)
"""The connection has a row, which has counted this packet."""
LOG_DUE: Final = register("log_due", 12, 30, 1)
"""The connection has just got its row, which has not counted this packet yet."""

LABEL_RULE: Final = Field("label_rule", "ct_label", 0, 32, 128)
LABEL_SRC: Final = Field("label_src_identity", "ct_label", 32, 32, 128)
LABEL_DST: Final = Field("label_dst_identity", "ct_label", 64, 32, 128)
LABEL_CHAIN: Final = Field("label_chain", "ct_label", 96, 16, 128)
"""In a tenant's zone the way that the connection takes, in a function's the one that brought it there."""
LABEL_TURNED: Final = Field("label_turned", "ct_label", 112, 1, 128)
"""Tracking knows the connection from an answer on: its first direction is the other one."""
LABEL_BEGUN: Final = Field("label_begun", "ct_label", 113, 1, 128)
"""Its packets were allowed, and nobody was told that they are no longer."""
LABEL_FIRST_MAC: Final = Field("label_first_mac", "ct_label", 0, 48, 128)
LABEL_OTHER_MAC: Final = Field("label_other_mac", "ct_label", 48, 48, 128)
"""In a function's zone, where frames have other MACs on their way: those of who began, and of the other."""
MARK_SPORT: Final = Field("mark_sport", "ct_mark", 0, 16, 32)
MARK_DPORT: Final = Field("mark_dport", "ct_mark", 16, 16, 32)
"""Of SCTP, which user space knows by addresses alone: whose ports the label is about. 0: not known."""

FROM_ENDPOINT: Final = 1
FROM_UPLINK: Final = 2
FROM_FABRIC: Final = 3
FROM_SERVICE: Final = 4
"""Values of ``origin``."""

ALLOW: Final = 1
DROP: Final = 2
REJECT: Final = 3
"""Values of ``verdict``; 0 is undecided, which drops."""

OUTSIDE_BIT: Final = 0x80000000
"""Set in the identity of every outside address."""

HAD_BEGUN: Final = 1
HAD_ENDED: Final = 2
"""Values of ``had``: the connection had been allowed; that it no longer is has been told. 0: neither."""

ASKED_OTHERS: Final = 1 << 12
"""Set in ``pick`` of what asks for, or answers, another tenant's endpoint, whatever tenant that is."""

VIA_LOCAL: Final = 0
VIA_UPLINK: Final = 4095

NO_ENDPOINT: Final = 0
OUTSIDE_ENDPOINT: Final = 1
"""Values of ``dst_endpoint``; endpoints are numbered from 2."""

SERVICES: Final = (
    "ip_proto", "tcp_src", "tcp_dst", "udp_src", "udp_dst", "sctp_src", "sctp_dst",
    "icmpv4_type", "icmpv4_code", "icmpv6_type", "icmpv6_code",
)  # fmt: skip
"""What a service asks for."""

FIELDS: Final = tuple(declared for declared in vars().values() if isinstance(declared, Field))
"""Every field above."""

SHARED_BITS: Final = frozenset(
    frozenset({mac.name, other.name})
    for mac in (LABEL_FIRST_MAC, LABEL_OTHER_MAC)
    for other in (LABEL_RULE, LABEL_SRC, LABEL_DST)
)
"""Pairs of fields that lie in the same bits, never in the same connection."""
