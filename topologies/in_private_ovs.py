#!/usr/bin/python3
"""Run a command with an Open vSwitch of its own, in a network namespace of its own, as root.

    topologies/in_private_ovs.py .venv/bin/zonewall run policies/mininet-two-hosts &
    topologies/in_private_ovs.py mn --custom topologies/two_hosts.py --topo two_hosts ...

Commands that are run so at the same time share one lab (``--lab NAME`` or ``ZONEWALL_LAB`` makes others):
the first starts it, the last one to end takes it away, with all that the commands left running in it.
``ovs-vsctl``, ``mn`` and ``zonewall`` find it by their environment. Needs only Python and Open vSwitch.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

sys.path.append(str(Path(__file__).resolve().parents[1]))

from topologies.ledger import MARK, Ledger
from topologies.namespace import LabError, Namespace
from topologies.vswitch import PrivateSwitch, environment

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,15}")
SWITCH = "ovs"
ENDING = (signal.SIGTERM, signal.SIGHUP)


def main(words: Sequence[str]) -> int:
    """Run the command that the words end with and return its exit status; 125 when there is no lab for it."""
    lab, command = parsed(words)
    for number in ENDING:
        signal.signal(number, leave)
    try:
        ledger = Ledger(shared=lab, build=build)
    except (LabError, OSError) as error:
        print(f"in_private_ovs: {error}", file=sys.stderr)
        return 125
    try:
        return run(ledger, command)
    finally:
        for number in (signal.SIGINT, *ENDING):
            signal.signal(number, signal.SIG_IGN)
        ledger.undo()


def leave(number: int, _frame: FrameType | None) -> None:
    """End as the shell says that a signal ends a program."""
    raise SystemExit(128 + number)


def parsed(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the lab's name and the command; anything else ends the program with a line that says how."""
    parser = argparse.ArgumentParser(prog="in_private_ovs.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lab", default=os.environ.get("ZONEWALL_LAB", "private"), help="which lab to share")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="and its arguments")
    said = parser.parse_args(words)
    if not NAME.fullmatch(said.lab):
        parser.error(f"{said.lab!r} cannot name a lab: small letters, digits and hyphens, at most 16")
    if not said.command:
        parser.error("say what to run, such as: in_private_ovs.py ovs-vsctl show")
    if os.geteuid() != 0:
        parser.error("namespaces need root; run it with sudo")
    return said.lab, said.command


def build(ledger: Ledger) -> None:
    """Make the namespace and start the switch in it."""
    namespace = Namespace(ledger, SWITCH)
    PrivateSwitch(ledger, ledger.folder / SWITCH, namespace, "private").link_control()


def run(ledger: Ledger, command: Sequence[str]) -> int:
    """Run a command in the lab; a signal that ends this program ends the command first."""
    folder = ledger.folder / SWITCH
    more = {MARK: ledger.token, "ZONEWALL_STATE": str(ledger.folder / "zonewall"), **environment(folder)}
    inside = ("ip", "netns", "exec", f"{ledger.token}-{SWITCH}")
    # What the terminal sends (Ctrl-C) reaches the command by itself; only this program must not end by it.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    child = subprocess.Popen([*inside, *command], env={**os.environ, **more})

    def pass_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    for number in ENDING:
        signal.signal(number, pass_on)
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
