"""A lab whose hypervisor hosts are as apart as real ones, on one machine, as root.

Each host is a network namespace with an ``ovsdb-server`` and an ``ovs-vswitchd`` of its own; each virtual
machine is a namespace; a management network joins the hosts with the namespace that the controller runs in::

    with Lab() as lab:
        hv1, hv2 = lab.host("hv1"), lab.host("hv2")
        lab.link(hv1, hv2)
        web1 = lab.machine("web1", "52:54:00:00:00:01", ["10.0.0.1/24", "fd00::1/64"])
        web1.plug(hv1)
        web1.migrate(hv2)

What a lab makes is written down first (``ledger.py``) and undone at its end, when it is interrupted, and,
when it was killed, by the next one to start.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

from topologies.frames import Announcer, Capture
from topologies.ledger import Ledger
from topologies.machine import CARD, Machine
from topologies.namespace import LabError, Namespace, Process, checked_name
from topologies.vswitch import PrivateSwitch

__all__ = [
    "Appliance",
    "Capture",
    "Host",
    "Lab",
    "LabError",
    "Machine",
    "Namespace",
    "Outside",
    "Process",
    "Sink",
]

MANAGEMENT = "192.0.2"
FIRST_HOST = 11
MANAGEMENT_LEG = "mgmt0"
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LINK_MTU = 1508
"""In bytes: a frame between hosts carries two VLAN tags more than a machine sent."""


class Host(Namespace):
    """A hypervisor host; its switch forwards nothing until it has flows."""

    def __init__(
        self, lab: Lab, index: int, name: str, bridges: Sequence[str], datapath_id: int | None
    ) -> None:
        super().__init__(lab.ledger, checked_name(name))
        self.index = index
        self.system_id = name
        self.bridges = tuple(bridges)
        self.address = f"{MANAGEMENT}.{FIRST_HOST + index}"
        self.roles: dict[str, dict[str, dict[str, Any]]] = {bridge: {} for bridge in bridges}
        lab.controller.ip(
            f"link add name m-{index} type veth peer name {MANAGEMENT_LEG} netns {self.name}",
            f"link set dev m-{index} master mgmt up",
        )
        self.ip(f"address add {self.address}/24 dev {MANAGEMENT_LEG}", f"link set dev {MANAGEMENT_LEG} up")
        self.switch = PrivateSwitch(lab.ledger, lab.ledger.folder / name, self, name)
        self.vsctl, self.ofctl, self.appctl = self.switch.vsctl, self.switch.ofctl, self.switch.appctl
        first = 0xA1 + 0x100 * index if datapath_id is None else datapath_id
        self.datapath_ids = {bridge: f"{first + at:016x}" for at, bridge in enumerate(bridges)}
        for bridge, identity in self.datapath_ids.items():
            words = ["add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"]
            words += ["fail_mode=secure", "protocols=OpenFlow15", "other_config:disable-in-band=true"]
            self.vsctl(*words, f"other_config:datapath-id={identity}")

    def set_controller(self, target: str) -> None:
        """Point every bridge at an OpenFlow controller, such as ``tcp:192.0.2.1:6653``."""
        for bridge in self.bridges:
            self.vsctl("set-controller", bridge, target)

    def set_manager(self, target: str) -> None:
        """Point the database at a client, as ``tcp:192.0.2.1:6640``, or let it listen (``ptcp:6640``)."""
        self.vsctl("set-manager", target)

    def set_management(self, *, up: bool) -> None:
        """Join the host to the management network, or cut it off; its machines go on."""
        self.ip(f"link set dev {MANAGEMENT_LEG} {'up' if up else 'down'}")

    def add_port(
        self,
        name: str,
        bridge: str | None = None,
        *,
        external_ids: Mapping[str, str] | None = None,
        tag: int | None = None,
        role: Mapping[str, Any] | None = None,
    ) -> int:
        """Make an interface of this namespace a port of a bridge and return its OpenFlow number."""
        bridge = bridge or self.bridges[0]
        self.ip(f"link set dev {name} up")
        words = ["add-port", bridge, name]
        words += [] if tag is None else [f"tag={tag}"]
        words += ["--", "set", "interface", name]
        words += [f'external_ids:{key}="{value}"' for key, value in (external_ids or {}).items()]
        # Without something to set, ovs-vsctl refuses `set`; the type is system all the same.
        self.vsctl(*words, "type=system")
        if role is not None:
            self.roles[bridge][name] = dict(role)
        return self.ofport(name)

    def del_port(self, name: str) -> None:
        """Take a port from its bridge; the interface stays."""
        self.vsctl("del-port", name)
        for ports in self.roles.values():
            ports.pop(name, None)

    def ofport(self, name: str) -> int:
        """Return the OpenFlow port number of an interface."""
        return int(self.vsctl("get", "interface", name, "ofport"))

    def add_flows(self, flows: str | Sequence[str], bridge: str | None = None) -> None:
        """Add flows as one bundle; ``["actions=NORMAL"]`` makes the bridge an ordinary learning switch."""
        text = flows if isinstance(flows, str) else "\n".join(flows)
        self.ofctl("--bundle", "add-flows", bridge or self.bridges[0], "-", stdin=text + "\n")

    def dump_flows(self, bridge: str | None = None) -> list[str]:
        """Return a bridge's flows, numbers only, without counters."""
        text = self.ofctl("--no-names", "--no-stats", "dump-flows", bridge or self.bridges[0])
        return [line.strip() for line in text.splitlines() if " actions=" in line]

    def inventory(self, attachment: str = "fabric") -> dict[str, Any]:
        """Return what the inventory says of this host: its bridges and their ports that are no endpoints."""
        bridges = {
            bridge: {"datapath-id": self.datapath_ids[bridge], "attachment": attachment, "ports": dict(ports)}
            for bridge, ports in self.roles.items()
        }
        return {"system-id": self.system_id, "bridges": bridges}


