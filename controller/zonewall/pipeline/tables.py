"""THE declaration: every table and every register bit. Nothing else names a table's number or a bit.

``docs/pipeline.md`` is drawn from this module (``python -m zonewall.pipeline.document``).
"""

from __future__ import annotations

from typing import Final

from zonewall.pipeline.model import Field, Miss, Pipeline, Table, register

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
MIRROR_ALLOWED: Final = register("mirror_allowed", 8, 0, 8)
MIRROR_DROPPED: Final = register("mirror_dropped", 8, 8, 8)
MIRROR_DUE: Final = register("mirror_due", 9, 0, 8)
MIRROR_SENT: Final = register("mirror_sent", 9, 8, 8)
MIRROR_STEP: Final = register("mirror_step", 9, 16, 8)
MIRROR_PICK: Final = register("mirror_pick", 10, 0, 16)
"""A number that follows from the connection: 0 is in the sample."""
PATH: Final = register("path", 11, 0, 16)
"""The way through its rule's service functions that the connection has taken so far; 0 is none yet."""
ARRIVED: Final = register("arrived", 11, 16, 16)
"""The way that this packet has come, in its connection's first direction; 0 is none."""
PICK: Final = register("pick", 12, 0, 16)
"""A number that follows from the connection: which of the usable ways it takes."""
LEG_VLAN: Final = register("leg_vlan", 12, 16, 12)
"""Which of an uplink's VLANs is the leg; 0 for a leg that has a port to itself."""
LOGGED: Final = register("logged", 12, 28, 1)
"""The deciding rule's connections are recorded."""
LOG_KNOWN: Final = register("log_known", 12, 29, 1)
"""The connection has a row, which has counted this packet."""
LOG_DUE: Final = register("log_due", 12, 30, 1)
"""The connection has just got its row, which has not counted this packet yet."""

GATHER_ZONE: Final = register("gather_zone", 13, 0, 16)
"""The conntrack zone in which the fragments of one datagram wait for each other."""
GATHERED: Final = register("gathered", 13, 16, 1)
"""A datagram's fragments go on together, with what its first one was judged to be."""
FRESH: Final = register("fresh", 13, 17, 1)
"""Its connection has not been answered yet; kept because gathering fragments changes ct_state."""

LABEL_RULE: Final = Field("label_rule", "ct_label", 0, 32, 128)
LABEL_SRC: Final = Field("label_src_identity", "ct_label", 32, 32, 128)
LABEL_DST: Final = Field("label_dst_identity", "ct_label", 64, 32, 128)
LABEL_CHAIN: Final = Field("label_chain", "ct_label", 96, 16, 128)
"""In a tenant's zone the way that the connection takes, in a function's the one that brought it there."""
LABEL_TURNED: Final = Field("label_turned", "ct_label", 112, 1, 128)
"""Tracking knows the connection from an answer on: its first direction is the other one."""
LABEL_FIRST_MAC: Final = Field("label_first_mac", "ct_label", 0, 48, 128)
LABEL_OTHER_MAC: Final = Field("label_other_mac", "ct_label", 48, 48, 128)
"""In a function's zone, where frames have other MACs on their way: those of who began, and of the other."""

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

