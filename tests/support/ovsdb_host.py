"""Hosts for tests of what follows their databases: a real ovsdb-server each, and a switch if wanted."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from zonewall.ovsdb.admission import HostSet
from zonewall.ovsdb.patience import Patience
from zonewall.ovsdb.service import OvsdbService
from zonewall.placement.observations import Observation
from zonewall.policy.findings import Location
from zonewall.policy.inventory import Attachment, BridgeDeclaration, HostDeclaration
from zonewall.tls import TlsFiles
from zonewall.values.names import BridgeName, HostName

_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
_STARTING_S = 60.0
WITHIN_S = 40.0
Kind = TypeVar("Kind")
NOWHERE = Location("inventory.yaml", 1, 1)
PATIENT = Patience(handshake_s=60.0, snapshot_s=60.0, probe_s=60.0)
"""Nobody is given up because the machine is busy."""
IMPATIENT = Patience(handshake_s=2.0, snapshot_s=5.0, probe_s=1.0)
"""For those who are to be given up."""


_kept: list[socket.socket] = []


def free_port() -> int:
    """Return a port of the loopback that nobody listens on, and that nobody else is given while we run."""
    kept = socket.socket()
    _kept.append(kept)
    # Who binds the same with this option may listen there; the kernel chooses it for nobody (socket(7)).
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return int(kept.getsockname()[1])


def declared_bridge(name: str = "br0", datapath_id: int | None = None) -> BridgeDeclaration:
    """Return a managed bridge."""
    return BridgeDeclaration(BridgeName(name), Attachment.FABRIC, {}, NOWHERE, datapath_id)


def declared_hosts(*names: str, ovsdb: str | None = None, **changes: str) -> dict[HostName, HostDeclaration]:
    """Return hosts whose system-id and certificate are their name unless said, with a bridge ``br0``."""
    bridge = declared_bridge()
    return {
        HostName(name): HostDeclaration(
            HostName(name),
            changes.get("system_id", name),
            changes.get("certificate", name),
            {bridge.name: bridge},
            NOWHERE,
            ovsdb=ovsdb,
        )
        for name in names
    }


class DatabaseHost:
    """A host's ovsdb-server in its own folder, and its ovs-vswitchd if asked for."""

    def __init__(self, folder: Path, system_id: str | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.remotes: list[str] = []
        self.options: list[str] = []
        self._env = {**os.environ, **dict.fromkeys(("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"), str(folder))}
        self._server: subprocess.Popen[bytes] | None = None
        self._switch: subprocess.Popen[bytes] | None = None
        self._run("ovsdb-tool", "create", f"{folder}/conf.db", _SCHEMA)
        self._system_id = system_id

    def start(self) -> None:
        """Start the database; the first time it gets its system-id."""
        self._server = self._spawn(
            "ovsdb-server",
            f"{self.folder}/conf.db",
            f"--remote=punix:{self.folder}/db.sock",
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
            *(f"--remote={remote}" for remote in self.remotes),
            *self.options,
        )
        self._await(self.folder / "db.sock")
        self.vsctl("init")
        if self._system_id is not None:
            self.vsctl("set", "Open_vSwitch", ".", f"external_ids:system-id={self._system_id}")
            self._system_id = None

    def start_switch(self) -> None:
        """Start ovs-vswitchd with the dummy datapath."""
        control = self.folder / "vswitchd.ctl"
        self._switch = self._spawn(
            "ovs-vswitchd",
            f"unix:{self.folder}/db.sock",
            "--enable-dummy=override",
            "--disable-system",
            "--disable-system-route",
            f"--unixctl={control}",
        )
        self._await(control)

    def vsctl(self, *words: str, wait: bool = False) -> str:
        """Run ovs-vsctl on this database; ``wait`` for the switch to have done it."""
        waiting = [] if wait else ["--no-wait"]
        return self._run("ovs-vsctl", f"--db=unix:{self.folder}/db.sock", *waiting, *words)

    def connect_to(self, target: str) -> None:
        """Have the database connect to a manager, trying again every second."""
        self.vsctl(
            "--", "--id=@m", "create", "Manager", f'target="{target}"', "max_backoff=1000",
            "--", "set", "Open_vSwitch", ".", "manager_options=@m",
        )  # fmt: skip

    def pause(self) -> None:
        """Let the database hang."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End what was started."""
        for daemon in (self._switch, self._server):
            if daemon is not None:
                daemon.send_signal(signal.SIGCONT)
                daemon.terminate()
                daemon.wait(timeout=10)
        self._switch = self._server = None
        (self.folder / "db.sock").unlink(missing_ok=True)

    def transactions(self) -> int:
        """Return how many transactions the database's log holds."""
        return self._run("ovsdb-tool", "show-log", f"{self.folder}/conf.db").count("record ")

    def _spawn(self, *words: str) -> subprocess.Popen[bytes]:
        log = f"--log-file={self.folder}/{words[0]}.log"
        pid = f"--pidfile={self.folder}/{words[0]}.pid"
        return subprocess.Popen(
            [*words, "--no-chdir", pid, log],
            env=self._env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _await(self, path: Path) -> None:
        until = time.monotonic() + _STARTING_S
        while not accepts(path):
            assert time.monotonic() < until, f"{path} did not appear; see the logs in {self.folder}"
            time.sleep(0.01)

    def _run(self, *words: str) -> str:
        done = subprocess.run(words, env=self._env, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout


def accepts(path: Path) -> bool:
    """Say whether somebody listens at a socket: its file is there a moment before (unix(7))."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


class Follower:
    """The service under test, and all that it has said."""

    def __init__(self, service: OvsdbService, said: queue.SimpleQueue[Observation]) -> None:
        self.service = service
        self.heard: list[Observation] = []
        self._said = said

    def until(self, wanted: Callable[[Observation], bool], within_s: float = WITHIN_S) -> Observation:
        """Return the first new observation that is wanted; all up to it are in ``heard``."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                observation = self._said.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not said within {within_s} s; heard {self.heard[-20:]}") from None
            self.heard.append(observation)
            if wanted(observation):
                return observation

    def until_a(self, kind: type[Kind], within_s: float = WITHIN_S, **fields: object) -> Kind:
        """Return the first new observation of the kind that has these fields."""
        found = self.until(
            lambda one: (
                isinstance(one, kind) and all(getattr(one, name) == value for name, value in fields.items())
            ),
            within_s,
        )
        assert isinstance(found, kind)
        return found

    def quiet(self, for_s: float = 0.5) -> list[Observation]:
        """Return what is said within that time."""
        deadline = time.monotonic() + for_s
        said: list[Observation] = []
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                said.append(self._said.get(timeout=left))
        self.heard += said
        return said


@contextlib.contextmanager
def follower(
    hosts: Mapping[HostName, HostDeclaration],
    patience: Patience = PATIENT,
    client_tls: TlsFiles | None = None,
    is_full: Callable[[HostName], bool] = lambda _: False,
    have_shown: HostSet | None = None,
) -> Iterator[Follower]:
    """Give a started service that follows these hosts, and stop it afterwards."""
    said: queue.SimpleQueue[Observation] = queue.SimpleQueue()
    service = OvsdbService(
        said.put, client_tls=client_tls, patience=patience, is_full=is_full, have_shown=have_shown
    )
    service.set_hosts(hosts)
    service.start()
    try:
        yield Follower(service, said)
    finally:
        service.stop()


@contextlib.contextmanager
def database_host(folder: Path, system_id: str | None) -> Iterator[DatabaseHost]:
    """Give a host whose database runs, and end it afterwards."""
    host = DatabaseHost(folder, system_id)
    try:
        host.start()
        yield host
    finally:
        host.stop()
