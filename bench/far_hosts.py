"""Hosts without machines, for a fleet that is larger than what moves in it: a database each, and a bridge.

Their bridges have the dummy datapath, which takes every flow and carries nothing. They stand on one switch
together, or each on one of its own, as hosts do.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from topologies.lab import Lab
from topologies.namespace import Process, command, start_process

BRIDGE = "br-int"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class FarHosts:
    """Databases and bridges of hosts that nothing moves on."""

    def __init__(self, lab: Lab, folder: Path, stack: ExitStack, count: int, *, apart: bool) -> None:
        """Name them; ``join`` starts them, the stack ends them.

        Args:
            lab: in whose controller's namespace they run.
            folder: of their files.
            stack: ends them.
            count: how many.
            apart: each has a switch of its own, instead of one for all.
        """
        self.names = [f"far{number:02}" for number in range(count)]
        self._lab, self._folder, self._apart = lab, folder, apart
        self._processes: list[Process] = []
        stack.callback(self._stop)

    def inventory(self) -> dict[str, Any]:
        """Return the ``hosts:`` of an inventory that is true to them."""
        return {
            name: {"bridges": {BRIDGE: {"attachment": "fabric", "datapath-id": _datapath_id(number)}}}
            for number, name in enumerate(self.names)
        }

    def join(self, placed: dict[str, list[dict[str, Any]]], address: str) -> None:
        """Start everything with the hosts' endpoints at its ports, and point it at the controller."""
        if not self._apart:
            self._start("switch", switched=True)
        for number, name in enumerate(self.names):
            self._start(name, switched=self._apart)
            self._vsctl(name, "set", "Open_vSwitch", ".", f"external_ids:system-id={name}")
            bridge = ["add-br", BRIDGE, "--", "set", "bridge", BRIDGE, *_properties(number)]
            self._vsctl(name, *bridge, *self._ports(placed[name]))
            self._vsctl(name, "set-manager", f"tcp:{address}:6640")
            if self._apart:
                self._vsctl(name, "set-controller", BRIDGE, f"tcp:{address}:6653")
        if not self._apart:
            words = []
            for number, name in enumerate(self.names):
                words += ["--", "add-br", name, "--", "set", "bridge", name, *_properties(number)]
                words += ["--", "set-controller", name, f"tcp:{address}:6653"]
            self._vsctl("switch", *words)

    def _ports(self, endpoints: list[dict[str, Any]]) -> list[str]:
        words = []
        for at, endpoint in enumerate(endpoints, 1):
            known = ["type=dummy", f"ofport_request={at}"] if self._apart else [f"ofport={at}"]
            words += ["--", "add-port", BRIDGE, f"p{at}", "--", "set", "interface", f"p{at}", *known]
            words += [f'external_ids:iface-id="{endpoint["iface-id"]}"']
        return words

    def _vsctl(self, name: str, *words: str) -> None:
        command("ovs-vsctl", "--no-wait", f"--db=unix:{self._folder / name / 'db.sock'}", *words)

    def _start(self, name: str, *, switched: bool) -> None:
        folder = self._folder / name
        folder.mkdir()
        env = dict.fromkeys(("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"), str(folder))
        command("ovsdb-tool", "create", str(folder / "conf.db"), SCHEMA)
        remotes = (
            f"--remote=punix:{folder}/db.sock",
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
        )
        self._spawn(env, "ovsdb-server", str(folder / "conf.db"), *remotes, f"--pidfile={folder}/db.pid")
        _await(folder / "db.sock")
        self._vsctl(name, "init")
        if switched:
            dummy = ("--enable-dummy=override", "--disable-system", "--disable-system-route")
            self._spawn(env, "ovs-vswitchd", f"unix:{folder}/db.sock", *dummy, f"--pidfile={folder}/vs.pid")

    def _spawn(self, env: dict[str, str], *words: str) -> None:
        inside = ("ip", "netns", "exec", self._lab.controller.name)
        words = (*inside, *words, "--no-chdir", "-vconsole:off")
        self._processes.append(start_process(self._lab.ledger, *words, env={**os.environ, **env}))

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.stop()


def _datapath_id(number: int) -> str:
    return f"{0xF000 + number:016x}"


def _properties(number: int) -> list[str]:
    return [
        "datapath_type=dummy", "fail_mode=secure", "protocols=OpenFlow15",
        "other_config:disable-in-band=true", f"other_config:datapath-id={_datapath_id(number)}",
        f'datapath_id="{_datapath_id(number)}"',
    ]  # fmt: skip


def _await(path: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"{path} does not answer")
