"""What a bridge's flow tables do with a packet: a model of Open vSwitch, written from its manual pages."""

from zonewall.flows.simulate.connections import Connection, ConnTrack, Endpoint, Tuple
from zonewall.flows.simulate.engine import simulate, simulate_datagram
from zonewall.flows.simulate.outcome import Commit, Copied, Outcome, Sent
from zonewall.flows.simulate.packet import Packet, packet
from zonewall.flows.simulate.tables import FlowTables

__all__ = [
    "Commit",
    "ConnTrack",
    "Connection",
    "Copied",
    "Endpoint",
    "FlowTables",
    "Outcome",
    "Packet",
    "Sent",
    "Tuple",
    "packet",
    "simulate",
    "simulate_datagram",
]