CLASSIFY: Final = Table(
    "classify",
    0,
    "Which kind of port, which tenant: a port that nobody knows can do nothing.",
    ("in_port", "eth_src", "vlan_vid", "tun_src", "eth_type"),
    ("announce", "fabric_in", "overlay_in", "service_return", "guard", "source"),
)
ANNOUNCE: Final = Table(
    "announce",
    1,
    "A port that waits or has been left: its announcements go to the controller, all else is dropped.",
    ("in_port", "eth_type", "ip_proto", "icmpv6_type"),
)
FABRIC_IN: Final = Table(
    "fabric_in",
    2,
    "A frame on a fabric link: for this bridge, for another one, or a copy for a mirror target here?",
    ("vlan_vid", "eth_type"),
    ("fabric_tenant", "mirror_in", "service_in"),
)
OVERLAY_IN: Final = Table(
    "overlay_in", 3, "A frame out of a tunnel: which tenant?", ("tun_id",), ("source", "service_in")
)
FABRIC_TENANT: Final = Table(
    "fabric_tenant", 4, "The inner tag of a frame for this bridge: which tenant?", ("vlan_vid",), ("source",)
)
MIRROR_IN: Final = Table(
    "mirror_in",
    5,
    "A copy from another bridge: out of the mirror target's port here, without its inner tag.",
    ("vlan_vid",),
)
GUARD: Final = Table(
    "guard",
    6,
    "May this endpoint say that: its own IPv4, IPv6, ARP and ND addresses only? Sets its identity.",
    (
        "in_port",
        "ipv4_src",
        "ipv6_src",
        "arp_spa",
        "arp_sha",
        "eth_type",
        "udp_src",
        "icmpv6_type",
        "eth_dst",
        "arp_op",
        "ip_proto",
        "udp_dst",
    ),
    ("guard_nd", "source", "arp", "dhcp", "broadcast", "resolve", "bind"),
)
GUARD_ND: Final = Table(
    "guard_nd",
    7,
    "Neighbour discovery: is the link-layer address in it the endpoint's own?",
    (
        "in_port",
        "icmpv6_type",
        "nd_sll",
        "nd_tll",
        "eth_type",
        "ip_proto",
    ),
    ("guard_nd_address", "broadcast"),
)
GUARD_ND_ADDRESS: Final = Table(
    "guard_nd_address",
    8,
    "Neighbour discovery: the address it speaks from, or for, is the endpoint's own.",
    (
        "in_port",
        "icmpv6_type",
        "ipv6_src",
        "nd_target",
        "eth_type",
        "ip_proto",
    ),
    ("nd", "broadcast"),
)
SOURCE: Final = Table(
    "source",
    9,
    "Who sent what came from a link, a tunnel, an uplink, a router or an appliance? Sets its identity.",
    (
        "tenant",
        "origin",
        "ipv4_src",
        "ipv6_src",
        "eth_src",
        "eth_type",
        "eth_dst",
        "arp_spa",
        "arp_sha",
        "ip_proto",
        "udp_src",
        "udp_dst",
        "icmpv6_type",
        "nd_target",
    ),
    ("arp", "nd", "dhcp", "broadcast", "resolve", "bind"),
)
ARP: Final = Table(
    "arp",
    10,
    "Whose address does this ARP ask for or answer? It is sent there only.",
    (
        "tenant",
        "arp_tpa",
        "arp_spa",
        "eth_type",
    ),
    ("broadcast", "bind"),
)
ND: Final = Table(
    "nd",
    11,
    "Whose address does this neighbour discovery ask for? It is sent there only.",
    (
        "tenant",
        "nd_target",
        "ipv6_dst",
        "icmpv6_type",
        "eth_type",
        "ip_proto",
    ),
    ("broadcast", "bind"),
)
RESOLVE: Final = Table(
    "resolve",
    12,
    "Which identity is the other end? Longest prefix, per tenant.",
    (
        "tenant",
        "ipv4_dst",
        "ipv6_dst",
        "eth_type",
        "ip_proto",
        "udp_src",
        "udp_dst",
    ),
    ("multicast", "dhcp", "bind"),
)
MULTICAST: Final = Table(
    "multicast",
    13,
    "Multicast and broadcast: a known list, nothing else.",
    (
        "src_quarantined",
        "ipv4_dst",
        "ipv6_dst",
        "ip_proto",
        "udp_dst",
        "eth_type",
    ),
    ("broadcast",),
)
DHCP: Final = Table(
    "dhcp",
    14,
    "Requests go to the tenant's DHCP servers, answers come from them only.",
    (
        "tenant",
        "origin",
        "in_port",
        "udp_dst",
        "eth_dst",
        "eth_type",
        "ip_proto",
        "udp_src",
    ),
    ("broadcast", "bind"),
)
BROADCAST: Final = Table(
    "broadcast",
    15,
    "What is flooded within the tenant passes the port's own meter first.",
    (
        "in_port",
        "origin",
        "src_quarantined",
        "eth_type",
        "icmpv6_type",
        "ip_proto",
    ),
    ("flood",),
)
BIND: Final = Table(
    "bind",
    16,
    "Do destination address and MAC belong together, and out of which port or over which link does it go?",
    ("tenant", "eth_dst", "dst_endpoint", "eth_type", "origin"),
    ("quarantine", "deliver"),
)
QUARANTINE: Final = Table(
    "quarantine",
    17,
    "Is either end isolated? Before tracking, so that isolation cuts live connections too.",
    (
        "src_quarantined",
        "dst_quarantined",
        "src_identity",
        "dst_identity",
        "eth_type",
        "ip_proto",
        "udp_src",
        "udp_dst",
        "icmpv6_type",
    ),
    ("track",),
    Miss.NEXT,
)
TRACK: Final = Table(
    "track",
    18,
    "Look the connection up, in the zone of this bridge and tenant.",
    (
        "bank",
        "eth_type",
        "origin",
        "via",
        "arrived",
        "answer",
        "src_local",
        "ip_proto",
        "ip_frag",
        "udp_src",
        "udp_dst",
        "icmpv6_type",
    ),
    ("judge", "deliver"),
)
JUDGE: Final = Table(
    "judge",
    19,
    "Turn the packet to its connection's original direction and ask for the verdict, packet by packet.",
    (
        "ct_state",
        "eth_type",
        "ip_proto",
        "ip_frag",
        "ct_zone",
        "tcp_src",
        "tcp_dst",
        "udp_src",
        "udp_dst",
        "sctp_src",
        "sctp_dst",
        "tcp_flags",
        "icmpv4_type",
        "icmpv6_type",
        "bank",
        "src_moved",
        "dst_moved",
        "origin",
        "via",
        "label_turned",
    ),
    ("take_up", "act"),
)
TAKE_UP_TABLE: Final = Table(
    "take_up",
    20,
    "A connection in its middle after a move, or SCTP: allowed as it is, or as the answer of one that is?",
    (
        "verdict",
        "ip_proto",
        "answer",
        "bank",
        "src_identity",
        "dst_identity",
        "eth_type",
    ),
    ("act",),
)
MIRROR_SELECT: Final = Table(
    "mirror_select",
    21,
    "Subroutine: which mirror rules want a copy of this connection?",
    ("bank", "mirror_step", "src_identity", "dst_identity", *SERVICES),
)
VERDICT_TABLE: Final = Table(
    "verdict",
    22,
    "Subroutine: the first matching rule decides; pass goes on to the next section.",
    (
        "bank",
        "section",
        "src_identity",
        "dst_identity",
        *SERVICES,
        "conj_id",
        "label_rule",
        "ct_state",
        "verdict",
        "eth_type",
    ),
)
ACT: Final = Table(
    "act",
    23,
    "Carry the verdict out, of a datagram's fragments together: allow, drop, reject; undecided drops.",
    ("verdict", "ct_state", "origin", "gathered", "ip_frag", "eth_type"),
    ("modify", "reject", "admit"),
)
MODIFY: Final = Table(
    "modify",
    24,
    "What the deciding rule asks beside allow: limit, mirror, chain.",
    (
        "rule",
        "origin",
        "answer",
        "out_port",
        "via",
        "in_port",
    ),
    ("admit",),
    Miss.NEXT,
)
REJECT_TABLE: Final = Table(
    "reject",
    25,
    "Ask the controller for a RST or an ICMP error, by the port's own meter; never in answer to one.",
    (
        "in_port",
        "origin",
        "answer",
        "ip_proto",
        "tcp_flags",
        "icmpv4_type",
        "icmpv6_type",
        "ip_frag",
        "eth_dst",
        "eth_type",
    ),
)
ADMIT: Final = Table(
    "admit",
    26,
    "May this endpoint, this tenant, begin another connection now? By meters, where it enters.",
    ("in_port", "tenant", "origin", "fresh", "take_up", "turned"),
    ("commit",),
    Miss.NEXT,
)
COMMIT: Final = Table(
    "commit",
    27,
    "Remember a new connection with its rule and both identities.",
    ("fresh", "gathered", "chain", "eth_type", "take_up", "untracked", "turned", "logged"),
    ("chain", "log_commit"),
)
CHAIN_TABLE: Final = Table(
    "chain",
    28,
    "Send it through the rule's service functions, in the connection's direction.",
    (
        "chain",
        "path",
        "arrived",
        "origin",
        "answer",
        "untracked",
        "take_up",
        "src_identity",
        "via",
        "gathered",
        "ct_state",
        "eth_type",
    ),
    ("deliver", "steer"),
    Miss.NEXT,
)
SERVICE_RETURN: Final = Table(
    "service_return",
    29,
    "Out of an appliance: was this connection sent into it, in this direction?",
    (
        "in_port",
        "leg_vlan",
        "eth_type",
        "tenant",
    ),
    ("service_known",),
)
SERVICE_KNOWN: Final = Table(
    "service_known",
    30,
    "Only connections that were sent in come out; then the next function, or on to the destination.",
    (
        "in_port",
        "leg_vlan",
        "ct_state",
        "label_chain",
        "label_turned",
    ),
    ("steer",),
)
SERVICE_IN: Final = Table(
    "service_in",
    31,
    "A frame from another bridge for an appliance's leg here.",
    (
        "vlan_vid",
        "chain",
    ),
    ("steer",),
)
STEER: Final = Table(
    "steer",
    32,
    "Out of an appliance's leg, remembered by the appliance's own conntrack zone.",
    (
        "out_port",
        "leg_vlan",
        "answer",
        "eth_type",
    ),
    ("steer_back",),
)
MIRROR_EMIT: Final = Table(
    "mirror_emit",
    33,
    "Subroutine: one copy to each target that is due and has none yet.",
    (
        "mirror_due",
        "mirror_sent",
        "origin",
    ),
)
DELIVER: Final = Table(
    "deliver",
    34,
    "Out of a local port, over the fabric, through a tunnel or to the uplinks.",
    (
        "via",
        "tenant",
        "origin",
        "out_port",
    ),
    ("to_uplink",),
)
TO_UPLINK: Final = Table("to_uplink", 35, "With the tenant's VLAN, out of its uplinks.", ("tenant",))
FLOOD: Final = Table(
    "flood",
    36,
    "To the tenant's other ports here, and once to each bridge that has some.",
    ("tenant", "origin"),
    ("flood_local",),
)
FLOOD_LOCAL: Final = Table("flood_local", 37, "To the tenant's ports on this bridge.", ("tenant", "section"))

