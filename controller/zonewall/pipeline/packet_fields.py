"""The packet's own fields, as ovs-fields(7) names them."""

from __future__ import annotations

from typing import Final

from zonewall.pipeline.model import Field


def _whole(base: str, width: int, name: str | None = None) -> Field:
    return Field(name or base, base, 0, width, width)


IN_PORT: Final = _whole("in_port", 32)
ETH_SRC: Final = _whole("eth_src", 48)
ETH_DST: Final = _whole("eth_dst", 48)
ETH_TYPE: Final = _whole("eth_type", 16)
VLAN_VID: Final = _whole("vlan_vid", 13)
"""OXM_OF_VLAN_VID: 0 is no tag, 0x1000 | VLAN is a tag (ovs-fields(7), "VLAN Fields")."""
VLAN_NUMBER: Final = Field("vlan_number", "vlan_vid", 0, 12, 13)

IP_PROTO: Final = _whole("ip_proto", 8)
IPV4_SRC: Final = _whole("ipv4_src", 32)
IPV4_DST: Final = _whole("ipv4_dst", 32)
IPV6_SRC: Final = _whole("ipv6_src", 128)
IPV6_DST: Final = _whole("ipv6_dst", 128)
IP_FRAG: Final = _whole("ip_frag", 8)
"""NXM_NX_IP_FRAG: 0 no fragment, 1 first, 3 later; bit 1 is "later" (ovs-fields(7), "IPv4/v6 Fields")."""

TCP_SRC: Final = _whole("tcp_src", 16)
TCP_DST: Final = _whole("tcp_dst", 16)
TCP_FLAGS: Final = _whole("tcp_flags", 16)
UDP_SRC: Final = _whole("udp_src", 16)
UDP_DST: Final = _whole("udp_dst", 16)
SCTP_SRC: Final = _whole("sctp_src", 16)
SCTP_DST: Final = _whole("sctp_dst", 16)
ICMP_TYPE: Final = _whole("icmpv4_type", 8)
ICMP_CODE: Final = _whole("icmpv4_code", 8)
ICMPV6_TYPE: Final = _whole("icmpv6_type", 8)
ICMPV6_CODE: Final = _whole("icmpv6_code", 8)

ARP_OP: Final = _whole("arp_op", 16)
ARP_SPA: Final = _whole("arp_spa", 32)
ARP_TPA: Final = _whole("arp_tpa", 32)
ARP_SHA: Final = _whole("arp_sha", 48)
ARP_THA: Final = _whole("arp_tha", 48)
ND_TARGET: Final = _whole("nd_target", 128)
ND_SLL: Final = _whole("nd_sll", 48)
ND_TLL: Final = _whole("nd_tll", 48)

CT_STATE: Final = _whole("ct_state", 32)
CT_NEW_BIT: Final = Field("ct_new", "ct_state", 0, 1, 32)
"""The bit of ct_state that says "new"."""
CT_RPL_BIT: Final = Field("ct_rpl", "ct_state", 3, 1, 32)
"""The bit of ct_state that says "reply"."""
CT_ZONE: Final = _whole("ct_zone", 16)
CT_MARK: Final = _whole("ct_mark", 32)
CT_LABEL: Final = _whole("ct_label", 128)
CONJ_ID: Final = _whole("conj_id", 32)
TUN_ID: Final = _whole("tun_id", 64)
TUN_TENANT: Final = Field("tun_tenant", "tun_id", 0, 12, 64)
TUN_SRC: Final = _whole("tun_src", 32)
TUN_DST: Final = _whole("tun_dst", 32)

ETH_IPV4: Final = 0x0800
ETH_ARP: Final = 0x0806
ETH_RARP: Final = 0x8035
ETH_IPV6: Final = 0x86DD
ETH_LLDP: Final = 0x88CC

CT_NEW: Final = 0x01
CT_EST: Final = 0x02
CT_REL: Final = 0x04
CT_RPL: Final = 0x08
CT_INV: Final = 0x10
CT_TRK: Final = 0x20
"""Bits of ct_state (ovs-fields(7), "Connection Tracking Fields")."""

TCP_SYN: Final = 0x002
TCP_RST: Final = 0x004
TCP_ACK: Final = 0x010

PACKET_FIELDS: Final = tuple(value for value in globals().values() if isinstance(value, Field))
