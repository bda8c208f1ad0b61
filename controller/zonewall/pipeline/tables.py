"""THE declaration of tables. Nothing else names a table's number; ``registers`` has every bit.

``docs/pipeline.md`` is drawn from this module (``python -m zonewall.pipeline.document``).
"""

from __future__ import annotations

from typing import Final

from zonewall.pipeline.layout import table_number
from zonewall.pipeline.model import Miss, Pipeline, Table
from zonewall.pipeline.registers import FIELDS, SERVICES, SHARED_BITS


def _table(
    name: str,
    place: int,
    purpose: str,
    matches: tuple[str, ...],
    goto: tuple[str, ...] = (),
    miss: Miss = Miss.DROP,
) -> Table:
    """Declare the table at a place of the pipeline; its number is that of this version's layout."""
    return Table(name, table_number(place), purpose, matches, goto, miss)


CLASSIFY: Final = _table(
    "classify",
    0,
    "Which kind of port, which tenant: a port that nobody knows can do nothing.",
    ("in_port", "eth_src", "vlan_vid", "tun_src", "eth_type"),
    ("announce", "fabric_in", "overlay_in", "service_return", "guard", "source"),
)
ANNOUNCE: Final = _table(
    "announce",
    1,
    "A port that waits or has been left: its announcements go to the controller, all else is dropped.",
    ("in_port", "eth_type", "ip_proto", "icmpv6_type"),
)
FABRIC_IN: Final = _table(
    "fabric_in",
    2,
    "A frame on a fabric link: for this bridge, for another one, or a copy for a mirror target here?",
    ("vlan_vid", "eth_type"),
    ("fabric_tenant", "mirror_in", "service_in"),
)
OVERLAY_IN: Final = _table(
    "overlay_in", 3, "A frame out of a tunnel: which tenant?", ("tun_id",), ("source", "service_in")
)
FABRIC_TENANT: Final = _table(
    "fabric_tenant", 4, "The inner tag of a frame for this bridge: which tenant?", ("vlan_vid",), ("source",)
)
MIRROR_IN: Final = _table(
    "mirror_in",
    5,
    "A copy from another bridge: out of the mirror target's port here, without its inner tag.",
    ("vlan_vid",),
)
GUARD: Final = _table(
    "guard",
    6,
    "May this endpoint say that: its own IPv4, IPv6, ARP and ND addresses only? Sets its identity.",
    (
        "in_port", "ipv4_src", "ipv6_src", "arp_spa", "arp_sha", "eth_type", "udp_src", "icmpv6_type",
        "eth_dst", "arp_op", "ip_proto", "udp_dst", "ipv6_dst",
    ),
    ("guard_nd", "source", "arp", "dhcp", "broadcast", "resolve", "bind"),
)  # fmt: skip
GUARD_ND: Final = _table(
    "guard_nd",
    7,
    "Neighbour discovery: is the link-layer address in it the endpoint's own?",
    ("in_port", "icmpv6_type", "nd_sll", "nd_tll", "eth_type", "ip_proto"),
    ("guard_nd_address",),
)
GUARD_ND_ADDRESS: Final = _table(
    "guard_nd_address",
    8,
    "Neighbour discovery: the address it speaks from, or for, is the endpoint's own.",
    ("in_port", "icmpv6_type", "ipv6_src", "nd_target", "eth_type", "ip_proto"),
    ("nd",),
)
SOURCE: Final = _table(
    "source",
    9,
    "Who sent what came from a link, a tunnel, an uplink, a router or an appliance? Sets its identity.",
    (
        "tenant", "origin", "ipv4_src", "ipv6_src", "eth_src", "eth_type", "eth_dst", "arp_spa", "arp_sha",
        "ip_proto", "udp_src", "udp_dst", "icmpv6_type", "nd_target", "ipv6_dst",
    ),
    ("arp", "nd", "dhcp", "broadcast", "resolve", "bind"),
)  # fmt: skip
RESOLVE: Final = _table(
    "resolve",
    10,
    "Which identity is the other end? Longest prefix, per tenant.",
    ("tenant", "ipv4_dst", "ipv6_dst", "eth_type", "ip_proto", "udp_src", "udp_dst", "icmpv6_type"),
    ("nd", "multicast", "dhcp", "bind"),
)
ARP: Final = _table(
    "arp",
    11,
    "Whose address does this ARP ask for or answer? It is sent there only.",
    ("tenant", "arp_tpa", "arp_spa", "eth_type"),
    ("broadcast", "bind"),
)
ND: Final = _table(
    "nd",
    12,
    "Whose address does this neighbour discovery ask for? It goes there only, one for routers to all.",
    ("tenant", "nd_target", "ipv6_dst", "icmpv6_type", "eth_type", "ip_proto"),
    ("broadcast", "bind"),
)
MULTICAST: Final = _table(
    "multicast",
    13,
    "Multicast and broadcast: a known list, nothing else.",
    ("src_quarantined", "ipv4_dst", "ipv6_dst", "ip_proto", "udp_dst", "eth_type"),
    ("broadcast",),
)
DHCP: Final = _table(
    "dhcp",
    14,
    "Requests go to the tenant's DHCP servers, answers come from them only.",
    ("tenant", "origin", "in_port", "udp_dst", "eth_dst", "eth_type", "ip_proto", "udp_src", "ipv6_dst"),
    ("broadcast", "bind"),
)
BROADCAST: Final = _table(
    "broadcast",
    15,
    "What is flooded within the tenant passes the port's own meter first.",
    ("in_port", "origin", "src_quarantined", "eth_type", "icmpv6_type", "ip_proto"),
    ("flood",),
)
BIND: Final = _table(
    "bind",
    16,
    "Do destination address and MAC belong together, and out of which port or over which link does it go?",
    ("tenant", "eth_dst", "dst_endpoint", "eth_type", "origin", "in_port", "pick"),
    ("quarantine", "deliver"),
)
QUARANTINE: Final = _table(
    "quarantine",
    17,
    "Is either end isolated? Before tracking, so that isolation cuts live connections too.",
    (
        "src_quarantined", "dst_quarantined", "src_identity", "dst_identity", "eth_type", "ip_proto",
        "udp_src", "udp_dst", "icmpv6_type", "ip_frag",
    ),
    ("track", "isolated"),
    Miss.NEXT,
)  # fmt: skip
TRACK: Final = _table(
    "track",
    18,
    "Look the connection up, in the zone of this bridge and tenant.",
    (
        "bank", "eth_type", "origin", "via", "arrived", "answer", "src_local", "ip_proto", "ip_frag",
        "udp_src", "udp_dst", "icmpv6_type",
    ),
    ("judge", "deliver"),
)  # fmt: skip
JUDGE: Final = _table(
    "judge",
    19,
    "Turn the packet to its connection's original direction and ask for the verdict, packet by packet.",
    (
        "ct_state", "eth_type", "ip_proto", "ip_frag", "ct_zone", "tcp_src", "tcp_dst", "udp_src",
        "udp_dst", "sctp_src", "sctp_dst", "tcp_flags", "icmpv4_type", "icmpv6_type", "bank", "src_moved",
        "dst_moved", "origin", "via", "label_turned",
    ),
    ("take_up", "act"),
)  # fmt: skip
TAKE_UP_TABLE: Final = _table(
    "take_up",
    20,
    "A connection in its middle after a move, or SCTP: allowed as it is, or as the answer of one that is?",
    ("verdict", "ip_proto", "answer", "bank", "src_identity", "dst_identity", "eth_type"),
    ("act",),
)
MIRROR_SELECT: Final = _table(
    "mirror_select",
    21,
    "Subroutine: which mirror rules want a copy of this connection?",
    ("bank", "mirror_step", "src_identity", "dst_identity", *SERVICES),
)
VERDICT_TABLE: Final = _table(
    "verdict",
    22,
    "Subroutine: the first matching rule decides; pass goes on to the next section.",
    (
        "bank", "section", "src_identity", "dst_identity", *SERVICES, "conj_id", "label_rule", "ct_state",
        "verdict", "eth_type",
    ),
)  # fmt: skip
ACT: Final = _table(
    "act",
    23,
    "Carry the verdict out, of a datagram's fragments together: allow, drop, reject; undecided drops.",
    (
        "verdict", "ct_state", "origin", "gathered", "ip_frag", "eth_type", "ip_proto", "label_begun", "had",
    ),
    ("modify", "reject", "admit", "cut", "association"),
)  # fmt: skip
MODIFY: Final = _table(
    "modify",
    24,
    "What the deciding rule asks beside allow: limit, mirror, chain.",
    ("rule", "origin", "answer", "out_port", "via", "in_port"),
    ("admit",),
    Miss.NEXT,
)
REJECT_TABLE: Final = _table(
    "reject",
    25,
    "Ask the controller for a RST or an ICMP error, by the port's own meter; never in answer to one.",
    (
        "in_port", "origin", "answer", "ip_proto", "tcp_flags", "icmpv4_type", "icmpv6_type", "ip_frag",
        "eth_dst", "eth_type",
    ),
)  # fmt: skip
ADMIT: Final = _table(
    "admit",
    26,
    "May this endpoint, this tenant, begin another connection now? By meters, where it enters.",
    ("in_port", "tenant", "origin", "fresh", "take_up", "turned"),
    ("commit",),
    Miss.NEXT,
)
COMMIT: Final = _table(
    "commit",
    27,
    "Remember a new connection with its rule and both identities.",
    (
        "fresh", "gathered", "chain", "eth_type", "take_up", "untracked", "turned", "logged", "ct_state",
        "label_begun", "had", "origin", "ip_proto",
    ),
    ("chain", "log_commit"),
)  # fmt: skip
CHAIN_TABLE: Final = _table(
    "chain",
    28,
    "Send it through the rule's service functions, in the connection's direction.",
    (
        "chain", "path", "arrived", "origin", "answer", "untracked", "take_up", "src_identity", "via",
        "gathered", "ct_state", "eth_type",
    ),
    ("deliver", "steer"),
    Miss.NEXT,
)  # fmt: skip
SERVICE_RETURN: Final = _table(
    "service_return",
    29,
    "Out of an appliance: was this connection sent into it, in this direction?",
    ("in_port", "leg_vlan", "eth_type", "tenant"),
    ("service_known",),
)
SERVICE_KNOWN: Final = _table(
    "service_known",
    30,
    "Only connections that were sent in come out; then the next function, or on to the destination.",
    ("in_port", "leg_vlan", "ct_state", "label_chain", "label_turned"),
    ("steer",),
)
SERVICE_IN: Final = _table(
    "service_in",
    31,
    "A frame from another bridge for an appliance's leg here.",
    ("vlan_vid", "chain"),
    ("steer",),
)
STEER: Final = _table(
    "steer",
    32,
    "Out of an appliance's leg, remembered by the appliance's own conntrack zone.",
    ("out_port", "leg_vlan", "answer", "eth_type"),
    ("steer_back",),
)
MIRROR_EMIT: Final = _table(
    "mirror_emit",
    33,
    "Subroutine: one copy to each target that is due and has none yet.",
    ("mirror_due", "mirror_sent", "origin", "track_zone"),
)
DELIVER: Final = _table(
    "deliver",
    34,
    "Out of a local port, over the fabric, through a tunnel or to the uplinks.",
    ("via", "tenant", "origin", "out_port"),
    ("to_uplink",),
)
TO_UPLINK: Final = _table("to_uplink", 35, "With the tenant's VLAN, out of its uplinks.", ("tenant",))
FLOOD: Final = _table(
    "flood",
    36,
    "To the tenant's other ports here, and once to each bridge that has some.",
    ("tenant", "origin"),
    ("flood_local",),
)
FLOOD_LOCAL: Final = _table("flood_local", 37, "To the tenant's ports on this bridge.", ("tenant", "section"))

