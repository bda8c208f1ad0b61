"""The flows that carry a connection's first packet out, and whether the live bridges have the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zonewall.api.control import look
from zonewall.cli.appctl import run_appctl
from zonewall.cli.scene import Scene
from zonewall.errors import ZonewallError
from zonewall.flows.encoded import FlowKey
from zonewall.flows.first_packet import first_packet
from zonewall.flows.frame import arrival_text, frame_of
from zonewall.flows.journey import Journey, Traveller, Visit
from zonewall.flows.names import field_names, rule_names
from zonewall.flows.render_logical import render_logical
from zonewall.flows.simulate.tables import FlowTables
from zonewall.flows.suspects import Suspect, suspects
from zonewall.flows.trace import Step, compare, read_trace
from zonewall.intent.explanation import Explanation
from zonewall.intent.fleet import Fleet
from zonewall.pipeline.compile import compile_bridge
from zonewall.pipeline.cookie import Reason, rule_of
from zonewall.pipeline.model import Flow
from zonewall.placement.model import BindingState, BridgeKey
from zonewall.policy.inventory import PortRole
from zonewall.policy.model import Action


@dataclass(frozen=True, slots=True)
class Wrong:
    """A place where model and switch, or flows and policy, differ."""

    bridge: str
    message: str


class PathView:
    """One connection's way through a fleet."""

    def __init__(self, scene: Scene, told: Explanation) -> None:
        """Follow the first packet through the compiled flows.

        Raises:
            ZonewallError: the source is nowhere, or nobody has said where anything is.
        """
        self._scene, self._told = scene, told
        self.fleet: Fleet = scene.fleet()
        self._known: dict[BridgeKey, FlowTables] = {}
        entry = first_packet(self.fleet, told.probe, told.source, told.destination)
        self.journey: Journey = Traveller(self.fleet, self._tables).go(
            (entry.bridge, entry.ofport), entry.packet
        )
        self._names = field_names(self.fleet.policy)
        self._rules = rule_names(self.fleet.policy)

    def _tables(self, key: BridgeKey) -> FlowTables:
        if key not in self._known:
            self._known[key] = FlowTables(compile_bridge(self.fleet, key))
        return self._known[key]

    @property
    def isolated(self) -> list[str]:
        """Return which of the two ends is quarantined."""
        ends = [end.endpoint for end in (self._told.source, self._told.destination) if end.endpoint]
        places = {one.key: self.fleet.of(one.tenant).place.get(one.key) for one in ends}
        return [str(key) for key, at in places.items() if at and at.state is BindingState.QUARANTINED]

    def disagreements(self) -> list[Wrong]:
        """Return where the compiled flows do otherwise than the policy says; isolation stands above it."""
        found = [Wrong("", error) for error in self.journey.errors]
        wanted = self._told.verdict.verdict
        if not self.isolated and self._is_reachable() and (wanted is Action.ALLOW) != self.journey.arrives:
            does = "let it through" if self.journey.arrives else "do not let it through"
            found.append(Wrong("", f"the policy says {wanted.value}, the compiled flows {does}"))
        return found

    def _is_reachable(self) -> bool:
        """Say whether the destination is somewhere; what is nowhere receives nothing, whatever the rules."""
        end = self._told.destination
        if end.endpoint is not None:
            return end.endpoint.key in self.fleet.of(end.endpoint.tenant).place
        return bool(self.fleet.declared.uplinks.get(end.tenant.name))

    def held(self) -> list[Wrong]:
        """Return where bridges on the way hold other flows than the packet needs, read over OpenFlow now."""
        assert self._scene.socket is not None
        found = []
        for visit in self.journey.visits:
            try:
                document = look(self._scene.socket, "held", bridge=str(visit.bridge))
            except ZonewallError as error:
                found.append(Wrong(str(visit.bridge), f"cannot be asked: {error}"))
                continue
            held = {what: _keys(document[what]) for what in ("missing", "changed", "unknown", "foreign")}
            for suspect in suspects(visit.outcome.trail, visit.packet, held):
                found.append(Wrong(str(visit.bridge), self._describe(suspect)))
        return found

    def traced(self, command: str) -> list[Wrong]:
        """Return where the switches themselves take the packet otherwise, asked by ``ofproto/trace``.

        Args:
            command: how to run ovs-appctl on a host; ``{host}``, ``{system-id}`` and ``{bridge}`` are put in.
        """
        found = []
        for visit in self.journey.visits:
            if self.is_out_of_an_appliance(visit):
                continue
            text = self._run(command, visit)
            steps = read_trace(text, str(visit.bridge.bridge))
            if not steps:
                found.append(Wrong(str(visit.bridge), f"the trace cannot be read: {text.strip()[:200]!r}"))
                continue
            difference = compare(visit.outcome.trail, steps)
            by_step = {(f.table.number, f.priority, f.cookie): f for f in visit.outcome.trail}
            for step in difference.only_model:
                found.append(
                    Wrong(str(visit.bridge), f"the switch does not use {self.flow_text(by_step[step])}")
                )
            for step in difference.only_switch:
                found.append(Wrong(str(visit.bridge), f"the switch uses {self._step_text(step)}"))
        return found

    def is_out_of_an_appliance(self, visit: Visit) -> bool:
        """Say whether the way from here depends on a connection that only the bridge knows, and no trace."""
        ports = self.fleet.ports.get(visit.bridge, ())
        return any(one.role is PortRole.SERVICE and visit.packet["in_port"] == n for one, n in ports)

    def _run(self, command: str, visit: Visit) -> str:
        host = self.fleet.policy.configuration.inventory.hosts[visit.bridge.host]
        bridge = str(visit.bridge.bridge)
        asked = (bridge, arrival_text(visit.packet), frame_of(visit.packet).hex())
        return run_appctl(command, host, bridge, "ofproto/trace", *asked)

    def document(self) -> dict[str, Any]:
        """Return the way in plain values (docs/commands.md)."""
        return {
            "arrives": self.journey.arrives,
            "isolated": self.isolated,
            "visits": [
                {
                    "bridge": str(visit.bridge),
                    "in_port": visit.packet["in_port"],
                    "flows": [self._flow(flow) for flow in visit.outcome.trail],
                    "rejects": any(
                        copy.userdata[:1] == bytes([Reason.REJECT]) for copy in visit.outcome.copies
                    ),
                }
                for visit in self.journey.visits
            ],
            "departures": [
                {"kind": one.kind.value, "bridge": str(one.bridge), "ofport": one.ofport, "name": one.name}
                for one in self.journey.departures
            ],
        }

    def _flow(self, flow: Flow) -> dict[str, Any]:
        rule = self._rules.get(rule_of(flow.cookie))
        record = None if rule is None else self.fleet.policy.records.get(rule)
        location = None if record is None else record.location
        return {
            "table": flow.table.name,
            "number": flow.table.number,
            "priority": flow.priority,
            "cookie": f"{flow.cookie:#x}",
            "rule": rule,
            "at": None if location is None else location.at,
            "flow": render_logical(flow, self._names),
        }

    def flow_text(self, flow: Flow) -> str:
        """Return a flow as a person reads it."""
        return " ".join(render_logical(flow, self._names).split())

    def _describe(self, suspect: Suspect) -> str:
        if suspect.flow is not None:
            word = "lacks" if suspect.what == "missing" else "holds, but with other actions,"
            return f"the bridge {word} {self.flow_text(suspect.flow)}"
        step = self._step_text((suspect.table, suspect.priority, suspect.cookie))
        owner = "that is not zonewall's" if suspect.what == "foreign" else "that nobody asked for"
        return f"the bridge holds a flow {owner} and that this packet may match: {step}"

    def _step_text(self, step: Step) -> str:
        table, priority, cookie = step
        rule = self._rules.get(rule_of(cookie))
        of = f" (rule {rule})" if rule else ""
        return f"table {table}, priority {priority}, cookie {cookie:#x}{of}"


def _keys(flows: list[Mapping[str, Any]]) -> list[tuple[FlowKey, int]]:
    return [
        (FlowKey(flow["table"], flow["priority"], bytes.fromhex(flow["match"])), flow["cookie"])
        for flow in flows
    ]
