"""A configuration carried out by compiled flows on two simulated bridges: what happens to a probe's packet.

Endpoints alternate between the hosts; each tenant has two uplinks (outside to outside is judged, too); every
service function is a wire between its legs on the first host; every mirror target is a port of the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from zonewall.flows.encoded import BridgeState
from zonewall.flows.simulate.connections import ConnTrack
from zonewall.flows.simulate.engine import simulate_datagram
from zonewall.flows.simulate.outcome import Copied, Sent
from zonewall.flows.simulate.packet import Packet, packet
from zonewall.flows.simulate.tables import FlowTables
from zonewall.flows.wire import encode_program
from zonewall.intent.fleet import Fleet, Policy, index_fleet, prepare
from zonewall.intent.numbering import Kind, Numbering
from zonewall.intent.passing import NOTHING_PASSES, Passing
from zonewall.intent.semantics import Probe
from zonewall.pipeline.compile import compile_bridge
from zonewall.pipeline.cookie import Category, Reason, category_of, rule_of
from zonewall.pipeline.model import BridgeProgram, Flow
from zonewall.pipeline.registers import ANSWER
from zonewall.placement.model import Binding, BindingState, BridgeKey, Link, Placement
from zonewall.policy.findings import Location
from zonewall.policy.inventory import (
    Attachment,
    BridgeDeclaration,
    HostDeclaration,
    PortDeclaration,
    PortRole,
)
from zonewall.policy.model import Configuration
from zonewall.values.addresses import IpAddress, MacAddress
from zonewall.values.names import BridgeName, EndpointKey, HostName, OfPort, TenantName

HERE = Location("inventory.yaml", 1, 1)
BRIDGE = BridgeName("br-int")
FIRST = BridgeKey(HostName("hv1"), BRIDGE)
SECOND = BridgeKey(HostName("hv2"), BRIDGE)
FABRIC: Final = 60000
UPLINKS: Final = (60001, 60002)
LEGS: Final = 61000
TARGETS: Final = 62000
OUTSIDE_MAC: Final = 0x00005E00AA01
Port = tuple[BridgeKey, int]


@dataclass(slots=True)
class Seen:
    """What became of a packet: where it came out, who got copies, what it went through, who decided, how."""

    verdict: str = "drop"
    rule: str | None = None
    monitored: bool = False
    mirror: list[str] = field(default_factory=list)
    through: list[str] = field(default_factory=list)
    arrived: list[tuple[Port, Packet]] = field(default_factory=list)
    announced: bool = False
    told: list[Copied] = field(default_factory=list)
    trail: list[tuple[BridgeKey, Flow]] = field(default_factory=list)

    @property
    def cut(self) -> bool:
        """Say whether a connection is told of that the policy has ended."""
        return any(one.userdata[0] == Reason.CUT for one in self.told)

    @property
    def parted(self) -> bool:
        """Say whether a connection is told of that isolation has ended."""
        return any(one.userdata[0] == Reason.ISOLATED for one in self.told)

    @property
    def answers_told(self) -> list[bool]:
        """Return of each connection that is told of whether by a packet against its first direction."""
        return [bool(one.registers.get(ANSWER.base, 0) >> ANSWER.low & 1) for one in self.told]


def from_nothing(fleet: Fleet, key: BridgeKey) -> BridgeState:
    """Return what a bridge should hold, with nothing remembered."""
    return encode_program(compile_bridge(fleet, key))


class CompiledFleet:
    """Two bridges with everything of a configuration on them."""

    def __init__(
        self,
        configuration: Configuration,
        inactive: frozenset[str] = frozenset(),
        numbering: Numbering | None = None,
        states: Mapping[EndpointKey, BindingState] = MappingProxyType({}),
        midstream: frozenset[EndpointKey] = frozenset(),
        passing: Passing = NOTHING_PASSES,
    ) -> None:
        """Compile both bridges, from a numbering that was given before if one is carried over."""
        self.configuration = _with_hosts(configuration)
        self.places: dict[EndpointKey, Port] = {}
        bindings = {}
        for index, key in enumerate(sorted(self.configuration.inventory.endpoints)):
            port = ((FIRST, SECOND)[index % 2], index // 2 + 1)
            self.places[key] = port
            state = states.get(key, BindingState.ACTIVE)
            bindings[key] = (Binding(key, port[0], OfPort(port[1]), state, key in midstream),)
        self.vlans = {tenant: 100 + index for index, tenant in enumerate(sorted(self.configuration.tenants))}
        ports = {
            (key, name): OfPort(_number(self.configuration, name))
            for key in (FIRST, SECOND)
            for name in self.configuration.inventory.hosts[key.host].bridges[BRIDGE].ports
        }
        link = Link((FIRST, OfPort(FABRIC)), (SECOND, OfPort(FABRIC)))
        self.carry(
            prepare(self.configuration, numbering or Numbering(), inactive, passing),
            Placement(bindings, ports, frozenset({link})),
        )

    def carry(self, policy: Policy, placement: Placement) -> None:
        """Compile another policy and placement onto both bridges, which forget their connections."""
        self.policy, self.placement = policy, placement
        fleet = index_fleet(policy, placement)
        self.programs = {key: compile_bridge(fleet, key) for key in (FIRST, SECOND)}
        self._tables = {key: FlowTables(program) for key, program in self.programs.items()}
        self.tracked = {key: ConnTrack() for key in self.programs}
        self._rules = {number: name for name, number in policy.numbering.numbers[Kind.RULE.word].items()}

    def hold(self, key: BridgeKey, program: BridgeProgram) -> None:
        """Put other flows onto one bridge."""
        self._tables[key] = FlowTables(program)

    def forget_connections(self) -> None:
        """Begin with empty connection tables."""
        self.tracked = {key: ConnTrack() for key in self.programs}

    def judge(self, probe: Probe) -> Seen:
        """Return what becomes of a probe's first packet, with empty connection tables."""
        self.forget_connections()
        source, destination = self.addresses(probe)
        return self.send(*self.entering(probe, source, destination))

    def entering(self, probe: Probe, source: IpAddress, destination: IpAddress) -> tuple[Port, Packet]:
        """Return where the probe's first packet enters, and the packet."""
        inventory = self.configuration.inventory
        tenant = self._tenant(probe)
        vlans: tuple[int, ...] = ()
        if isinstance(probe.source, str):
            port, src_mac = self.places[probe.source], inventory.endpoints[probe.source].mac
        else:
            port, src_mac, vlans = (FIRST, UPLINKS[0]), MacAddress(OUTSIDE_MAC), (self.vlans[tenant],)
        dst_mac = OUTSIDE_MAC + 1
        if isinstance(probe.destination, str):
            dst_mac = inventory.endpoints[probe.destination].mac
        return port, headers(probe, source, destination, src_mac, dst_mac, vlans)

    def send(self, port: Port, *parts: Packet) -> Seen:
        """Return what becomes of a frame that enters at a port, or of all fragments of one datagram."""
        seen = Seen()
        self._pass(port, parts, seen, 0)
        if seen.arrived:
            seen.verdict = "allow"
        seen.mirror = sorted(seen.mirror)
        return seen

    def addresses(self, probe: Probe) -> tuple[IpAddress, IpAddress]:
        """Return the pair of addresses that a probe means: as said, else the first pair of one family."""
        sources = _ips(self.configuration, probe.source, probe.source_ip)
        destinations = _ips(self.configuration, probe.destination, probe.destination_ip)
        return next((s, d) for s in sources for d in destinations if s.version == d.version)

    def _tenant(self, probe: Probe) -> TenantName:
        for end in (probe.source, probe.destination):
            if isinstance(end, str):
                return self.configuration.inventory.endpoints[end].tenant
        assert probe.tenant is not None
        return probe.tenant

    def _pass(self, port: Port, parts: tuple[Packet, ...], seen: Seen, depth: int) -> None:
        assert depth < 20, "a frame goes round"
        bridge, ofport = port
        entering = tuple(part.but(in_port=ofport) for part in parts)
        outcome = simulate_datagram(self._tables[bridge], entering, self.tracked[bridge])
        assert not outcome.errors, outcome.errors
        assert not outcome.ambiguous, outcome.ambiguous
        self.tracked[bridge] = outcome.connections
        for flow in outcome.trail:
            seen.trail.append((bridge, flow))
            if category_of(flow.cookie) is Category.RULE and rule_of(flow.cookie):
                seen.rule = self._rules[rule_of(flow.cookie)]
        for copy in outcome.copies:
            if copy.userdata[0] == Reason.REJECT:
                seen.verdict = "reject"
            seen.announced |= copy.userdata[0] == Reason.ANNOUNCEMENT
            if copy.userdata[0] in (Reason.CUT, Reason.ISOLATED):
                seen.told.append(copy)
        for number, together in _by_port(outcome.sent, len(parts)):
            self._follow((bridge, number), together, seen, depth)

    def _follow(self, port: Port, parts: tuple[Packet, ...], seen: Seen, depth: int) -> None:
        bridge, ofport = port
        functions = sorted(self.configuration.inventory.service_functions)
        if ofport == FABRIC:
            self._pass((SECOND if bridge == FIRST else FIRST, FABRIC), parts, seen, depth + 1)
        elif LEGS <= ofport < TARGETS:
            seen.through.append(functions[(ofport - LEGS) // 2])
            self._pass((bridge, LEGS + ((ofport - LEGS) ^ 1)), parts, seen, depth + 1)
        elif ofport >= TARGETS:
            seen.mirror.append(sorted(self.configuration.inventory.mirror_targets)[ofport - TARGETS])
        else:
            seen.arrived += [(port, part) for part in parts]


def _by_port(sent: tuple[Sent, ...], parts: int) -> Iterator[tuple[int, tuple[Packet, ...]]]:
    """Yield what left, a datagram's fragments together; copies of a datagram one after the other.

    Raises:
        AssertionError: of a datagram only some fragments left by a port.
    """
    left: dict[tuple[int, tuple[int, ...]], list[Packet]] = {}
    for one in sent:
        left.setdefault((one.port, one.packet.vlans), []).append(one.packet)
    for (port, _), packets in left.items():
        assert len(packets) % parts == 0, f"{len(packets)} of {parts} fragments left by port {port}"
        packets.sort(key=lambda each: each["ip_frag"])
        copies = len(packets) // parts
        for copy in range(copies):
            yield port, tuple(packets[copy::copies])


def in_parts(whole: Packet, parts: int) -> tuple[Packet, ...]:
    """Return a packet's fragments, the first one first."""
    later = whole.but(ip_frag=3, tcp_src=0, tcp_dst=0, tcp_flags=0, icmpv4_type=0, icmpv4_code=0)
    return (whole.but(ip_frag=1), *[later] * (parts - 1))


def headers(
    probe: Probe,
    source: IpAddress,
    destination: IpAddress,
    src_mac: int,
    dst_mac: int,
    vlans: tuple[int, ...],
) -> Packet:
    """Return the probe's first packet; TCP's is a SYN."""
    v4 = source.version == 4
    fields: dict[str, Any] = {
        "eth_src": src_mac,
        "eth_dst": dst_mac,
        "eth_type": 0x0800 if v4 else 0x86DD,
        "ipv4_src" if v4 else "ipv6_src": int(source),
        "ipv4_dst" if v4 else "ipv6_dst": int(destination),
        "ip_proto": probe.protocol,
    }
    word = {6: "tcp", 17: "udp", 132: "sctp"}.get(probe.protocol)
    if word is not None:
        fields[f"{word}_src"] = 40000 if probe.source_port is None else probe.source_port
        fields[f"{word}_dst"] = probe.destination_port or 0
    if probe.protocol == 6:
        fields["tcp_flags"] = 2
    if probe.icmp is not None:
        family = "icmpv4" if v4 else "icmpv6"
        fields[f"{family}_type"], fields[f"{family}_code"] = probe.icmp
    return packet(vlans=vlans, **fields)


def _ips(
    configuration: Configuration, end: EndpointKey | IpAddress, said: IpAddress | None
) -> tuple[IpAddress, ...]:
    if said is not None:
        return (said,)
    return configuration.inventory.endpoints[end].ips if isinstance(end, str) else (end,)


def _number(configuration: Configuration, name: str) -> int:
    kind, _, rest = name.partition("-")
    if kind == "up":
        return UPLINKS[int(rest)]
    if kind == "leg":
        function, leg = rest.rsplit("-", 1)
        functions = sorted(configuration.inventory.service_functions)
        return LEGS + 2 * functions.index(function) + (leg == "out")
    if kind == "tap":
        return TARGETS + sorted(configuration.inventory.mirror_targets).index(rest)
    return FABRIC


def _with_hosts(configuration: Configuration) -> Configuration:
    inventory = configuration.inventory
    vlans = {100 + index: tenant for index, tenant in enumerate(sorted(configuration.tenants))}
    first = [
        PortDeclaration(f"up-{index}", PortRole.UPLINK, HERE, vlans=vlans) for index in range(len(UPLINKS))
    ]
    for function in inventory.service_functions:
        first.append(
            PortDeclaration(f"leg-{function}-in", PortRole.SERVICE, HERE, function=function, leg="in")
        )
        first.append(
            PortDeclaration(f"leg-{function}-out", PortRole.SERVICE, HERE, function=function, leg="out")
        )
    second = [
        PortDeclaration(f"tap-{target}", PortRole.MIRROR_TARGET, HERE, target=target)
        for target in inventory.mirror_targets
    ]
    hosts = {}
    for key, ports in ((FIRST, first), (SECOND, second)):
        named = {port.name: port for port in [PortDeclaration("fab", PortRole.FABRIC, HERE), *ports]}
        bridge = BridgeDeclaration(BRIDGE, Attachment.FABRIC, named, HERE)
        hosts[key.host] = HostDeclaration(key.host, key.host, key.host, {BRIDGE: bridge}, HERE)
    return replace(configuration, inventory=replace(inventory, hosts=hosts))
