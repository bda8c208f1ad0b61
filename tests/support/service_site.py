"""A controller, two hosts and what services need; every test writes the policy that it is about."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from topologies.lab import Appliance, Host, Lab, Machine, Namespace, Process, Sink

from support.asked import Status, is_in_force, status_of, until
from support.site import reading

ZONEWALL = Path(sys.executable).with_name("zonewall")
PATIENCE_S = 60.0

Document = dict[str, Any]


class ServiceSite:
    """One lab with a controller; ``inventory`` grows with what the tests plug in."""

    def __init__(self, lab: Lab, attachment: str = "fabric") -> None:
        self.lab = lab
        self.attachment = attachment
        self.directory = Path(lab.ledger.folder) / "policies"
        self.state = Path(lab.ledger.folder) / "state"
        self.events = Path(lab.ledger.folder) / "eve.json"
        self.events.touch()
        self.records = Path(lab.ledger.folder) / "records.json"
        self.directory.mkdir()
        self.hosts: dict[str, Host] = {}
        self.machines: dict[str, Machine] = {}
        self.strangers: dict[str, Machine] = {}
        self.sinks: dict[str, Sink] = {}
        self.outsides: dict[str, Host] = {}
        self.appliances: dict[str, Appliance] = {}
        self.namespaces: dict[str, Namespace] = {}
        self.endpoints: list[Document] = []
        self.inventory: Document = {"kind": "inventory"}
        self.host_keys: dict[str, Document] = {}
        self.controller: Process | None = None
        self._words: tuple[str, ...] = ()

    def host(self, name: str, **keys: Any) -> Host:
        """Add a hypervisor host; ``keys`` are what the inventory says of it beside its bridges."""
        self.hosts[name] = self.lab.host(name)
        self.host_keys[name] = keys
        return self.hosts[name]

    def machine(self, name: str, host: str, number: int, tenant: str = "acme", **labels: str) -> Machine:
        """Add a machine 10.0.0.NUMBER, fd00::NUMBER of a tenant, with a zone of its own name."""
        mac = f"52:54:00:00:00:{number:02x}"
        machine = self.lab.machine(name, mac, [f"10.0.0.{number}/24", f"fd00::{number:x}/64"])
        machine.plug(self.hosts[host], iface_id=name)
        ips = [f"10.0.0.{number}", f"fd00::{number:x}"]
        self.endpoints.append(
            {"name": name, "tenant": tenant, "iface-id": name, "mac": mac, "ips": ips,
             "labels": {"name": name, **labels}}
        )  # fmt: skip
        self.machines[name] = machine
        return machine

    def start(self, *words: str) -> None:
        """Start the controller and point the hosts at it."""
        address = self.lab.controller_address
        self.write_inventory()
        self._write(acme={"kind": "tenant", "tenant": "acme"})
        self._words = words
        self._run()
        for host in self.hosts.values():
            host.set_manager(f"tcp:{address}:6640")
            host.set_controller(f"tcp:{address}:6653")
            # A controller that is started again is found again within a second.
            host.vsctl("set", "controller", "br-int", "max_backoff=1000")
            host.vsctl("set", "manager", f"tcp:{address}:6640", "max_backoff=1000")

    def restart(self) -> None:
        """Stop the controller and start it as before."""
        self.end()
        self.begin()

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the controller with a signal."""
        assert self.controller is not None
        self.controller.stop(number, PATIENCE_S)

    def begin(self) -> None:
        """Start the controller as before, and wait until all is as it should be."""
        self._run()
        self.wait_for(self.is_settled, 60)

    def command(self, *words: str) -> str:
        """Return what a ``zonewall`` command prints; ``--state`` is added."""
        return self.lab.controller.run(str(ZONEWALL), *words, "--state", str(self.state))

    def _run(self) -> None:
        address = self.lab.controller_address
        words = self._words
        self.controller = self.lab.controller.start(
            str(ZONEWALL), "run", str(self.directory), "--state", str(self.state), "--allow-plain",
            "--openflow", f"tcp:{address}:6653", "--ovsdb", f"tcp:{address}:6640", *words,
        )  # fmt: skip
        deadline = time.monotonic() + PATIENCE_S
        while (
            "controller_started" not in self.log()
            and time.monotonic() < deadline
            and self.controller.running()
        ):
            time.sleep(0.05)

    def write_inventory(self, **more: Any) -> None:
        """Write the inventory as the lab is now."""
        self.inventory |= more
        hosts = {
            name: {**host.inventory(self.attachment), **self.host_keys[name]}
            for name, host in self.hosts.items()
        }
        self._write(inventory={**self.inventory, "hosts": hosts, "endpoints": self.endpoints})

    def policy(self, *rules: Mapping[str, Any], provider: Document | None = None, **keys: Any) -> Status:
        """Put acme's rules in force: every machine is a zone; return the status then."""
        zones = {one["name"]: {"endpoints": [one["name"]]} for one in self.endpoints}
        numbered = [{"name": f"rule-{at}", **rule} for at, rule in enumerate(rules)]
        tiers = [{"name": "rules", "rules": numbered}]
        zones.update(keys.pop("zones", {}))
        is_read = reading(self.status(), self.directory, self.log)
        acme = {"kind": "tenant", "tenant": "acme", "zones": zones, "tiers": tiers, **keys}
        self._write(provider={"kind": "provider", **(provider or {})}, acme=acme)
        status = self.wait_for(lambda status: is_read(status) and self.is_settled(status))
        for host in self.hosts.values():
            # What the datapath decided before holds half a second more: not what these tests are about.
            host.appctl("revalidator/purge")
        return status

    def is_settled(self, status: Status) -> bool:
        """Say whether every bridge enforces what is wanted and every machine has its place."""
        return (
            not status["configuration"]["refused"]
            and is_in_force(status)
            and all(
                any(place["state"] in ("active", "quarantined") for place in one["places"])
                for one in status["endpoints"]
            )
            and len(status["links"]) >= (len(self.hosts) - 1 if self.attachment == "fabric" else 0)
        )

    def is_waiting(self, endpoint: str) -> Callable[[Status], object]:
        """Return whether a port waits for the endpoint, its policy there already."""
        return lambda status: (
            is_in_force(status) and any(place["state"] == "pending" for place in _places(status, endpoint))
        )

    def is_at(self, status: Status, endpoint: str, host: str) -> bool:
        """Say whether the endpoint is on that host, and nowhere else any more."""
        return self.is_settled(status) and [
            (place["state"], str(place["bridge"]).partition("/")[0]) for place in _places(status, endpoint)
        ] == [("active", host)]

    def status(self) -> Status:
        """Return the status document, {} while no controller answers."""
        return status_of(self.state)

    def wait_for(self, condition: Callable[[Status], object], patience_s: float = PATIENCE_S) -> Status:
        """Return the first status that fulfils a condition."""
        return until(self.status, condition, patience_s, self.log)

    def log(self) -> str:
        """Return what the controller has written."""
        return "" if self.controller is None else self.controller.output()

    def _write(self, **documents: Document) -> None:
        """Write documents at one moment, so that none is read without the others; the last one always."""
        new = {name: self.directory.parent / f"{name}.new" for name in documents}
        for name, document in documents.items():
            new[name].write_text(yaml.safe_dump(document, sort_keys=False))
        for name, path in new.items():
            there = self.directory / f"{name}.yaml"
            if name == next(reversed(new)) or not there.exists() or path.read_bytes() != there.read_bytes():
                path.replace(there)


def _places(status: Status, endpoint: str) -> list[Document]:
    """Return where an endpoint is."""
    return next(one["places"] for one in status["endpoints"] if one["endpoint"] == endpoint)
