"""An Open vSwitch of one's own: a database and a user-space switch, with their files in one folder."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from topologies.ledger import Ledger
from topologies.namespace import LabError, Namespace, Process, command, start_process

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
STARTING_S = 20.0


def environment(folder: Path) -> dict[str, str]:
    """Return the variables by which ovs-vsctl, ovs-appctl and Mininet find the switch of a folder."""
    return dict.fromkeys(("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"), str(folder))


class PrivateSwitch:
    """An ``ovsdb-server`` and an ``ovs-vswitchd``; no namespace can hold two (each makes ``ovs-netdev``)."""

    def __init__(self, ledger: Ledger, folder: Path, namespace: Namespace | None, system_id: str) -> None:
        self.folder = folder
        self.env = environment(folder)
        self.db = f"unix:{folder}/db.sock"
        self._ledger = ledger
        self._inside = () if namespace is None else ("ip", "netns", "exec", namespace.name)
        folder.mkdir()
        command("ovsdb-tool", "create", str(folder / "conf.db"), SCHEMA)
        self._database = self._start_database()
        words = ["--no-wait", "init", "--", "set", "Open_vSwitch", ".", f"external_ids:system-id={system_id}"]
        # Service VLANs carry a tag within a tag; the switch looks at one only unless told.
        self.vsctl(*words, f"external_ids:hostname={system_id}", "other_config:vlan-limit=2")
        self._vswitchd = self._start_vswitchd()

    def vsctl(self, *words: str) -> str:
        """Run ovs-vsctl(8), wait until the switch has taken it over, and return what it prints."""
        return command("ovs-vsctl", "--timeout=30", f"--db={self.db}", *words, env=self.env).strip()

    def ofctl(self, *words: str, stdin: str = "") -> str:
        """Run ovs-ofctl(8) with OpenFlow 1.5 and return what it prints."""
        return command("ovs-ofctl", "-O", "OpenFlow15", *words, env=self.env, stdin=stdin)

    def appctl(self, *words: str) -> str:
        """Run ovs-appctl(8) against the switch and return what it prints."""
        return command("ovs-appctl", "-t", str(self.folder / "vswitchd.ctl"), *words, env=self.env)

    def link_control(self) -> None:
        """Let ``ovs-appctl`` and ``ovs-ofctl`` reach the switch without being told where."""
        (self.folder / f"ovs-vswitchd.{self.pid}.ctl").symlink_to("vswitchd.ctl")

    @property
    def pid(self) -> int:
        """Return the number of the switch's process."""
        return int((self.folder / "ovs-vswitchd.pid").read_text())

    def restart_vswitchd(self) -> None:
        """End the switch and start it anew: flows and connections are gone, the database is not."""
        self.stop_vswitchd()
        self._vswitchd = self._start_vswitchd()

    def stop_vswitchd(self) -> None:
        """End the switch; as it is the data path in user space, no frame moves any more."""
        self._vswitchd.stop()
        (self.folder / "vswitchd.ctl").unlink(missing_ok=True)

    def restart_database(self) -> None:
        """End the database server and start it anew."""
        self._database.stop()
        (self.folder / "db.sock").unlink(missing_ok=True)
        self._database = self._start_database()

    def _start_database(self) -> Process:
        remotes = (f"punix:{self.folder}/db.sock", "db:Open_vSwitch,Open_vSwitch,manager_options")
        keys = ("private_key", "certificate", "ca_cert")
        return self._start(
            self.folder / "db.sock",
            "ovsdb-server",
            str(self.folder / "conf.db"),
            *(f"--remote={remote}" for remote in remotes),
            # The paths that `ovs-vsctl set-ssl` wrote, when it did.
            *(f"--{key.replace('_', '-')}=db:Open_vSwitch,SSL,{key}" for key in keys),
        )

    def _start_vswitchd(self) -> Process:
        control = self.folder / "vswitchd.ctl"
        options = (f"--unixctl={control}", "--disable-system", "-vconsole:warn")
        return self._start(control, "ovs-vswitchd", self.db, *options)

    def _start(self, until: Path, program: str, *words: str) -> Process:
        pidfile = f"--pidfile={self.folder}/{program}.pid"
        process = start_process(
            self._ledger, *self._inside, program, *words, "--no-chdir", pidfile, env=self.env
        )
        late = time.monotonic() + STARTING_S
        while not _listens(until):
            if not process.running() or time.monotonic() > late:
                raise LabError(f"{program} did not start: {process.output().strip()}")
            time.sleep(0.01)
        return process


def _listens(path: Path) -> bool:
    """Say whether a Unix socket is served; its file is there a moment before."""
    with socket.socket(socket.AF_UNIX) as caller:
        try:
            caller.connect(str(path))
        except OSError:
            return False
    return True
