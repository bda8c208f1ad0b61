"""A private Open vSwitch on the dummy datapath into which frames are put, and out of which they are read."""

from __future__ import annotations

import contextlib
import os
import re
import struct
import subprocess
import time
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

from ovs.unixctl import client as unixctl_client

_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
_STARTING_S = 10.0
_MARKER = bytes.fromhex("0200000000fe0200000000ff88b5") + b"\0" * 46
_MARKER_FLOW = "table=0,priority=65535,dl_type=0x88b5 actions=in_port"
"""Sends a frame of the local experimental type (IEEE 802) back where it came from."""


class InjectedSwitch:
    """One bridge ``br0`` with ports 1 to ``ports``; user-space connection tracking, no privileges needed."""

    def __init__(self, folder: Path, ports: int) -> None:
        self.folder = folder
        self.ports = range(1, ports + 1)
        self._env = {**os.environ, **dict.fromkeys(("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"), str(folder))}
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._read: dict[int, int] = dict.fromkeys(self.ports, 24)
        self._client: unixctl_client.UnixctlClient | None = None

    def start(self) -> None:
        """Start both daemons and make the bridge."""
        database = self.folder / "conf.db"
        self._run("ovsdb-tool", "create", str(database), _SCHEMA)
        self._spawn("ovsdb-server", str(database), f"--remote=punix:{self.folder}/db.sock")
        self._await(self.folder / "db.sock")
        self._vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".", "other_config:vlan-limit=2")
        control = self.folder / "vswitchd.ctl"
        self._spawn(
            "ovs-vswitchd",
            f"unix:{self.folder}/db.sock",
            "--enable-dummy=override",
            "--disable-system",
            "--disable-system-route",
            f"--unixctl={control}",
        )
        self._await(control)
        words = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail_mode=secure"]
        words += ["protocols=OpenFlow15"]
        for port in self.ports:
            words += ["--", "add-port", "br0", f"p{port}", "--", "set", "interface", f"p{port}", "type=dummy"]
            words += [f"ofport_request={port}", f"options:tx_pcap={self._pcap(port)}"]
        self._vsctl(*words)
        self._run("ovs-ofctl", "-O", "OpenFlow15", "set-frags", f"unix:{self.folder}/br0.mgmt", "nx-match")
        error, self._client = unixctl_client.UnixctlClient.create(str(control))
        assert error == 0, os.strerror(error)

    def stop(self) -> None:
        """End what was started."""
        if self._client is not None:
            self._client.close()
        for daemon in reversed(self._daemons):
            daemon.terminate()
            daemon.wait(timeout=10)

    def program(self, flows: list[str], groups: list[str] | None = None) -> None:
        """Make these the bridge's flows and groups, with no connection and no cached decision left.

        Raises:
            AssertionError: the switch refused them; its words are the text.
        """
        self._ofctl("del-flows", "")
        self._ofctl("del-groups", "")
        if groups:
            self._ofctl("add-groups", "\n".join(groups))
        self._ofctl("add-flows", "\n".join([*flows, _MARKER_FLOW]), "--bundle")
        self.appctl("revalidator/purge")
        self.appctl("dpctl/flush-conntrack")

    def appctl(self, command: str, *words: str) -> str:
        """Return what ``ovs-vswitchd`` answers to a command of ovs-appctl(8)."""
        assert self._client is not None
        error, failure, answer = self._client.transact(command, list(words))
        assert error == 0, os.strerror(error)
        assert failure is None, f"{command} {' '.join(words)}: {failure}"
        return str(answer)

    def inject(self, port: int, frame: bytes) -> list[tuple[int, bytes]]:
        """Put a frame into a port; return (port, frame) of all that left, by port, each port's in order."""
        self.appctl("netdev-dummy/receive", f"p{port}", frame.hex())
        # A port's frames are handled in order: when the marker is back, the frame before it is through.
        self.appctl("netdev-dummy/receive", f"p{port}", _MARKER.hex())
        left: list[tuple[int, bytes]] = []
        until = time.monotonic() + _STARTING_S
        while (port, _MARKER) not in left:
            assert time.monotonic() < until, f"port {port} took no frame for {_STARTING_S} s"
            self.appctl("version")
            left += self._all_new()
        self.appctl("version")
        left += self._all_new()
        return sorted(((number, sent) for number, sent in left if sent != _MARKER), key=itemgetter(0))

    def _all_new(self) -> list[tuple[int, bytes]]:
        return [(number, sent) for number in self.ports for sent in self._new_frames(number)]

    def connections(self) -> set[str]:
        """Return the lines of the connection table without what depends on time."""
        lines = self.appctl("dpctl/dump-conntrack").splitlines()
        return {re.sub(r",protoinfo=\([^)]*\)|,timeout=\d+", "", line) for line in lines if line}

    def traced_port(self, flow: str) -> str:
        """Return the datapath actions that ``ofproto/trace`` ends in."""
        answer = self.appctl("ofproto/trace", "br0", flow)
        return answer.strip().splitlines()[-1].removeprefix("Datapath actions: ")

    def _new_frames(self, port: int) -> Iterator[bytes]:
        data = self._pcap(port).read_bytes()
        at = self._read[port]
        while at + 16 <= len(data):
            length = struct.unpack("<I", data[at + 8 : at + 12])[0]
            yield data[at + 16 : at + 16 + length]
            at += 16 + length
        self._read[port] = at

    def _pcap(self, port: int) -> Path:
        return self.folder / f"p{port}.pcap"

    def _spawn(self, *words: str) -> None:
        log = self.folder / f"{words[0]}.log"
        daemon = subprocess.Popen(
            [*words, "--no-chdir", f"--pidfile={self.folder}/{words[0]}.pid", f"--log-file={log}"],
            env=self._env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._daemons.append(daemon)

    def _await(self, path: Path) -> None:
        until = time.monotonic() + _STARTING_S
        while not path.exists():
            assert time.monotonic() < until, f"{path} did not appear; see the logs in {self.folder}"
            time.sleep(0.02)

    def _vsctl(self, *words: str) -> None:
        self._run("ovs-vsctl", f"--db=unix:{self.folder}/db.sock", *words)

    def _ofctl(self, command: str, text: str, *options: str) -> None:
        words = ["ovs-ofctl", "-O", "OpenFlow15", *options, command, f"unix:{self.folder}/br0.mgmt"]
        self._run(*words, *(["-"] if text else []), text=text)

    def _run(self, *words: str, text: str = "") -> None:
        done = subprocess.run(words, env=self._env, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}\n{text}"


@contextlib.contextmanager
def injected_switch(folder: Path, ports: int = 5) -> Iterator[InjectedSwitch]:
    """Give a running switch and end it afterwards."""
    switch = InjectedSwitch(folder, ports)
    try:
        switch.start()
        yield switch
    finally:
        switch.stop()
