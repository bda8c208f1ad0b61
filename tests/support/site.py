"""A lab with a controller in it, its configuration on disk, and what both are asked and told."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from topologies.lab import Host, Lab, Machine, Process

from support.asked import Status, is_in_force, status_of, until
from zonewall.policy.added import ADDED

ZONEWALL = Path(sys.executable).with_name("zonewall")
PATIENCE_S = 40.0
OPENFLOW, OVSDB = 6653, 6640
UNCHANGED = "configuration_unchanged"
"""What the controller says of documents that it has read and that are in force already."""
OWN, STIRRING = "cookie=0x5a57", "priority=65535,dl_src=01:00:00:00:00:00/"


class Site:
    """One controller and the hosts of one lab; documents are written and replaced whole."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.folder = Path(lab.ledger.folder) / "site"
        self.directory = self.folder / "policies"
        self.state = self.folder / "state"
        self.directory.mkdir(parents=True)
        self.hosts: dict[str, Host] = {}
        self.machines: dict[str, Machine] = {}
        self.controller: Process | None = None
        self.words: tuple[str, ...] = ()
        self.program: tuple[str, ...] = (str(ZONEWALL),)
        """What is started as the controller; of the same name, another version."""

    # The controller

    def start(self, *words: str) -> Process:
        """Start ``zonewall run``; without words, listening in plain where the hosts can reach it."""
        address = self.lab.controller_address
        self.words = words or (
            "--state", str(self.state), "--allow-plain",
            "--openflow", f"tcp:{address}:{OPENFLOW}", "--ovsdb", f"tcp:{address}:{OVSDB}",
        )  # fmt: skip
        self.controller = self.lab.controller.start(*self.program, "run", str(self.directory), *self.words)
        return self.controller

    def restart(self, number: int = signal.SIGTERM) -> None:
        """End the controller with a signal and start it as before."""
        assert self.controller is not None
        self.controller.stop(signal.Signals(number))
        self.start(*self.words)

    def join(self, *hosts: Host) -> None:
        """Point hosts' databases and bridges at the controller."""
        address = self.lab.controller_address
        for host in hosts:
            host.set_manager(f"tcp:{address}:{OVSDB}")
            host.set_controller(f"tcp:{address}:{OPENFLOW}")

    def log(self) -> str:
        """Return what the controller has written so far."""
        return "" if self.controller is None else self.controller.output()

    def status(self) -> Status:
        """Return the status document, {} while no controller answers."""
        return status_of(self.state)

    def wait_for(self, condition: Callable[[Status], object], patience_s: float = PATIENCE_S) -> Status:
        """Return the first status that fulfils a condition."""
        return until(self.status, condition, patience_s, self.log)

    def settle(self) -> Status:
        """Wait until every bridge has what is wanted of it, every link is known, every machine's place is."""
        return self.wait_for(self.is_settled)

    def is_settled(self, status: Status) -> bool:
        """Say whether nothing is about to change."""
        plugged = {name for name, machine in self.machines.items() if machine.at is not None}
        places = {one["endpoint"].replace("/", "-"): one["places"] for one in status["endpoints"]}
        return is_in_force(status) and all(
            any(place["state"] == "active" for place in places.get(name, ())) for name in plugged
        )

    def command(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run ``zonewall`` where the controller runs and return how it ended."""
        return subprocess.run(
            ["ip", "netns", "exec", self.lab.controller.name, str(ZONEWALL), *words],
            input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    # Documents

    def put(self, **documents: object) -> None:
        """Write documents at one moment, so that none is read without the others.

        ``name={…}`` becomes name.yaml; text is written as it is, None removes.
        """
        for name, content in documents.items():
            text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
            (self.folder / f"{name}.new").write_text(text)
        for name, content in documents.items():
            path = self.directory / f"{name}.yaml"
            if content is None:
                path.unlink(missing_ok=True)
            else:
                (self.folder / f"{name}.new").replace(path)

    def change(self, **documents: object) -> Status:
        """Write documents and wait until they are in force, those that are already have been read again."""
        is_read = reading(self.status(), self.directory, self.log)
        self.put(**documents)
        return self.wait_for(lambda status: is_read(status) and self.is_settled(status))

    def journal(self, *words: str) -> list[dict[str, Any]]:
        """Return records of the journal, oldest first; ``words`` say which."""
        done = self.command("journal", "--state", str(self.state), "--output", "json", *words)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def rest(self) -> Status:
        """Wait until nothing is on its way, nor the row by which cached decisions end (decision 0041)."""
        return self.wait_for(lambda status: self.is_settled(status) and self._is_tidy(status))

    def _is_tidy(self, status: Status) -> bool:
        """Say whether each host's first bridge holds as many flows as is said, and no such row."""
        told = {one["bridge"]: one["flows"] for one in status["bridges"]}
        for name, host in self.hosts.items():
            flows = host.dump_flows()
            own = sum(flow.startswith(OWN) for flow in flows)
            if own != told.get(f"{name}/{host.bridges[0]}") or any(STIRRING in flow for flow in flows):
                return False
        return True

    def revalidate(self) -> None:
        """Wait until no decision that a switch has cached is older than this."""
        for host in self.hosts.values():
            host.appctl("revalidator/wait")

    def judge(self, probes: Iterable[Mapping[str, object]]) -> list[dict[str, Any]]:
        """Return what ``zonewall check`` says of probes."""
        lines = "".join(json.dumps(probe) + "\n" for probe in probes)
        done = self.command("check", str(self.directory), "--probes", "-", stdin=lines)
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    # Machines

    def machine(self, name: str, host: str, mac: str, *ips: str, **plug: Any) -> Machine:
        """Make a machine on a host and plug it in."""
        machine = self.lab.machine(name, mac, ips)
        machine.plug(self.hosts[host], **plug)
        self.machines[name] = machine
        return machine

    def places(self, endpoint: str) -> dict[str, str]:
        """Return the state of each place of an endpoint, by bridge."""
        return places_in(self.status(), endpoint)


def places_in(status: Status, endpoint: str) -> dict[str, str]:
    """Return what a status says of an endpoint: the state of each of its places, by bridge."""
    found = next(one for one in status["endpoints"] if one["endpoint"] == endpoint)
    return {one["bridge"]: one["state"] for one in found["places"]}


def reading(before: Status, directory: Path, log: Callable[[], str]) -> Callable[[Status], bool]:
    """Return what says of a status whether a directory's documents are in force, read after this was called.

    ``before``: the status before they are written. What is in force already is read and changes nothing.
    """
    known = before.get("configuration", {"revision": -1, "documents": {}})
    unchanged = log().count(UNCHANGED)

    def is_read(status: Status) -> bool:
        paths = directory.glob("*.yaml")
        there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
        if _documents(status["configuration"]) != there:
            return False
        if _documents(known) == there:
            return log().count(UNCHANGED) > unchanged
        return bool(status["configuration"]["revision"] > known["revision"])

    return is_read


def _documents(configuration: dict[str, Any]) -> dict[str, str]:
    """Return the digests of the documents in force, without what was added by command."""
    files = configuration["documents"].items()
    return {Path(file).name: digest for file, digest in files if file != ADDED}


def flows_of(host: Host, match: str) -> list[str]:
    """Return a host's flows whose match has a word, such as ``in_port=5``."""
    return [
        line for line in host.dump_flows() if match in line.split(" actions=")[0].replace(" ", ",").split(",")
    ]


def certificates(folder: Path, names: Mapping[str, str]) -> None:
    """Make an authority of ovs-pki(8) below a folder, and a key and certificate for each name: its kind."""
    folder.mkdir(parents=True, exist_ok=True)
    base = ["ovs-pki", f"--dir={folder}/pki", f"--log={folder}/pki.log", "-B", "2048"]
    runs = [["init", "--force"], *(["-u", "req+sign", name, kind] for name, kind in names.items())]
    for words in runs:
        subprocess.run([*base, *words], cwd=folder, check=True, capture_output=True)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder of documents."""
    shutil.copytree(source, target, dirs_exist_ok=True, copy_function=shutil.copyfile)


def alive(pid: int) -> bool:
    """Say whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
