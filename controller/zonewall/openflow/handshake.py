"""The first words with whoever connected: the version, then the datapath id (OpenFlow 1.5.1, 6.3)."""

from __future__ import annotations

from zonewall.errors import AdmissionError
from zonewall.flows.wire import VERSION, message
from zonewall.openflow import messages, parse
from zonewall.openflow.channel import Channel

MOST_BEFORE = 4096
"""So many messages may come before the answer that says who it is: a bridge tells of its ports at once."""

_NAMES = {1: "1.0", 2: "1.1", 3: "1.2", 4: "1.3", 5: "1.4", 6: "1.5"}


async def greet(channel: Channel) -> int:
    """Agree on OpenFlow 1.5 and return the bridge's datapath id.

    Raises:
        AdmissionError: it cannot speak 1.5, or is no main connection of a bridge.
        Malformed: it breaks the protocol.
        SessionClosed: it left.
    """
    channel.answer(messages.hello(channel.new_xid()))
    header, body = await channel.read_one()
    if header.kind == messages.ERROR:
        raise AdmissionError(_needs_version("no OpenFlow that this controller speaks"))
    if header.kind != messages.HELLO:
        raise AdmissionError(f"the first message is of type {header.kind}, not a hello: no OpenFlow bridge")
    versions = parse.parse_hello(header.version, body)
    if VERSION not in versions:
        offered = ", ".join(_NAMES.get(version, f"byte {version}") for version in sorted(versions)) or "none"
        text = _needs_version(f"OpenFlow {offered}")
        channel.answer(messages.error(header.xid, 0, 0, text))
        raise AdmissionError(text)
    channel.answer(message(messages.FEATURES_REQUEST, channel.new_xid(), b""))
    for _ in range(MOST_BEFORE):
        header, body = await channel.read_one()
        if header.kind == messages.ECHO_REQUEST:
            channel.answer(message(messages.ECHO_REPLY, header.xid, body))
        elif header.kind == messages.ERROR:
            raise AdmissionError(_needs_version("no OpenFlow that this controller speaks"))
        elif header.kind == messages.FEATURES_REPLY:
            datapath_id, _, auxiliary = parse.parse_features(body)
            if auxiliary:
                raise AdmissionError(f"bridge {datapath_id:016x}: auxiliary connections are not used")
            return datapath_id
    raise AdmissionError(f"it has sent {MOST_BEFORE} messages and not said who it is")


def _needs_version(speaks: str) -> str:
    return (
        f"the bridge speaks {speaks}; OpenFlow 1.5 is missing: "
        "run `ovs-vsctl set bridge NAME protocols=OpenFlow15` on its host"
    )
