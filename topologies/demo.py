"""``make demo``: zonewall on two hosts, step by step, every claim really probed; exits 1 where one fails.

``Demo`` has the lab and the steps, ``perform`` runs them and counts what did not hold.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from topologies.lab import Appliance, Host, Lab, LabError, Machine, Process, Sink
from topologies.probes import EchoServer, Pings, Stream, fetch, probe_ping, probe_tcp, serve_files
from topologies.url_filter import UrlFilter

ROOT = Path(__file__).resolve().parents[1]
POLICIES = ROOT / "policies" / "demo"
ZONEWALL = ROOT / ".venv" / "bin" / "zonewall"
SETTLE_S = 30.0
PORTS = (22, 23, 80, 5432, 8000)
SERVICES = ("tcp/80", "tcp/5432", "tcp/8000", "tcp/22", "tcp/23", "ping")
INTERRUPTED = 130
MACHINES = {
    "acme-web1": ("hv1", "52:54:00:00:00:01", ("10.0.0.1/24", "fd00::1/64")),
    "acme-batch1": ("hv1", "52:54:00:00:00:04", ("10.0.0.4/24", "fd00::4/64")),
    "acme-web2": ("hv2", "52:54:00:00:00:02", ("10.0.0.2/24", "fd00::2/64")),
    "acme-db1": ("hv2", "52:54:00:00:00:03", ("10.0.0.3/24", "fd00::3/64")),
    "blue-app1": ("hv1", "52:54:00:00:00:01", ("10.0.0.1/24", "fd00::1/64")),
    "blue-app2": ("hv2", "52:54:00:00:00:02", ("10.0.0.2/24", "fd00::2/64")),
}


PROXY = ("acme-proxy1", "52:54:00:00:00:09", ("10.0.0.9/24",))
SITE = 8080
PAGES = {"catalogue": "a shirt, a hat", "admin": "the keys to the shop"}


class DemoError(Exception):
    """A step did not show what it claims."""


class Demo:
    """The lab, the controller in it, and the steps."""

    def __init__(self, lab: Lab, stack: ExitStack, policies: Path = POLICIES) -> None:
        """Build two hosts with everything that policies/demo names; the controller reads ``policies``."""
        self.lab = lab
        self.policies = policies
        self.hosts: dict[str, Host] = {name: lab.host(name) for name in ("hv1", "hv2")}
        lab.link(self.hosts["hv1"], self.hosts["hv2"], names=("fab0", "fab0"))
        self.ids: Sink = lab.sink("ids", self.hosts["hv2"], "ids0")
        self.waf: Appliance = lab.appliance("waf", self.hosts["hv1"])
        self.waf.nft("table bridge waf {\n chain pass {\n type filter hook forward priority 0;\n }\n}\n")
        self.state = Path(lab.ledger.folder) / "zonewall"
        self.machines: dict[str, Machine] = {}
        self.failed: list[str] = []
        self.controller: Process | None = None
        self._stack = stack

    def start(self) -> None:
        """Start the controller, point the hosts at it, plug machines in, wait until all is in force."""
        say("Two hypervisor hosts, each with its own Open vSwitch, joined by a cable; an IDS on hv2, a web")
        say("application firewall (waf) on hv1. The controller starts, the hosts are pointed at it:")
        address = self.lab.controller_address
        self.controller = self.lab.controller.start(
            str(ZONEWALL), "run", str(self.policies), "--state", str(self.state), "--allow-plain",
            "--openflow", f"tcp:{address}:6653", "--ovsdb", f"tcp:{address}:6640",
        )  # fmt: skip
        for host in self.hosts.values():
            manager, controller = f"tcp:{address}:6640", f"tcp:{address}:6653"
            show(f"{host.short_name}# ovs-vsctl set-manager {manager} -- set-controller br-int {controller}")
            host.set_manager(f"tcp:{address}:6640")
            host.set_controller(f"tcp:{address}:6653")
        for name, (home, mac, ips) in MACHINES.items():
            machine = self.lab.machine(name, mac, ips)
            machine.plug(self.hosts[home])
            server = EchoServer(machine, PORTS)
            server.start()
            self._stack.callback(server.stop)
            self.machines[name] = machine
        self.url_filter()
        say("Six virtual machines appear; blue's two have the same addresses and MACs as acme's.")
        document = self.wait_for(
            lambda status: (
                all(bridge["state"] == "in-force" for bridge in status["bridges"])
                and all(
                    one["places"] and one["places"][0]["state"] == "active" for one in status["endpoints"]
                )
                and len(status["links"]) == 1
            )
        )
        for bridge in document["bridges"]:
            show(f"{bridge['bridge']}: {bridge['state']}, {bridge['flows']} flows")

    def url_filter(self) -> None:
        """Start squid beside hv1's bridge, and the site that it stands before on web1."""
        proxy = self.lab.machine(*PROXY)
        proxy.plug(self.hosts["hv1"])
        clients = [self.machines["acme-batch1"]]
        UrlFilter(proxy, self.hosts["hv1"], "url", "10.0.0.250", clients, "^/admin", SITE)
        folder = Path(self.lab.ledger.folder) / "site"
        folder.mkdir()
        for name, text in PAGES.items():
            (folder / name).write_text(text + "\n")
        serve_files(self.machines["acme-web1"], folder, SITE)

    def status(self) -> dict[str, Any]:
        """Return what the controller says, {} while it does not."""
        words = ("status", "--state", str(self.state), "--output", "json")
        if not (self.state / "control.sock").exists():
            return {}
        text = self.lab.controller.run("sh", "-c", '"$@" || true', "sh", str(ZONEWALL), *words)
        return dict(json.loads(text)) if text.strip() else {}

    def wait_for(self, condition: Any) -> dict[str, Any]:
        """Return the first status that fulfils the condition."""
        deadline = time.monotonic() + SETTLE_S
        document: dict[str, Any] = {}
        while time.monotonic() < deadline:
            if self.controller is None or not self.controller.running():
                raise DemoError("the controller has ended")
            document = self.status()
            if document and condition(document):
                return document
            time.sleep(0.2)
        raise DemoError(f"not as it should be after {SETTLE_S:.0f} s: {json.dumps(document)[:2000]}")

    def expect(self, fine: bool, claim: str) -> None:
        """Print a claim and whether it held."""
        print(f"    {'ok ' if fine else 'NOT'}  {claim}", flush=True)
        if not fine:
            self.failed.append(claim)

    # Steps

    def matrix(self) -> None:
        """Probe every pair, within the tenants and across."""
        say("From each machine (web1 is in zone web, and so on) to each other one of its tenant. allow: it")
        say("was answered; reject: it was told no; drop: silence. `policies/demo/` says why, rule by rule:")
        names = list(MACHINES)
        pairs = [(a, b) for a in names for b in names if a != b]
        self.compare([(a, b) for a, b in pairs if a.split("-")[0] == b.split("-")[0]])
        self.across()

    def compare(self, pairs: list[tuple[str, str]]) -> None:
        """Probe pairs and services for real, and hold the outcome against ``zonewall check``."""
        wanted = self.verdicts(pairs)
        width = max(map(len, MACHINES)) + 1
        print("    " + " " * (2 * width + 3) + "".join(f"{service:>12}" for service in SERVICES))
        wrong = 0
        for source, destination in pairs:
            got = self.probe_all(source, destination)
            expected = [wanted[source, destination, service] for service in SERVICES]
            wrong += sum(one != other for one, other in zip(got, expected, strict=True))
            cells = [one if one == other else f"{one} (!)" for one, other in zip(got, expected, strict=True)]
            line = "".join(f"{cell:>12}" for cell in cells)
            print(f"    {source:>{width}} → {destination:<{width}}{line}", flush=True)
        count = len(pairs) * len(SERVICES)
        self.expect(wrong == 0, f"all {count} probes fared as `zonewall check` says they should")

    def across(self) -> None:
        """Show that a tenant with the same addresses is another world."""
        say("blue's app1 calls 10.0.0.3, which is acme's db1, at the port where db1 answers acme's web1:")
        with self.machines["acme-db1"].capture() as capture:
            inside = probe_tcp(self.machines["acme-web1"], "10.0.0.3", 5432)
            across = probe_tcp(self.machines["blue-app1"], "10.0.0.3", 5432)
            arrived = [frame for frame in capture.drain() if is_syn(frame, 5432)]
        show(f"acme/web1: {inside}; blue/app1, with the same address and MAC: {across}")
        show(f"calls that arrived at db1: {len(arrived)}")
        fine = (inside, across, len(arrived)) == ("allow", "drop", 1)
        self.expect(fine, "tenants with the same addresses never meet")

    def probe_all(self, source: str, destination: str) -> list[str]:
        """Return what becomes of each service, all tried at once."""
        with ThreadPoolExecutor(len(SERVICES)) as pool:
            return list(pool.map(lambda service: self.probe(source, destination, service), SERVICES))

    def probe(self, source: str, destination: str, service: str) -> str:
        """Return what really becomes of a connection."""
        address = MACHINES[destination][2][0].split("/")[0]
        if service == "ping":
            return probe_ping(self.machines[source], address)
        return probe_tcp(self.machines[source], address, int(service.split("/")[1]))

    def verdicts(self, pairs: list[tuple[str, str]]) -> dict[tuple[str, str, str], str]:
        """Return what ``zonewall check`` says of every pair and service."""
        keys = [(a, b, service) for a, b in pairs for service in SERVICES]
        lines = []
        for source, destination, service in keys:
            probe: dict[str, Any] = {"src": source.replace("-", "/"), "dst": destination.replace("-", "/")}
            if service == "ping":
                probe |= {"proto": "icmp", "icmp": [8, 0]}
            else:
                probe |= {"proto": "tcp", "dport": int(service.split("/")[1])}
            lines.append(json.dumps(probe))
        text = self.lab.controller.run(
            str(ZONEWALL), "check", str(self.policies), "--probes", "-", stdin="\n".join(lines) + "\n"
        )
        answers = [json.loads(line)["verdict"] for line in text.splitlines()]
        # A rejected echo request is answered by an ICMP error, which is no echo reply.
        return {
            key: "drop" if key[2] == "ping" and answer == "reject" else answer
            for key, answer in zip(keys, answers, strict=True)
        }

    def intrusion(self) -> None:
        """Send something suspicious and count it at the IDS, though it was refused."""
        say("batch1 knocks ten times at web1's SSH port. Refused, and yet the IDS on the other host sees it")
        say("(`mirrors: refused-at-web, when: dropped`):")
        with self.ids.capture() as capture:
            got = {probe_tcp(self.machines["acme-batch1"], "10.0.0.1", 22, 0.3) for _ in range(10)}
            time.sleep(0.5)
            seen = [frame for frame in capture.drain() if is_syn(frame, 22)]
        show(f"what became of batch1's calls: {', '.join(sorted(got))}; calls on the IDS port: {len(seen)}")
        self.expect("allow" not in got and len(seen) >= 10, "the IDS sees the attack that was blocked")
        with self.ids.capture() as capture:
            fine = probe_tcp(self.machines["acme-web1"], "10.0.0.3", 5432)
            time.sleep(0.3)
            copies = [frame for frame in capture.drain() if is_syn(frame, 5432)]
        show(f"web1 → db1:5432: {fine}; the call on the IDS port: {len(copies)} time(s)")
        self.expect(
            fine == "allow" and len(copies) == 1, "allowed traffic that a rule mirrors is copied exactly once"
        )

    def redirect(self) -> None:
        """Show that web → db passes through the appliance, and only with its consent."""
        say("`app-db: from web, to db, tcp/5432, through: [waf]`: the connection goes through the appliance")
        say("on hv1, both directions, though db1 is on hv2:")
        with self.waf.capture() as capture:
            before = probe_tcp(self.machines["acme-web1"], "10.0.0.3", 5432)
            time.sleep(0.2)
            passed = len([frame for frame in capture.drain() if frame[12:14] == b"\x08\x00"])
        show(f"web1 → db1:5432: {before}; IPv4 frames seen at the appliance: {passed}")
        self.expect(before == "allow" and passed >= 4, "the allowed connection passed through the appliance")
        self.waf.nft("add rule bridge waf pass ip saddr 10.0.0.1 tcp dport 5432 counter drop")
        blocked = probe_tcp(self.machines["acme-web1"], "10.0.0.3", 5432)
        other = probe_tcp(self.machines["acme-web2"], "10.0.0.3", 5432)
        self.waf.nft("flush chain bridge waf pass")
        again = probe_tcp(self.machines["acme-web1"], "10.0.0.3", 5432)
        show(
            f"the appliance refuses web1: {blocked}; web2 meanwhile: {other}; the appliance relents: {again}"
        )
        self.expect(
            (blocked, other, again) == ("drop", "allow", "allow"),
            "what the appliance refuses does not arrive",
        )

    def filtered(self) -> None:
        """Show that a proxy in the way refuses a request, and that there is no way around it."""
        say("`browse: from batch, to web, tcp/8080, through: [url]`: what batch1 asks of web1's site goes to")
        say("a proxy on hv1 (squid) that shows nobody /admin. batch1 asks web1, and knows of no proxy:")
        with self.machines["acme-web1"].capture() as capture:
            got = {name: fetch(self.machines["acme-batch1"], f"10.0.0.1:{SITE}/{name}") for name in PAGES}
            time.sleep(0.2)
            callers = {frame[26:30] for frame in capture.drain() if is_syn(frame, SITE)}
        for name, (code, page) in got.items():
            show(f"GET /{name}: {code}, {'the page' if PAGES[name] in page else 'without the page'}")
        allowed, refused = got["catalogue"], got["admin"]
        self.expect(
            allowed == ("200", PAGES["catalogue"] + "\n"), "the proxy lets an allowed request through"
        )
        said_no = refused[0] == "403" and "squid" in refused[1] and PAGES["admin"] not in refused[1]
        self.expect(said_no, "a request that the proxy refuses is refused, with the proxy's own page")
        alone = callers == {bytes([10, 0, 0, 9])}
        self.expect(alone, "nothing of batch1's reached web1 itself: the proxy called in its own name")

    def migration(self) -> None:
        """Move web1 to the other host with a connection open."""
        web1, batch1 = self.machines["acme-web1"], self.machines["acme-batch1"]
        say("batch1 (hv1) has a connection open to web1:80, a round trip every 5 ms; web1 moves from hv1 to")
        say("hv2, as QEMU does it: port there, policy there, hand-over, RARP announcements, old port gone:")
        stream = Stream(batch1, "10.0.0.1", 80)
        stream.start()
        pings = Pings(self.machines["acme-web2"], "10.0.0.1")
        time.sleep(0.5)
        web1.migrate(self.hosts["hv2"], copy_s=0.5, ready=lambda: self.wait_for(self.is_waiting))
        time.sleep(1.0)
        gap = stream.stop()
        silence_ms = pings.stop()
        place = next(e for e in self.status()["endpoints"] if e["endpoint"] == "acme/web1")["places"]
        show(f"placement now: {', '.join(one['bridge'] + ' ' + one['state'] for one in place)}")
        show(
            f"{gap.round_trips} round trips; the longest pause of the connection was {gap.longest_ms:.0f} ms"
        )
        show("(TCP waits 200 ms before it repeats a packet lost in the hand-over); of a ping every 20 ms")
        show(f"from web2: {silence_ms:.0f} ms, hand-over included")
        self.expect(not gap.broken and gap.round_trips > 100, "the connection survived the move")
        self.expect(
            [(one["bridge"], one["state"]) for one in place] == [("hv2/br-int", "active")],
            "traffic for web1 is delivered on hv2 and nowhere else",
        )
        self.expect(probe_tcp(batch1, "10.0.0.1", 22, 0.4) != "allow", "its policy is the same there")

    @staticmethod
    def is_waiting(status: dict[str, Any]) -> bool:
        """Say whether web1 has a second place where its policy waits for it."""
        places = next(one for one in status["endpoints"] if one["endpoint"] == "acme/web1")["places"]
        return {one["state"] for one in places} == {"active", "pending"}

    def controller_gone(self) -> None:
        """Stop the controller: the bridges go on."""
        assert self.controller is not None
        code = self.controller.stop()
        web2 = self.machines["acme-web2"]
        same = (probe_tcp(web2, "10.0.0.1", 80), probe_tcp(web2, "10.0.0.1", 22, 0.4))
        show(f"the controller was stopped (exit {code}); web2 → web1:80 {same[0]}, web2 → web1:22 {same[1]}")
        self.expect(code == 0 and same == ("allow", "drop"), "bridges go on enforcing without a controller")


