"""The ``mn`` commands of README.md and docs/lab.md, as they are written there, with the controller."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from topologies.frames import Capture

from support.asked import is_in_force
from support.documents import ROOT, blocks, commands
from support.private_lab import Mininet, PrivateLab, private_lab

pytestmark = pytest.mark.net

ZONEWALL = str(ROOT / ".venv" / "bin" / "zonewall")
README = "Run your own Mininet topology"
FABRIC = "Mininet"
OWN = "A topology of your own"
PINGS = 240


def reach(directory: Path, names: Sequence[str]) -> dict[tuple[str, str], bool]:
    """Return who may ping whom by ``zonewall check``."""
    pairs = [(a, b) for a in names for b in names if a != b]
    probes = [{"src": f"acme/{a}", "dst": f"acme/{b}", "proto": "icmp", "icmp": [8, 0]} for a, b in pairs]
    text = "\n".join(map(json.dumps, probes))
    done = subprocess.run(
        [ZONEWALL, "check", str(directory), "--probes", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    verdicts = [json.loads(line)["verdict"] for line in done.stdout.splitlines()]
    return {pair: verdict == "allow" for pair, verdict in zip(pairs, verdicts, strict=True)}


def pinged(text: str) -> dict[tuple[str, str], bool]:
    """Return who could ping whom, from what Mininet's ``pingall`` prints."""
    rows = {
        words[0]: words[2:]
        for words in map(str.split, text.splitlines())
        if len(words) > 2 and words[1] == "->"
    }
    names = list(rows)
    others = {name: [one for one in names if one != name] for name in names}
    return {
        (source, name): answered == name
        for source, row in rows.items()
        for name, answered in zip(others[source], row, strict=True)
    }


def all_in_force(status: dict[str, Any], links: int) -> bool:
    """Say whether every bridge enforces, every machine has its place, and so many links are found."""
    return (
        is_in_force(status)
        and all(one["places"] and one["places"][0]["state"] == "active" for one in status["endpoints"])
        and len(status["links"]) == links
    )


def test_the_readmes_two_commands_enforce_their_policy_between_two_hosts(tmp_path: Path) -> None:
    [script] = commands("README.md", README)
    with private_lab(tmp_path) as (lab, stack):
        # Without the prefix, as where an Open vSwitch service runs; the lab stands for that machine.
        mininet = Mininet(lab, [*prefix(), "bash", "-c", script])
        stack.callback(mininet.kill)
        lab.wait_for(lambda status: all_in_force(status, links=1))
        expected = reach(ROOT / "policies" / "mininet-two-hosts", ("h1", "h2", "h3", "h4"))
        assert set(expected.values()) == {True, False}
        assert pinged(mininet.do("pingall")) == expected
        mininet.do("h1 python3 -m http.server 80 >/dev/null 2>&1 &")
        mininet.do("h1 python3 -m http.server 22 >/dev/null 2>&1 &")
        for port, wanted in ((80, True), (22, False)):
            for machine in ("h3", "h4"):
                assert calls(mininet, machine, "10.0.0.1", port) is wanted, (machine, port)
        assert 'vlan-limit="2"' in lab.shell("ovs-vsctl get Open_vSwitch . other_config")
        assert set(lab.shell("ovs-vsctl --bare --columns=fail_mode list bridge").split()) == {"secure"}
        full = mininet.do("h1 ping -c1 -M do -s 1472 10.0.0.3")
        assert "1 received" in full, "a frame of full size has room for the link's tags"
        assert mininet.leave() == 0
        assert lab.shell("ovs-vsctl list-br; ip -br link | grep -v ^lo || :") == ""


def prefix() -> list[str]:
    """Return the words that run a command in the test's lab."""
    return [str(ROOT / "topologies" / "in_private_ovs.py")]


def calls(mininet: Mininet, machine: str, address: str, port: int) -> bool:
    """Say whether a machine gets a web page."""
    late = time.monotonic() + 20
    while True:
        answer = mininet.do(
            f"{machine} curl -s -m 2 -o /dev/null -w '%{{http_code}} ' http://{address}:{port}/"
        )
        # 7: refused at once, which a server that is still starting does, too.
        if "200" in answer or time.monotonic() > late or port != 80:
            return "200" in answer


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PrivateLab, Mininet]]:
    """Give the fabric of docs/lab.md, in force, and see that nothing of it is left."""
    run, mn = commands("docs/lab.md", FABRIC)[0].splitlines()
    lab = PrivateLab(tmp_path_factory.mktemp("fabric"))
    controller = lab.start_plain("bash", "-c", f"exec {run.removesuffix('&')}")
    try:
        mininet = Mininet(lab, ["bash", "-c", f"exec {mn}"])
        try:
            lab.wait_for(lambda status: all_in_force(status, links=4))
            yield lab, mininet
            assert mininet.leave() == 0
        finally:
            mininet.kill()
    finally:
        status = controller.end()
    assert status == 0, controller.output.read_text()
    assert lab.leftovers() == []


def test_in_the_fabric_everybody_reaches_whom_the_policy_says(fabric: tuple[PrivateLab, Mininet]) -> None:
    _, mininet = fabric
    expected = reach(ROOT / "policies" / "mininet-fabric", tuple(f"h{number}" for number in range(1, 7)))
    assert pinged(mininet.do("pingall")) == expected