MIRROR_SAMPLE: Final = _table(
    "mirror_sample",
    38,
    "Subroutine: is this connection one of those that a mirror rule samples?",
    ("bank", "mirror_step", "mirror_pick"),
)
CHAIN_PICK: Final = _table(
    "chain_pick",
    39,
    "Subroutine: which of several usable ways does a connection take that has none?",
    ("chain", "pick"),
)
STEER_BACK: Final = _table(
    "steer_back",
    40,
    "Into an appliance against the first direction: does it know the connection, or from an answer on?",
    ("leg_vlan", "out_port", "ct_state", "eth_type"),
)

LOG: Final = _table(
    "log",
    41,
    "Subroutine: is it here that this packet counts for its connection's record?",
    ("logged", "ct_state", "eth_type", "ip_frag", "origin", "answer", "via", "chain", "path"),
)
LOG_TURN: Final = _table(
    "log_turn",
    42,
    "Subroutine: an answer counts in the row of its connection's first direction.",
    ("eth_type", "ip_proto"),
)
LOG_BEGIN: Final = _table(
    "log_begin",
    43,
    "Subroutine: a connection that has no row gets one.",
    ("log_known", "fresh", "eth_type", "ip_proto"),
)
LOG_COMMIT: Final = _table(
    "log_commit",
    44,
    "As commit, for recorded connections: the packet that made the row is looked up once more, to count.",
    ("log_due", "eth_type", "ip_proto"),
    ("log_first",),
)
LOG_FIRST: Final = _table("log_first", 45, "The packet that made the row counts in it.", ("ct_state",))
LOG_ROWS: Final = _table(
    "log_rows",
    46,
    "A row for each recorded connection, made by the bridge itself: it counts, and tells when it ends.",
    (),
)
LOG_EXPORT: Final = _table(
    "log_export",
    47,
    "Subroutine: IPFIX is told of the packet, and which rule lets it pass.",
    ("rule",),
)

CUT: Final = _table(
    "cut",
    48,
    "Tell the controller that a connection was cut, once, by the bridge's own meter for such reports.",
    ("eth_type", "ip_frag", "ip_proto", "verdict", "label_begun"),
)
ISOLATED: Final = _table(
    "isolated",
    49,
    "What an isolated end may not say or hear ends here; was it of a connection that had been allowed?",
    ("bank", "eth_type"),
    ("parted",),
)
PARTED: Final = _table(
    "parted",
    50,
    "Tell the controller which connections isolation has ended, each once, by a meter of the bridge's own.",
    ("eth_type", "ip_frag", "ct_state", "label_begun", "label_turned"),
)
ASSOCIATION: Final = _table(
    "association",
    51,
    "SCTP of two hosts, which user space takes for one connection: is what it is remembered by allowed?",
    ("eth_type", "ip_proto", "ct_state", "answer", "bank", "mark_sport", "mark_dport"),
)

# Every table above, in the order of their places.
PIPELINE: Final = Pipeline(
    tables=tuple(declared for declared in vars().values() if isinstance(declared, Table)),
    fields=FIELDS,
    shared_bits=SHARED_BITS,
)
