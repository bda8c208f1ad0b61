"""Whether appliances of service functions can be used: by their ports' links, and by probes through them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from zonewall.intent.policy import Policy
from zonewall.intent.ways import used_instances
from zonewall.journal.record import Kind
from zonewall.openflow.events import PacketIn, Port
from zonewall.placement.model import BridgeKey
from zonewall.policy.appliances import Instance, Side
from zonewall.reconciler.probing import Port as ProbedPort
from zonewall.reconciler.probing import Prober, Sent
from zonewall.reconciler.reconciler import Reconciler
from zonewall.values.names import OfPort

_log = structlog.get_logger()


class Health:
    """Follows links and probes of the appliances that rules use; called from the inbox only."""

    def __init__(self, reconciler: Reconciler) -> None:
        """Tell ``reconciler`` which appliances are away."""
        self._reconciler = reconciler
        self._down: set[tuple[BridgeKey, str]] = set()
        self._prober = Prober(reconciler.memory.at_start.away)
        self._since: dict[str, float] = {}
        self._seen: Policy | None = None
        self._instances: tuple[Instance, ...] = ()

    def take(self, bridge: BridgeKey, ports: Iterable[Port], *, gone: bool = False) -> None:
        """Take ports as a bridge tells of them."""
        declared = self._reconciler.world.configuration.inventory.hosts[bridge.host].bridges[bridge.bridge]
        for port in ports:
            if port.name not in declared.ports:
                continue
            if port.is_up or gone:
                self._down.discard((bridge, port.name))
            else:
                self._down.add((bridge, port.name))
        self.follow()

    def forget(self, bridge: BridgeKey) -> None:
        """Forget a bridge that is none of the inventory's any more."""
        self._down = {place for place in self._down if place[0] != bridge}
        self._prober.forget(bridge)

    def probe(self, at: float, send: Callable[[Sent], bool]) -> set[BridgeKey]:
        """Send what is due through every appliance; return the bridges that were given some of it."""
        functions = self._reconciler.world.configuration.inventory.service_functions
        due = self._prober.due(self.instances, functions, self._port_of, at)
        told = {each.bridge for each in due if send(each)}
        self.follow()
        return told

    def answered(self, bridge: BridgeKey, put: float, at: float) -> None:
        """Take that a bridge has answered a question put to it after probes."""
        self._prober.answered(bridge, put, at)

    def heard(self, bridge: BridgeKey, event: PacketIn) -> None:
        """Take what came out of a leg as a probe."""
        functions = self._reconciler.world.configuration.inventory.service_functions
        port = (bridge, OfPort(event.in_port))
        self._prober.heard(self.instances, functions, self._port_of, port, event.frame)
        self.follow()

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Return the appliances in use."""
        policy = self._reconciler.world.policy
        if self._seen is not policy:
            self._seen = policy
            rules = (rule for _, rule in policy.modified)
            self._instances = used_instances(rules, policy.configuration.inventory)
        return self._instances

    def follow(self) -> None:
        """Have the bridges leave appliances that are away, and use again those that are back."""
        reasons = {one.name: why for one in self.instances if (why := self._why(one))}
        before = self._reconciler.world.away
        if reasons.keys() == before:
            return
        for name in sorted(reasons.keys() ^ before):
            self._tell(name, reasons.get(name, ""))
        self._reconciler.appliances_away(frozenset(reasons))

    def status(self) -> list[dict[str, Any]]:
        """Return the appliances in use, which of them are away, why, and since when."""
        return [
            {
                "appliance": one.name,
                "state": "away" if one.name in self._reconciler.world.away else "in use",
                "reason": self._why(one) or None,
                "since": self._since.get(one.name),
            }
            for one in self.instances
        ]

    def _why(self, instance: Instance) -> str:
        """Return why an appliance cannot be used; nothing for one that can."""
        for side in (instance.enter, instance.leave):
            if (BridgeKey(*side.bridge), side.port) in self._down:
                return f"the link of port {side.port} is down"
        return "no answer to probes" if instance.name in self._prober.silent else ""

    def _port_of(self, side: Side) -> ProbedPort | None:
        """Return a side's port if its bridge enforces what it should, so that probes have their flows."""
        key = BridgeKey(*side.bridge)
        keeper = self._reconciler.keepers.get(key)
        ofport = self._reconciler.world.fleet.roles.get((key, side.port))
        ready = keeper is not None and keeper.link is not None and keeper.status.state == "in-force"
        return (key, ofport) if ready and ofport is not None else None

    def _tell(self, name: str, why: str) -> None:
        self._since[name] = time.time()
        state = "away" if why else "back"
        _log.warning("appliance", appliance=name, state=state, reason=why or None)
        self._reconciler.recorder.note(Kind.SERVICE_LEG, f"appliance {name}", state=state, reason=why)
