"""OVN itself on the workload of ``compile``, side by side: in run directories of its own.

Where it is not installed (Debian: ``ovn-central``, ``ovn-host``) the figures that were recorded on such a
machine stand in its place, and say so. OVN's times are until ``ovn-nbctl --wait=hv`` returns: in force on the
bridge. Ours are until the bytes for the bridge are there (docs/benchmarks.md).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench.compile import figures_of_one_host
from bench.fleets import one_host
from bench.harness import Figure, Options
from zonewall.policy.model import Configuration, Rule

RECORDED = {
    "full compile": (30_300.0, "ms"),
    "one rule edited": (227.0, "ms"),
    "one endpoint plugged": (494.0, "ms"),
    "flows": (1_049_040.0, "flows"),
}
"""OVN 23.03 on a machine of two cores: full load, one ACL added, one port plugged; and its flows."""

PROGRAMS = (
    "ovn-nbctl",
    "ovn-sbctl",
    "ovn-northd",
    "ovn-controller",
    "ovsdb-server",
    "ovsdb-tool",
    "ovs-vswitchd",
    "ovs-vsctl",
)
LONGEST_S = 600


def figures(options: Options) -> Iterator[Figure]:
    """Yield our figures of OVN's workload, each with OVN's own."""
    ours = figures_of_one_host(options)
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        note = f"OVN is not measured: {', '.join(missing)} not installed; its values are recorded ones"
        theirs = {what: value for what, (value, _) in RECORDED.items()}
    else:
        configuration, _ = one_host()
        try:
            with _Ovn() as ovn:
                theirs = ovn.measure(configuration)
            note = "OVN measured in this run"
        except (subprocess.SubprocessError, OSError) as error:
            why = str(error) if isinstance(error, ChildProcessError) else type(error).__name__
            note = f"OVN did not come through it ({why}); its values are recorded ones"
            theirs = {what: value for what, (value, _) in RECORDED.items()}
    for figure in ours:
        what = figure.name.rpartition(": ")[2]
        if what in theirs:
            scale = 1000.0 if figure.unit == "s" else 1.0
            yield replace(
                figure,
                name=f"ovn/{what}",
                peer="OVN",
                peer_value=theirs[what] / scale,
                target=None,
                note=note,
            )


class _Ovn:
    """Databases, northd, a controller and a switch on the dummy datapath, all of this run's own."""

    def __init__(self) -> None:
        self._dir = Path(tempfile.mkdtemp(prefix="zonewall-ovn-"))
        runs = dict.fromkeys(
            ("OVS_RUNDIR", "OVN_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVN_LOGDIR"), str(self._dir)
        )
        self._env = {**os.environ, **runs}
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> _Ovn:
        ovn = Path(str(shutil.which("ovn-northd"))).parent.parent / "share" / "ovn"
        schemas = {
            "nb": ovn / "ovn-nb.ovsschema",
            "sb": ovn / "ovn-sb.ovsschema",
            "conf": Path("/usr/share/openvswitch/vswitch.ovsschema"),
        }
        try:
            for name, schema in schemas.items():
                self._run("ovsdb-tool", "create", f"{self._dir}/{name}.db", str(schema))
                self._spawn(
                    "ovsdb-server",
                    f"{self._dir}/{name}.db",
                    f"--remote=punix:{self._dir}/{name}.sock",
                    f"--unixctl={self._dir}/{name}.ctl",
                )
                self._await(f"{name}.sock")
            self._vsctl(
                "--no-wait",
                "init",
                "--",
                "set",
                "Open_vSwitch",
                ".",
                "external_ids:system-id=hv0",
                "external_ids:ovn-remote-probe-interval=180000",
                "external_ids:ovn-openflow-probe-interval=180",
                f"external_ids:ovn-remote=unix:{self._dir}/sb.sock",
                "external_ids:ovn-encap-type=geneve",
                "external_ids:ovn-encap-ip=127.0.0.1",
            )
            self._spawn(
                "ovs-vswitchd",
                f"unix:{self._dir}/conf.sock",
                "--enable-dummy=override",
                "--disable-system",
                "--disable-system-route",
                f"--unixctl={self._dir}/switch.ctl",
            )
            self._await("switch.ctl")
            self._vsctl(
                "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=dummy", "fail_mode=secure"
            )
            self._spawn(
                "ovn-northd",
                f"--ovnnb-db=unix:{self._dir}/nb.sock",
                f"--ovnsb-db=unix:{self._dir}/sb.sock",
                f"--unixctl={self._dir}/northd.ctl",
            )
            self._spawn("ovn-controller", f"unix:{self._dir}/conf.sock")
            until = time.monotonic() + 20
            while not self._run(
                "ovn-sbctl", f"--db=unix:{self._dir}/sb.sock", "--bare", "list", "chassis"
            ).strip():
                if time.monotonic() > until:
                    raise TimeoutError("ovn-controller does not register")
                time.sleep(0.05)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
                continue
            process.kill()
            process.wait()
        shutil.rmtree(self._dir, ignore_errors=True)

    def measure(self, configuration: Configuration) -> dict[str, float]:
        """Return OVN's milliseconds and flows under the names of our figures."""
        (tenant,) = configuration.tenants.values()
        members: dict[str, list[str]] = {}
        ports = []
        for endpoint in configuration.inventory.endpoints.values():
            members.setdefault(str((endpoint.labels or {})["zone"]), []).append(endpoint.name)
            ports.append(
                [
                    "add-port",
                    "br-int",
                    endpoint.name,
                    "--",
                    "set",
                    "interface",
                    endpoint.name,
                    "type=dummy",
                    f"external_ids:iface-id={endpoint.name}",
                ]
            )
        self._vsctl(*_joined(ports))
        load: list[list[str]] = [["ls-add", "ls"]]
        for endpoint in configuration.inventory.endpoints.values():
            mac = ":".join(f"{octet:02x}" for octet in endpoint.mac.to_bytes(6, "big"))
            addresses = ["lsp-set-addresses", endpoint.name, f"{mac} {endpoint.ips[0]}"]
            load.append(["lsp-add", "ls", endpoint.name, "--", *addresses])
        load += [["pg-add", zone, *names] for zone, names in members.items()]
        rules = tenant.tiers[0].rules
        load += [_acl(place, rule) for place, rule in enumerate(rules)]
        start = time.perf_counter()
        # In one transaction: what is there by then need not be worked out after each of many.
        self._nbctl("--wait=hv", *_joined(load))
        full = time.perf_counter() - start
        flows = self._flows()
        changed = replace(rules[0], services=(replace(rules[0].services[0], ports=((7, 9),)),))
        one = self._timed("--wait=hv", *_acl(len(rules), changed))
        self._vsctl(
            "add-port",
            "br-int",
            "late",
            "--",
            "set",
            "interface",
            "late",
            "type=dummy",
            "external_ids:iface-id=late",
        )
        port = self._timed(
            "--wait=hv",
            "lsp-add",
            "ls",
            "late",
            "--",
            "lsp-set-addresses",
            "late",
            "52:54:00:ff:00:01 10.0.200.1",
        )
        return {
            "full compile": full * 1e3,
            "one rule edited": one,
            "one endpoint plugged": port,
            "flows": flows,
        }

    def _flows(self) -> float:
        text = self._run("ovs-ofctl", "dump-aggregate", f"unix:{self._dir}/br-int.mgmt")
        return float(text.rpartition("flow_count=")[2].split()[0])

    def _timed(self, *words: str) -> float:
        start = time.perf_counter()
        self._nbctl(*words)
        return (time.perf_counter() - start) * 1e3

    def _nbctl(self, *words: str) -> str:
        return self._run("ovn-nbctl", f"--db=unix:{self._dir}/nb.sock", *words)

    def _vsctl(self, *words: str) -> str:
        return self._run("ovs-vsctl", f"--db=unix:{self._dir}/conf.sock", *words)

    def _run(self, *words: str) -> str:
        with subprocess.Popen(
            words, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as command:
            try:
                return self._output(command, words)
            finally:
                command.kill()

    def _output(self, command: subprocess.Popen[str], words: tuple[str, ...]) -> str:
        """Return what a command prints; a daemon that ends meanwhile would let it wait for ever."""
        until = time.monotonic() + LONGEST_S
        while True:
            try:
                out, errors = command.communicate(timeout=1)
            except subprocess.TimeoutExpired:
                for process in self._processes:
                    if process.poll() is not None:
                        name = Path(str(process.args[0])).name if isinstance(process.args, tuple) else ""
                        raise ChildProcessError(f"{name} ended with {process.returncode}") from None
                if time.monotonic() > until:
                    raise
                continue
            if command.returncode:
                raise subprocess.CalledProcessError(command.returncode, words[0], out, errors)
            return out

    def _spawn(self, *words: str) -> None:
        log = (self._dir / f"{words[0]}.log").open("ab")
        self._processes.append(subprocess.Popen(words, env=self._env, stdout=log, stderr=log))

    def _await(self, name: str) -> None:
        until = time.monotonic() + 20
        while not (self._dir / name).exists():
            if time.monotonic() > until:
                raise TimeoutError(f"{name} does not appear in {self._dir}")
            time.sleep(0.01)


def _joined(calls: list[list[str]]) -> list[str]:
    """Return several calls as one command's words."""
    return [word for call in calls for word in ("--", *call)]


def _acl(place: int, rule: Rule) -> list[str]:
    """Return a rule as an ACL at the destination's port, first rule first."""
    ((first, last),) = rule.services[0].ports
    source, destination = rule.sources[0].zone, rule.destinations[0].zone
    match = (
        f"outport == @{destination} && ip4.src == ${source}_ip4 && tcp.dst >= {first} && tcp.dst <= {last}"
    )
    return ["acl-add", str(destination), "to-lport", str(30_000 - place), match, "allow-related"]
