"""From an IDS's lines to what the world does: finds the endpoint, asks the engine, carries it out, tells."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import structlog

from zonewall.journal.record import Kind
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.membership import endpoint_matches
from zonewall.policy.model import Configuration, Peer, Response
from zonewall.reconciler.isolation import quarantine, release
from zonewall.reconciler.reconciler import Reconciler
from zonewall.respond.alert import Alert, Parser
from zonewall.respond.amend import Measure, amended
from zonewall.respond.engine import Decision, Engine, Outcome
from zonewall.store.forms import read_form, set_aside, stamp
from zonewall.values.addresses import IpAddress, MacAddress
from zonewall.values.names import EndpointKey

FORM, SINCE = 1, 1
"""Of the file (``store.forms``)."""
QUIET = frozenset({Outcome.COUNTED, Outcome.STANDING})

_log = structlog.get_logger()


class Responder:
    """Takes lines inside the reconciler's inbox; what is in force survives a restart."""

    def __init__(self, reconciler: Reconciler, kept: Path) -> None:
        """Act through ``reconciler``; measures with a time are kept in the file ``kept``."""
        self._reconciler = reconciler
        self._kept = kept
        self._engine = Engine()
        self._is_kept = True
        self._owners: dict[IpAddress, list[EndpointDeclaration]] = {}
        self._indexed: Configuration | None = None
        self.outcomes: Counter[str] = Counter()
        self.malformed = 0
        self.events = 0
        self._restore()
        reconciler.amend = self._amended
        if self._engine.standing:
            reconciler.amend_again()

    def take(self, lines: list[bytes], parse: Parser) -> None:
        """Take lines of one source."""
        for line in lines:
            self.events += 1
            try:
                alert = parse(line)
            except ValueError as error:
                self.malformed += 1
                _log.warning("event_malformed", error=str(error)[:200], times=self.malformed)
                continue
            if alert is not None:
                self._alert(alert)

    def time_passes(self) -> None:
        """Lift what has lasted long enough."""
        rules = {rule.name: rule for rule in self._reconciler.world.configuration.provider.respond}
        over = self._engine.expire(time.time())
        for name, endpoint in over:
            self._undo(name, endpoint, rules.get(name))
        self._is_kept = self._is_kept and not over
        self.settle()

    def settle(self) -> bool:
        """Write down what is in force, once the isolation that belongs to it is; say whether all is written.

        In this order a controller that is killed in between reads the alert once more, and isolates.
        """
        remembered = self._reconciler.remembered()
        if not remembered.done() or remembered.exception() is not None:
            return False
        if not self._is_kept:
            self._is_kept = self._keep()
        return True

    def status(self) -> dict[str, Any]:
        """Return what was taken and what is in force."""
        return {
            "events": self.events,
            "malformed": self.malformed,
            "outcomes": dict(sorted(self.outcomes.items())),
            "standing": [
                {"rule": rule, "endpoint": endpoint, "until": until}
                for (rule, endpoint), until in sorted(self._engine.standing.items(), key=lambda one: one[0])
            ],
        }

    def _alert(self, alert: Alert) -> None:
        rules = self._reconciler.world.configuration.provider.respond
        self._forget_what_was_released(rules)
        for decision in self._engine.take(alert, rules, self._find, self._is_exempt, time.time()):
            self.outcomes[decision.outcome.value] += 1
            rule = next(one for one in rules if one.name == decision.rule)
            if decision.outcome is Outcome.ACT and decision.endpoint is not None:
                self._carry_out(rule, decision.endpoint)
            self._is_kept = self._is_kept and decision.outcome is Outcome.COUNTED
            if decision.outcome not in QUIET:
                self._tell(rule, decision)

    def _carry_out(self, rule: Response, endpoint: EndpointKey) -> None:
        if rule.action == "quarantine":
            quarantine(self._reconciler, endpoint, _reason(rule.name), f"response {rule.name}")
        else:
            self._reconciler.amend_again()

    def _forget_what_was_released(self, rules: Iterable[Response]) -> None:
        """Forget isolations that somebody has lifted by hand: the next alert isolates again."""
        isolating = {rule.name for rule in rules if rule.action == "quarantine"}
        records = self._reconciler.world.fleet.records
        for name, endpoint in [one for one in self._engine.standing if one[0] in isolating]:
            record = records.get(endpoint)
            if record is None or _reason(name) not in {hold.reason for hold in record.holds}:
                del self._engine.standing[name, endpoint]

    def _undo(self, name: str, endpoint: EndpointKey, rule: Response | None) -> None:
        if rule is not None and rule.action != "quarantine":
            self._reconciler.amend_again()
        elif endpoint in self._reconciler.world.fleet.records:
            release(self._reconciler, endpoint, _reason(name), f"response {name}, expired")
        _log.info("response_expired", rule=name, endpoint=endpoint)

    def _tell(self, rule: Response, decision: Decision) -> None:
        alert = decision.alert
        said = {
            "rule": rule.name, "action": rule.action, "outcome": decision.outcome.value,
            "signature": alert.signature, "number": alert.number, "severity": alert.severity,
            "attacker": str(alert.attacker), "victim": str(alert.victim), "at": alert.at,
        }  # fmt: skip
        _log.warning("alert", endpoint=decision.endpoint, **said)
        place = self._reconciler.world.fleet.bindings.get(decision.endpoint or EndpointKey(""), ())
        host = place[0].bridge.host if place else ""
        self._reconciler.recorder.note(
            Kind.ALERT, f"response {rule.name}", endpoint=decision.endpoint or "", host=host, **said
        )

    def _amended(self, configuration: Configuration) -> Configuration:
        rules = {rule.name: rule for rule in configuration.provider.respond}
        measures = [
            Measure(name, endpoint, rule.targets, rule.limit)
            for name, endpoint in self._engine.standing
            if (rule := rules.get(name)) is not None and rule.action in ("mirror", "limit")
        ]
        return amended(configuration, measures)

    def _find(self, alert: Alert, who: str) -> EndpointKey | None:
        """Return whose address it is: by MAC, then by the other end, then by place."""
        attacked = who == "victim"
        address, mac = (alert.victim, alert.victim_mac) if attacked else (alert.attacker, alert.attacker_mac)
        owners = self._owners_of(address)
        if len(owners) > 1 and mac is not None:
            owners = _with_mac(owners, mac)
        if len(owners) > 1:
            other = self._owners_of(alert.attacker if attacked else alert.victim)
            tenants = {one.tenant for one in other}
            owners = [one for one in owners if one.tenant in tenants] or owners
        if len(owners) > 1:
            bindings = self._reconciler.world.fleet.bindings
            owners = [one for one in owners if bindings.get(one.key)]
        return owners[0].key if len(owners) == 1 else None

    def _owners_of(self, address: IpAddress) -> list[EndpointDeclaration]:
        configuration = self._reconciler.world.configuration
        if configuration is not self._indexed:
            self._indexed, self._owners = configuration, {}
            for endpoint in configuration.inventory.endpoints.values():
                for ip in endpoint.ips:
                    self._owners.setdefault(ip, []).append(endpoint)
        return list(self._owners.get(address, ()))

    def _is_exempt(self, rule: Response, endpoint: EndpointKey) -> bool:
        configuration = self._reconciler.world.configuration
        declared = configuration.inventory.endpoints[endpoint]
        return any(_is_peer(configuration, peer, declared) for peer in rule.exempt)

    def _keep(self) -> bool:
        standing = [[*key, until] for key, until in sorted(self._engine.standing.items())]
        done = [[*key, list(times)] for key, times in sorted(self._engine.done.items()) if times]
        new = self._kept.with_suffix(".new")
        try:
            new.write_text(json.dumps(stamp(FORM, SINCE) | {"standing": standing, "done": done}))
            new.replace(self._kept)
        except OSError as error:
            _log.error("responses_not_kept", file=str(self._kept), error=error.strerror)
            return False
        return True

    def _restore(self) -> None:
        try:
            said = json.loads(read_form(self._kept, FORM))
            if isinstance(said, list):
                said = {"standing": said, "done": []}  # written before the cap was kept
            for rule, key, until in said["standing"]:
                end = None if until is None else float(until)
                self._engine.standing[str(rule), EndpointKey(str(key))] = end
            for rule, tenant, times in said["done"]:
                self._engine.done[str(rule), str(tenant)] = deque(sorted(map(float, times)))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            set_aside(self._kept, error)


def _reason(rule: str) -> str:
    return f"response:{rule}"


def _with_mac(owners: list[EndpointDeclaration], mac: MacAddress) -> list[EndpointDeclaration]:
    return [one for one in owners if one.mac == mac] or owners


def _is_peer(configuration: Configuration, peer: Peer, endpoint: EndpointDeclaration) -> bool:
    if peer.kind == "any":
        return True
    if peer.kind != "zone" or peer.zone is None or peer.tenant not in ("*", endpoint.tenant):
        return False
    tenant = configuration.tenants[endpoint.tenant]
    zone = tenant.zones.get(peer.zone)
    if zone is None:
        return peer.zone == "any"
    addresses = [*endpoint.ips, None]
    return any(endpoint_matches(tenant, zone.selector, endpoint, address) for address in addresses)
