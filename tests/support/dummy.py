"""A private Open vSwitch on the dummy datapath: real flow tables and connection tracking, no privileges.

Frames are put into a port by hand and read from what the port's ``tx_pcap`` file caught.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ovs.unixctl import client as unixctl_client

from support.ovsdb_host import accepts

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
STARTING_S = 60.0
PCAP_HEADER_BYTES = 24


class DummySwitch:
    """One ``ovsdb-server`` and one ``ovs-vswitchd`` of a test's own, with any number of bridges.

    ``db`` and ``mgmt(bridge)`` are the sockets to hand to OVSDB and OpenFlow clients. Ports are named by
    the test and are unique in the switch, not only in their bridge.
    """

    def __init__(self, run_dir: Path, system_id: str = "hv1") -> None:
        self.run_dir = run_dir
        self.system_id = system_id
        self.db = f"unix:{run_dir}/db.sock"
        self._env = {**os.environ, **dict.fromkeys(("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"), str(run_dir))}
        self._database: subprocess.Popen[bytes] | None = None
        self._vswitchd: subprocess.Popen[bytes] | None = None
        self._control: unixctl_client.UnixctlClient | None = None
        self._read: dict[str, int] = {}

    # -- life ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the database and start both daemons."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self._run("ovsdb-tool", "create", str(self.run_dir / "conf.db"), SCHEMA)
        self._database = self._spawn(
            "ovsdb-server",
            str(self.run_dir / "conf.db"),
            f"--remote=punix:{self.run_dir}/db.sock",
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
        )
        self._await(self.run_dir / "db.sock", self._database)
        words = ["init", "--", "set", "Open_vSwitch", ".", "other_config:vlan-limit=2"]
        self._vsctl("--no-wait", *words, f"external_ids:system-id={self.system_id}")
        self.start_vswitchd()

    def start_vswitchd(self) -> None:
        """Start ``ovs-vswitchd`` on the database as it is; flows and connections begin empty."""
        control = self.run_dir / "vswitchd.ctl"
        self._vswitchd = self._spawn(
            "ovs-vswitchd",
            self.db,
            "--enable-dummy=override",
            "--disable-system",
            "--disable-system-route",
            f"--unixctl={control}",
        )
        self._await(control, self._vswitchd)
        error, self._control = unixctl_client.UnixctlClient.create(str(control))
        assert error == 0, os.strerror(error)
        # Reading waits for nothing: what the database says of bridges is there when they can be spoken to.
        for bridge in self._vsctl("--timeout=50", "list-br").split():
            self._await(self.run_dir / f"{bridge}.mgmt", self._vswitchd)

    def stop_vswitchd(self) -> None:
        """End ``ovs-vswitchd`` and leave the database running."""
        if self._control is not None:
            self._control.close()
            self._control = None
        _end(self._vswitchd)
        self._vswitchd = None
        (self.run_dir / "vswitchd.ctl").unlink(missing_ok=True)

    def close(self) -> None:
        """End both daemons; safe to call twice."""
        self.stop_vswitchd()
        _end(self._database)
        self._database = None

    # -- configuration ------------------------------------------------------------------------------------

    def add_bridge(
        self, name: str = "br-int", *, datapath_id: int | None = None, controller: str | None = None
    ) -> None:
        """Add a bridge as zonewall wants it: fail_mode secure, OpenFlow 1.5, no in-band control."""
        words = ["add-br", name, "--", "set", "bridge", name, "datapath_type=dummy", "fail_mode=secure"]
        words += ["protocols=OpenFlow15", "other_config:disable-in-band=true"]
        if datapath_id is not None:
            words.append(f"other_config:datapath-id={datapath_id:016x}")
        if controller is not None:
            words += ["--", "set-controller", name, controller]
        self.vsctl(*words)
        if controller is None:
            self.ofctl("set-frags", name, "nx-match")

    def add_port(
        self,
        bridge: str,
        name: str,
        *,
        ofport: int | None = None,
        iface_id: str | None = None,
        mac: str | None = None,
        vm_id: str | None = None,
    ) -> int:
        """Add a port that can be spoken into and return its OpenFlow port number."""
        words = ["add-port", bridge, name, "--", "set", "interface", name, "type=dummy"]
        words.append(f"options:tx_pcap={self._pcap(name)}")
        if ofport is not None:
            words.append(f"ofport_request={ofport}")
        ids = {"iface-id": iface_id, "attached-mac": mac, "vm-id": vm_id}
        words += [f'external_ids:{key}="{value}"' for key, value in ids.items() if value is not None]
        self.vsctl(*words)
        self._read[name] = PCAP_HEADER_BYTES
        return self.ofport(name)

    def add_ports(self, bridge: str, numbers: Sequence[int], name: str = "p{}") -> None:
        """Add many ports in one transaction; port number ``n`` is named ``name.format(n)``."""
        words: list[str] = []
        for number in numbers:
            port = name.format(number)
            words += ["--", "add-port", bridge, port, "--", "set", "interface", port, "type=dummy"]
            words += [f"ofport_request={number}", f"options:tx_pcap={self._pcap(port)}"]
            self._read[port] = PCAP_HEADER_BYTES
        self.vsctl(*words)

    def del_port(self, bridge: str, name: str) -> None:
        """Remove a port."""
        self.vsctl("del-port", bridge, name)

    def patch(self, one_bridge: str, one_port: str, other_bridge: str, other_port: str) -> None:
        """Join two bridges by a pair of patch ports."""
        words: list[str] = []
        for bridge, port, peer in ((one_bridge, one_port, other_port), (other_bridge, other_port, one_port)):
            words += ["--", "add-port", bridge, port, "--", "set", "interface", port, "type=patch"]
            words += [f"options:peer={peer}"]
        self.vsctl(*words)

    def ofport(self, name: str) -> int:
        """Return the OpenFlow port number of an interface."""
        return int(self.vsctl("get", "interface", name, "ofport"))

    # -- flows --------------------------------------------------------------------------------------------

    def load_flows(self, bridge: str, flows: str | Sequence[str]) -> None:
        """Add flows as one bundle.

        Raises:
            AssertionError: the switch refused them; its own words are the text.
        """
        text = flows if isinstance(flows, str) else "\n".join(flows)
        self.ofctl("--bundle", "add-flows", bridge, "-", stdin=text + "\n")

    def load_program(self, bridge: str, text: str) -> None:
        """Load what ``zonewall compile`` writes: its ``#group`` and ``#meter`` lines first, in order."""
        for line in text.splitlines():
            kind, _, rest = line.partition(" ")
            if kind in ("#group", "#meter"):
                self.ofctl(f"add-{kind[1:]}", bridge, rest)
        self.load_flows(bridge, "\n".join(line for line in text.splitlines() if not line.startswith("#")))

    def clear(self, bridge: str) -> None:
        """Remove flows, groups, meters, cached decisions and connections."""
        for command in ("del-flows", "del-groups", "del-meters"):
            self.ofctl(command, bridge)
        self.appctl("revalidator/purge")
        self.appctl("dpctl/flush-conntrack")

    def dump_flows(self, bridge: str, match: str = "") -> list[str]:
        """Return the bridge's flows, numbers only, without counters, in the switch's canonical order."""
        words = ["--no-names", "--no-stats", "dump-flows", bridge, *([match] if match else [])]
        return [line.strip() for line in self.ofctl(*words).splitlines() if " actions=" in line]

    def trace(self, flow: str, bridge: str = "br-int") -> str:
        """Return the whole text of ``ofproto/trace``; ``datapath_actions`` takes its last line."""
        return self.appctl("ofproto/trace", bridge, flow)

    def datapath_actions(self, flow: str, bridge: str = "br-int") -> str:
        """Return the datapath actions that a trace ends in, such as ``drop`` or ``3,4``."""
        return self.trace(flow, bridge).strip().splitlines()[-1].removeprefix("Datapath actions: ")

    # -- frames -------------------------------------------------------------------------------------------

    def inject(self, port: str, frame: bytes | str) -> None:
        """Put a frame (bytes, or flow text) into a port; when this returns the switch is done with it."""
        before, until = self._received(), time.monotonic() + STARTING_S
        self.appctl("netdev-dummy/receive", port, frame.hex() if isinstance(frame, bytes) else frame)
        # The thread that answers is the one that forwards: what it has counted it is done with.
        while self._received() == before:
            assert time.monotonic() < until, f"a frame into {port} was not taken"

    def _received(self) -> int:
        return int(re.findall(r"packets received: (\d+)", self.appctl("dpif-netdev/pmd-stats-show"))[0])

    def captured(self, port: str) -> list[bytes]:
        """Return the frames that left through a port since the last call."""
        path = self._pcap(port)
        data = path.read_bytes() if path.exists() else b""
        frames = []
        at = self._read[port]
        while at + 16 <= len(data):
            length = struct.unpack_from("<I", data, at + 8)[0]
            frames.append(data[at + 16 : at + 16 + length])
            at += 16 + length
        self._read[port] = at
        return frames

    def connections(self) -> set[str]:
        """Return the connection table's lines without timeouts and protocol state."""
        lines = self.appctl("dpctl/dump-conntrack").splitlines()
        return {re.sub(r",protoinfo=\([^)]*\)|,timeout=\d+", "", line) for line in lines if line}

    # -- commands -----------------------------------------------------------------------------------------

    def mgmt(self, bridge: str) -> str:
        """Return the address of a bridge's OpenFlow management socket."""
        return f"unix:{self.run_dir}/{bridge}.mgmt"

    def vsctl(self, *words: str) -> str:
        """Run ovs-vsctl(8), wait until the switch has taken it over, and return what it prints."""
        return self._vsctl("--timeout=50", *words)

    def ofctl(self, *words: str, stdin: str = "") -> str:
        """Run ovs-ofctl(8) with OpenFlow 1.5; a bridge is named as in ovs-vsctl."""
        return self._run("ovs-ofctl", "-O", "OpenFlow15", *words, stdin=stdin)

    def appctl(self, command: str, *words: str) -> str:
        """Return what ``ovs-vswitchd`` answers to a command of ovs-appctl(8); no process is started."""
        assert self._control is not None, "the switch is not running"
        error, failure, answer = self._control.transact(command, list(words))
        assert error == 0, os.strerror(error)
        assert failure is None, f"{command} {' '.join(words)}: {failure}"
        return str(answer)

    def _pcap(self, port: str) -> Path:
        return self.run_dir / f"{port}.pcap"

    def _vsctl(self, *words: str) -> str:
        return self._run("ovs-vsctl", f"--db={self.db}", *words).strip()

    def _run(self, *words: str, stdin: str = "") -> str:
        done = subprocess.run(
            words,
            env=self._env,
            cwd="/",
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}\n{stdin}"
        return done.stdout

    def _spawn(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        log = self.run_dir / f"{program}.log"
        pidfile = self.run_dir / f"{program}.pid"
        # setpriv: a test run that is killed takes its switches along.
        command = ["setpriv", "--pdeathsig", "KILL", program, *words, "--no-chdir", f"--pidfile={pidfile}"]
        with log.open("ab") as out:
            return subprocess.Popen(
                [*command, "-vconsole:warn"], env=self._env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def _await(self, path: Path, daemon: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + STARTING_S
        while not accepts(path):
            assert daemon.poll() is None, f"ended at once; see the logs in {self.run_dir}"
            assert time.monotonic() < until, f"{path} did not appear; see the logs in {self.run_dir}"
            time.sleep(0.01)


@contextlib.contextmanager
def running_dummy_switch(run_dir: Path, system_id: str = "hv1") -> Iterator[DummySwitch]:
    """Give a running switch without bridges and end it afterwards; for tests that need several."""
    switch = DummySwitch(run_dir, system_id)
    try:
        switch.start()
        yield switch
    finally:
        switch.close()


def _end(daemon: subprocess.Popen[bytes] | None) -> None:
    if daemon is None:
        return
    daemon.terminate()
    try:
        daemon.wait(timeout=10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