def is_syn(frame: bytes, port: int) -> bool:
    """Say whether an untagged Ethernet frame is an IPv4 SYN to a port."""
    if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != 6:
        return False
    start = 14 + (frame[14] & 0xF) * 4
    return int.from_bytes(frame[start + 2 : start + 4], "big") == port and frame[start + 13] & 0x12 == 2


def say(text: str) -> None:
    """Print a sentence."""
    print(f"  {text}", flush=True)


def show(text: str) -> None:
    """Print what was seen."""
    print(f"    {text}", flush=True)


Step = tuple[str, Callable[[], None]]


def steps_of(demo: Demo) -> Sequence[Step]:
    """Return what is shown, in order."""
    return (
        ("The policy comes into force", demo.start),
        ("Who reaches whom: every pair really probed", demo.matrix),
        ("Suspicious traffic arrives at the IDS", demo.intrusion),
        ("A redirect through an appliance", demo.redirect),
        ("A proxy that refuses a request", demo.filtered),
        ("A live migration with a connection open", demo.migration),
        ("The controller goes away", demo.controller_gone),
    )


def perform(policies: Path = POLICIES, choose: Callable[[Demo], Sequence[Step]] = steps_of) -> int:
    """Run the steps in a lab of their own; return 1 if any did not show what it claims."""
    with Lab() as lab, ExitStack() as stack:
        demo = Demo(lab, stack, policies)
        try:
            for number, (title, act) in enumerate(choose(demo), 1):
                print(f"\n{number}. {title}", flush=True)
                act()
        except (DemoError, LabError, OSError) as error:
            demo.expect(False, str(error) or type(error).__name__)
        if demo.failed and demo.controller is not None:
            print(f"\nThe controller's last words:\n{demo.controller.output()[-4000:]}")
    held = f"{len(demo.failed)} claim(s) did not hold." if demo.failed else "All of it held."
    print(f"\n{held} The lab is gone.")
    return 1 if demo.failed else 0


def main() -> int:
    """Return the exit status of ``make demo``."""
    if os.geteuid() != 0:
        print("demo: network namespaces need root; run it as: sudo make demo")
        return 1
    try:
        return perform()
    except KeyboardInterrupt:
        print("\nInterrupted. The lab is gone.")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