class Sink(Namespace):
    """Something that listens and never speaks: an IDS behind a mirror target."""

    def capture(self) -> Capture:
        """Begin to catch what arrives."""
        return Capture(self, CARD)


class Appliance(Namespace):
    """A bump in the wire: what enters by one leg leaves by the other, unless its filter drops it.

    Both legs on one bridge that floods are a loop; give that bridge flows first.
    """

    def nft(self, text: str) -> None:
        """Load a ruleset of nft(8); ``table bridge`` sees what passes."""
        self.run("nft", "-f", "-", stdin=text)

    def set_alive(self, *, alive: bool) -> None:
        """Pull both cables, or plug them in again."""
        self.ip(*(f"link set dev {leg} {'up' if alive else 'down'}" for leg in ("in", "out")))

    def capture(self, leg: str = "in") -> Capture:
        """Begin to catch what arrives at a leg."""
        return Capture(self, leg)


class Outside(Host):
    """What is beyond an uplink: an ordinary switch, not zonewall's, with machines on its VLANs."""


class Lab:
    """A context manager that gives hosts, machines, links, and takes all of it away again."""

    def __init__(self) -> None:
        self._hosts: list[Host] = []
        self._machines = 0
        self.running: list[Announcer] = []
        self.controller_address = f"{MANAGEMENT}.1"
        self._restore: dict[int, Any] = {}

    def __enter__(self) -> Lab:
        """Make the controller's namespace, its management network and the patch panel."""
        self._catch_signals()
        try:
            with _postponed():
                self.ledger = Ledger()
            self.controller = Namespace(self.ledger, "controller")
            self.controller.ip(
                "link add name mgmt type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
                f"address add {self.controller_address}/24 dev mgmt",
                "link set dev mgmt up",
            )
            self.panel = Namespace(self.ledger, "panel")
            with contextlib.suppress(OSError):  # only where the kernel filters bridges by iptables
                for family in ("ip", "ip6", "arp"):
                    self.panel.sysctl(f"net.bridge.bridge-nf-call-{family}tables", 0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Undo everything; a second Ctrl-C does not stop that."""
        with self._undisturbed():
            for announcer in self.running:
                announcer.stop()
            if hasattr(self, "ledger"):
                self.ledger.undo()
        for number, handler in self._restore.items():
            signal.signal(number, handler)

    def host(self, name: str, bridges: Sequence[str] = ("br-int",), datapath_id: int | None = None) -> Host:
        """Start a hypervisor host.

        Args:
            name: its name and system-id.
            bridges: their names; the first is where things go unless said.
            datapath_id: of its first bridge, the others count on; 0xa1, 0x1a1, 0x2a1 ... unless said.
        """
        host = Host(self, len(self._hosts), name, bridges, datapath_id)
        self._hosts.append(host)
        return host

    def machine(self, name: str, mac: str, ips: Sequence[str] = (), gateways: Sequence[str] = ()) -> Machine:
        """Make a virtual machine with addresses such as ``10.0.0.1/24``; ``plug`` joins it to a host."""
        self._machines += 1
        return Machine(self, self._machines, name, mac, ips, gateways)

    def link(
        self,
        one: Host,
        other: Host,
        *,
        bridges: tuple[str | None, str | None] = (None, None),
        names: tuple[str, str] | None = None,
        roles: tuple[Mapping[str, Any], Mapping[str, Any]] = ({"role": "fabric"}, {"role": "fabric"}),
    ) -> tuple[int, int]:
        """Lay a cable between two hosts' bridges and return the OpenFlow numbers of its ends."""
        first, second = names or (f"to-{other.short_name}", f"to-{one.short_name}")
        checked_name(second)
        one.ip(
            f"link add name {checked_name(first)} mtu {LINK_MTU} type veth"
            f" peer name {second} mtu {LINK_MTU} netns {other.name}"
        )
        return (
            one.add_port(first, bridges[0], role=roles[0]),
            other.add_port(second, bridges[1], role=roles[1]),
        )

    def cut(self, host: Host, port: str, *, up: bool = False) -> None:
        """Pull a cable at one end (both ends lose carrier), or with ``up`` put it back."""
        host.ip(f"link set dev {port} {'up' if up else 'down'}")

    def sink(
        self, name: str, host: Host, port: str, *, bridge: str | None = None, target: str | None = None
    ) -> Sink:
        """Make a listener on a host's port, which the inventory calls a mirror target."""
        sink = Sink(self.ledger, name)
        sink.ip(
            f"link add name {CARD} type veth peer name {checked_name(port)} netns {host.name}",
            f"link set dev {CARD} up",
        )
        host.add_port(port, bridge, role={"role": "mirror-target", "target": target or name})
        return sink

    def appliance(
        self,
        name: str,
        host: Host,
        ports: tuple[str, str] | None = None,
        *,
        bridge: str | None = None,
        tags: tuple[int, int] | None = None,
        **role: Any,
    ) -> Appliance:
        """Make a bump in the wire on two ports of a host, ``NAME-in`` and ``NAME-out`` unless said.

        ``role``: what the inventory says of the ports beside their legs, such as ``function``, ``instance``;
        ``tags``: the VLAN of each, on a switch that is not zonewall's.
        """
        appliance = Appliance(self.ledger, name)
        appliance.ip(
            "link add name pass type bridge stp_state 0 forward_delay 0 mcast_snooping 0 ageing_time 0",
            "link set dev pass up",
        )
        names = ports or (f"{name}-in", f"{name}-out")
        for leg, port, tag in zip(("in", "out"), names, tags or (None, None), strict=True):
            appliance.ip(
                f"link add name {leg} type veth peer name {checked_name(port)} netns {host.name}",
                f"link set dev {leg} master pass up",
            )
            says = {"role": "service", "function": name, "leg": leg, **role}
            host.add_port(port, bridge, tag=tag, role=says)
        return appliance

    def outside(
        self, name: str, host: Host, port: str = "eth1", *, bridge: str | None = None, role: Mapping[str, Any]
    ) -> Outside:
        """Make a switch beyond an uplink; ``machine.plug(outside, tag=100, ids=False)`` puts one on a VLAN.

        Args:
            name: of the outside switch.
            host: whose uplink it is.
            port: the uplink's name on the host.
            bridge: of the host.
            role: what the inventory says of it, such as ``{"role": "uplink", "vlans": {100: "acme"}}``.
        """
        outside = Outside(self, len(self._hosts), name, ("br-out",), None)
        self._hosts.append(outside)
        outside.add_flows(["actions=NORMAL"])
        self.link(
            host, outside, bridges=(bridge, None), names=(port, "uplink"), roles=(role, {"role": "uplink"})
        )
        return outside

    def inventory_hosts(self) -> dict[str, Any]:
        """Return the ``hosts:`` of an inventory that is true to this lab."""
        return {host.short_name: host.inventory() for host in self._hosts if not isinstance(host, Outside)}

    def _catch_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                self._restore[number] = signal.signal(number, _leave)

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTIONS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _postponed() -> Iterator[None]:
    """Let an interruption wait: a record that nobody holds yet is a record that nobody undoes."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTIONS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