def test_what_is_sent_to_all_arrives_exactly_once_though_there_is_a_loop(
    fabric: tuple[PrivateLab, Mininet],
) -> None:
    _, mininet = fabric
    listeners = {name: Capture(mininet.host(name), f"{name}-eth0") for name in ("h2", "h3", "h4", "h5", "h6")}
    sender = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "s.setsockopt(0, 33, 1); s.bind(('10.0.0.1', 5353));"  # 33: IP_MULTICAST_TTL
        "s.sendto(b'zonewall-once', ('224.0.0.251', 5353))"
    )
    mininet.do(f'h1 ip route add 224.0.0.0/4 dev h1-eth0; python3 -c "{sender}"')
    late = time.monotonic() + 30
    while time.monotonic() < late and not all(map(copies, listeners.values())):
        time.sleep(0.02)
    time.sleep(0.5)  # what circles would come again within this time
    counts = {name: copies(capture) for name, capture in listeners.items()}
    for capture in listeners.values():
        capture.close()
    assert counts == dict.fromkeys(listeners, 1)


def copies(capture: Capture) -> int:
    """Return how many copies of the datagram were caught."""
    return sum(b"zonewall-once" in frame for frame in capture.drain())


def test_the_core_bridge_knows_bridges_and_no_machine(fabric: tuple[PrivateLab, Mininet]) -> None:
    lab, _ = fabric
    core = lab.shell("ovs-ofctl -O OpenFlow15 --no-names dump-flows c9")
    edge = lab.shell("ovs-ofctl -O OpenFlow15 --no-names dump-flows s1")
    for number in range(1, 7):
        assert f"10.0.0.{number}" not in core
        assert f"52:54:00:00:00:0{number}" not in core
        assert f"10.0.0.{number}" in edge
    assert core.count("\n") < edge.count("\n") / 3


def test_when_a_link_is_cut_traffic_goes_the_other_way(
    fabric: tuple[PrivateLab, Mininet],
) -> None:
    lab, mininet = fabric
    assert used(lab, mininet, "h1", "10.0.0.3") == {"s1-eth4": False, "s1-eth3": True}
    mininet.begin(f"h1 ping -c{PINGS} -i 0.025 -W 1 10.0.0.3")
    time.sleep(0.7)
    lab.shell("ip link set dev s1-eth3 down")
    said = mininet.finish().split()
    answered = [int(word.partition("=")[2]) for word in said if word.startswith("icmp_seq=")]
    assert answered[:5] == [1, 2, 3, 4, 5]
    assert answered[-5:] == list(range(PINGS - 4, PINGS + 1)), "it goes on after the cut"
    assert used(lab, mininet, "h1", "10.0.0.3") == {"s1-eth4": True, "s1-eth3": False}
    lab.shell("ip link set dev s1-eth3 up")
    lab.wait_for(lambda status: all_in_force(status, links=4))
    assert used(lab, mininet, "h1", "10.0.0.3") == {"s1-eth4": False, "s1-eth3": True}


def used(lab: PrivateLab, mininet: Mininet, machine: str, address: str) -> dict[str, bool]:
    """Return over which of s1's links five echo requests went; all of them are answered."""
    before = sent(lab)
    said = mininet.do(f"{machine} ping -c5 -i 0.05 -W 1 {address}")
    assert "5 received" in said, said
    return {port: count - before[port] >= 5 for port, count in sent(lab).items()}


def sent(lab: PrivateLab) -> dict[str, int]:
    """Return how many frames s1 has sent on its links: to s2 (s1-eth3) and to the core (s1-eth4)."""
    ports = ("s1-eth3", "s1-eth4")
    text = lab.shell("".join(f"cat /sys/class/net/{port}/statistics/tx_packets\n" for port in ports))
    return dict(zip(ports, map(int, text.split()), strict=True))


def test_an_interrupted_mn_takes_its_own_things_away_and_nobody_elses(tmp_path: Path) -> None:
    _, mn = commands("README.md", README)[0].splitlines()
    # Mininet's own clean-up removes /tmp/*.log and ends every process that is called `mininet:` something.
    with private_lab(tmp_path) as (lab, stack), NamedTemporaryFile(dir="/tmp", suffix=".log") as file:
        other = lab.start_plain("bash", "-c", "exec -a mininet:other sleep 600")
        stack.callback(other.end)
        started = lab.start("bash", "-c", f"exec {mn} --test pingall")
        started.wait_for_output("Waiting for switches to connect")
        assert lab.shell("ovs-vsctl list-br") == "s1\ns2\n"
        started.signal_group(signal.SIGINT)
        started.process.wait(30)
        assert "Keyboard Interrupt" in started.output.read_text()
        assert lab.shell("ovs-vsctl list-br; ip -br link | grep -v ^lo || :") == ""
        assert other.process.poll() is None
        assert Path(file.name).exists()


def test_a_topology_of_ones_own_works_as_the_document_says(tmp_path: Path) -> None:
    python, yaml, script = blocks("docs/lab.md", OWN)
    (tmp_path / "my_topology.py").write_text(python.text)
    (tmp_path / "my-lab").mkdir()
    (tmp_path / "my-lab" / "policies.yaml").write_text(yaml.text)
    lab = PrivateLab(tmp_path)
    run, mn = script.text.splitlines()
    controller = lab.start_plain("bash", "-c", f"exec {run.removesuffix('&')}")
    try:
        done = subprocess.run(
            ["bash", "-c", mn],
            cwd=tmp_path,
            env=lab.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "0% dropped (2/2 received)" in done.stdout + done.stderr
    finally:
        controller.end()
    assert lab.leftovers() == []