MIRROR_SAMPLE: Final = Table(
    "mirror_sample",
    38,
    "Subroutine: is this connection one of those that a mirror rule samples?",
    ("bank", "mirror_step", "mirror_pick"),
)
CHAIN_PICK: Final = Table(
    "chain_pick",
    39,
    "Subroutine: which of several usable ways does a connection take that has none?",
    ("chain", "pick"),
)
STEER_BACK: Final = Table(
    "steer_back",
    40,
    "Into an appliance against the first direction: does it know the connection, or from an answer on?",
    ("leg_vlan", "out_port", "ct_state", "eth_type"),
)

LOG: Final = Table(
    "log",
    41,
    "Subroutine: is it here that this packet counts for its connection's record?",
    ("logged", "ct_state", "eth_type", "ip_frag", "origin", "answer", "via", "chain", "path"),
)
LOG_TURN: Final = Table(
    "log_turn",
    42,
    "Subroutine: an answer counts in the row of its connection's first direction.",
    ("eth_type", "ip_proto"),
)
LOG_BEGIN: Final = Table(
    "log_begin",
    43,
    "Subroutine: a connection that has no row gets one.",
    ("log_known", "fresh", "eth_type", "ip_proto"),
)
LOG_COMMIT: Final = Table(
    "log_commit",
    44,
    "As commit, for recorded connections: the packet that made the row is looked up once more, to count.",
    ("log_due", "eth_type"),
    ("log_first",),
)
LOG_FIRST: Final = Table("log_first", 45, "The packet that made the row counts in it.", ("ct_state",))
LOG_ROWS: Final = Table(
    "log_rows",
    46,
    "A row for each recorded connection, made by the bridge itself: it counts, and tells when it ends.",
    (),
)

