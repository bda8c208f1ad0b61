"""Read the few forms of ovs-ofctl(8) that borrowed cases use."""

from __future__ import annotations

import ipaddress
import re

from zonewall.pipeline import packet_fields as f
from zonewall.pipeline.model import Action, Condition, Conjunction, Flow, Output, Table

TABLE = Table("only", 0, "The one table of a borrowed case.", ())
_ADDRESSES = {"ip_src": f.IPV4_SRC, "ip_dst": f.IPV4_DST, "nw_src": f.IPV4_SRC, "nw_dst": f.IPV4_DST}
_NUMBERS = {
    "in_port": f.IN_PORT,
    "dl_type": f.ETH_TYPE,
    "nw_proto": f.IP_PROTO,
    "conj_id": f.CONJ_ID,
    "tcp_src": f.TCP_SRC,
    "tcp_dst": f.TCP_DST,
}
_KINDS: dict[str, tuple[Condition, ...]] = {
    "ip": ((f.ETH_TYPE, f.ETH_IPV4, None),),
    "tcp": ((f.ETH_TYPE, f.ETH_IPV4, None), (f.IP_PROTO, 6, None)),
}


def parse_match(text: str) -> tuple[Condition, ...]:
    """Return the conditions of comma-separated terms.

    Raises:
        KeyError: a field that no borrowed case uses.
    """
    match: list[Condition] = []
    for term in filter(None, re.split(r"[,\s]+", text)):
        name, _, value = term.partition("=")
        if not value:
            match += _KINDS[name]
        elif name in _ADDRESSES:
            prefix = ipaddress.ip_network(value)
            match.append((_ADDRESSES[name], int(prefix.network_address), int(prefix.netmask)))
        else:
            match.append((_NUMBERS[name], int(value, 0), None))
    return tuple(match)


def parse_flow(text: str) -> Flow:
    """Return the flow of a line whose actions are ports and conjunctions.

    Raises:
        KeyError, ValueError: another form.
    """
    head, actions_text = re.split(r"[,\s]*actions=", text, maxsplit=1)
    priority = re.search(r"priority=(\d+)", head)
    match = parse_match(re.sub(r"priority=\d+", "", head))
    actions: list[Action] = []
    for clause in re.finditer(r"conjunction\((\d+),(\d+)/(\d+)\)|(\d+)", actions_text):
        if clause[4]:
            actions.append(Output(int(clause[4])))
        else:
            actions.append(Conjunction(int(clause[1]), int(clause[2]), int(clause[3])))
    return Flow(TABLE, int(priority[1]) if priority else 32768, match, tuple(actions))
