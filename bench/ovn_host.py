"""OVN of a measurement's own: its databases, ``ovn-northd`` and ``ovn-controller`` on a private switch."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from support.dummy import DummySwitch, running_dummy_switch

PROGRAMS = ("ovn-nbctl", "ovn-sbctl", "ovn-appctl", "ovn-northd", "ovn-controller")
BRIDGE = "br-int"
SCHEMAS = Path("/usr/share/ovn")
STARTING_S = 20.0
SETTINGS = (
    # The switch gives a bundle up that gets nothing for 10 s, unless it is told more: a busy ovn-controller
    # pauses longer, and then begins anew for ever, or ends with a segmentation fault.
    "other_config:bundle-idle-timeout=600",
    "external_ids:ovn-remote-probe-interval=0",
    "external_ids:ovn-openflow-probe-interval=0",
    "external_ids:ovn-encap-type=geneve",
    "external_ids:ovn-encap-ip=127.0.0.1",
)


class OvnHost:
    """One chassis with everything that is OVN's; commands end by a deadline, or with a daemon that ends.

    Attributes:
        switch: the switch that ``ovn-controller`` programs.
    """

    def __init__(self, folder: Path, switch: DummySwitch, longest_s: float) -> None:
        """Work in an empty folder, and give up after some seconds."""
        self.switch = switch
        self._folder, self._deadline = folder, time.monotonic() + longest_s
        self._env = {**os.environ, "OVS_RUNDIR": str(switch.run_dir)}
        self._env |= dict.fromkeys(("OVN_RUNDIR", "OVN_DBDIR", "OVN_LOGDIR"), str(folder))
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._controller: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start all of it, and wait until the chassis is known."""
        for name in ("nb", "sb"):
            database = str(self._folder / f"{name}.db")
            self.run("ovsdb-tool", "create", database, str(SCHEMAS / f"ovn-{name}.ovsschema"))
            socket = self._folder / f"{name}.sock"
            self._spawn("ovsdb-server", database, f"--remote=punix:{socket}")
            self._until(f"{name}.sock appears", socket.exists)
        remote = f"external_ids:ovn-remote=unix:{self._folder}/sb.sock"
        self.switch.vsctl("set", "Open_vSwitch", ".", remote, *SETTINGS)
        self.switch.add_bridge(BRIDGE)
        databases = (f"--ovn{name}-db=unix:{self._folder}/{name}.sock" for name in ("nb", "sb"))
        self._spawn("ovn-northd", *databases)
        self.start_controller()
        words = ("ovn-sbctl", self._limit(), f"--db=unix:{self._folder}/sb.sock", "list", "chassis")
        self._until("the chassis registers", lambda: self.run(*words))

    def start_controller(self) -> None:
        """Start ``ovn-controller``."""
        self._controller = self._spawn("ovn-controller", self.switch.db)

    def stop_controller(self) -> None:
        """Let ``ovn-controller`` end as for a restart: what it installed stays."""
        assert self._controller is not None
        control = f"{self._folder}/ovn-controller.{self._controller.pid}.ctl"
        self.run("ovn-appctl", self._limit(), "-t", control, "exit", "--restart")
        self._controller.wait(max(1.0, self._deadline - time.monotonic()))
        self._daemons.remove(self._controller)

    def close(self) -> None:
        """End everything that was started; safe to call twice."""
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()

    def nbctl(self, *words: str) -> str:
        """Run ovn-nbctl(8) on the northbound database."""
        return self.run("ovn-nbctl", self._limit(), f"--db=unix:{self._folder}/nb.sock", *words).strip()

    def vsctl(self, *words: str) -> str:
        """Run ovs-vsctl(8) on the switch's database, as long as it takes."""
        with self.vsctl_running(*words) as command:
            return self.output(command).strip()

    def vsctl_running(self, *words: str) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
        """Give ovs-vsctl(8) while it runs, for ``output``."""
        return self._running("ovs-vsctl", self._limit(), f"--db={self.switch.db}", *words)

    def flows(self) -> int:
        """Return how many flows the bridge has."""
        text = self.run("ovs-ofctl", "-O", "OpenFlow15", "dump-aggregate", self.switch.mgmt(BRIDGE))
        return int(text.rpartition("flow_count=")[2].split()[0])

    def resident_mib(self) -> float:
        """Return what ``ovn-controller`` has in memory."""
        assert self._controller is not None
        status = Path(f"/proc/{self._controller.pid}/status").read_text(encoding="utf-8")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def run(self, *words: str) -> str:
        """Run a command to its end.

        Raises:
            ChildProcessError: a daemon has ended meanwhile; the command could wait for ever.
            TimeoutError: the deadline has passed.
            subprocess.CalledProcessError: it failed.
        """
        with self._running(*words) as command:
            return self.output(command)

    @contextlib.contextmanager
    def _running(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Give a command that runs; it is ended if it has not ended by itself."""
        with subprocess.Popen(
            words, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as command:
            try:
                yield command
            finally:
                command.kill()

    def output(self, command: subprocess.Popen[str]) -> str:
        """Return what a running command prints until its end; raises as ``run`` does."""
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                out, errors = command.communicate(timeout=1)
                break
            self._check()
        if command.returncode:
            raise subprocess.CalledProcessError(command.returncode, str(command.args), out, errors)
        return out

    def _limit(self) -> str:
        """Return the option by which a command ends by itself, should this process be killed."""
        return f"--timeout={max(1, int(self._deadline - time.monotonic())) + 5}"

    def _check(self) -> None:
        for daemon in self._daemons:
            if daemon.poll() is not None:
                raise ChildProcessError(f"{_name(daemon)} ended with {daemon.returncode}")
        if time.monotonic() > self._deadline:
            raise TimeoutError("it took too long")

    def _until(self, what: str, condition: Callable[[], object]) -> None:
        until = time.monotonic() + STARTING_S
        while not condition():
            self._check()
            if time.monotonic() > until:
                raise TimeoutError(f"not in time: {what}")
            time.sleep(0.02)

    def _spawn(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        # setpriv: a measurement that is killed takes its daemons along.
        command = ["setpriv", "--pdeathsig", "KILL", program, *words, "-vconsole:warn"]
        with (self._folder / f"{program}.log").open("ab") as log:
            daemon = subprocess.Popen(
                command,
                env=self._env,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._daemons.append(daemon)
        return daemon


@contextlib.contextmanager
def running_ovn(folder: Path, longest_s: float) -> Iterator[OvnHost]:
    """Give OVN and its switch; both are ended afterwards, whatever happens."""
    (folder / "ovn").mkdir(parents=True)
    with running_dummy_switch(folder / "switch", "hv0") as switch:
        host = OvnHost(folder / "ovn", switch, longest_s)
        try:
            host.start()
            yield host
        finally:
            host.close()


def missing_programs() -> tuple[str, ...]:
    """Return what of OVN is not installed."""
    return tuple(name for name in PROGRAMS if shutil.which(name) is None)


def _name(daemon: subprocess.Popen[bytes]) -> str:
    """Return the program that a daemon is, after the words of setpriv(1)."""
    assert isinstance(daemon.args, list)
    return str(daemon.args[3])