FIELDS: Final = (
    SRC_IDENTITY, DST_IDENTITY, RULE, BANK, SECTION, TENANT, VIA, ORIGIN, VERDICT, MONITORED,
    SRC_QUARANTINED, DST_QUARANTINED, SRC_LOCAL, TAKE_UP, UNTRACKED, ANSWER, SRC_MOVED, DST_MOVED, TURNED,
    CHAIN, DST_ENDPOINT, OUT_PORT,
    TRACK_ZONE, MIRROR_ALLOWED, MIRROR_DROPPED, MIRROR_DUE, MIRROR_SENT, MIRROR_STEP, MIRROR_PICK,
    PATH, ARRIVED, PICK, LEG_VLAN, GATHER_ZONE, GATHERED, FRESH, LOGGED, LOG_KNOWN, LOG_DUE,
    LABEL_RULE, LABEL_SRC, LABEL_DST, LABEL_CHAIN, LABEL_TURNED, LABEL_FIRST_MAC, LABEL_OTHER_MAC,
)  # fmt: skip

PIPELINE: Final = Pipeline(
    tables=(
        CLASSIFY, ANNOUNCE, FABRIC_IN, OVERLAY_IN, FABRIC_TENANT, MIRROR_IN, GUARD, GUARD_ND,
        GUARD_ND_ADDRESS, SOURCE, ARP, ND, RESOLVE, MULTICAST, DHCP, BROADCAST, BIND, QUARANTINE, TRACK,
        JUDGE, TAKE_UP_TABLE, MIRROR_SELECT, VERDICT_TABLE, ACT, MODIFY, REJECT_TABLE, ADMIT, COMMIT,
        CHAIN_TABLE,
        SERVICE_RETURN, SERVICE_KNOWN, SERVICE_IN, STEER, MIRROR_EMIT, DELIVER, TO_UPLINK, FLOOD, FLOOD_LOCAL,
        MIRROR_SAMPLE, CHAIN_PICK, STEER_BACK, LOG, LOG_TURN, LOG_BEGIN, LOG_COMMIT, LOG_FIRST, LOG_ROWS,
    ),
    fields=FIELDS,
    shared_bits=frozenset(
        frozenset({mac.name, other.name})
        for mac in (LABEL_FIRST_MAC, LABEL_OTHER_MAC)
        for other in (LABEL_RULE, LABEL_SRC, LABEL_DST)
    ),
)  # fmt: skip
