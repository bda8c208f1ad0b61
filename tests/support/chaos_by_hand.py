"""What somebody does by hand to a bridge: with ovs-ofctl(8) to its flows, with ovs-vsctl(8) to itself."""

from __future__ import annotations

import re

from support.chaos import TWIN, Chaos
from support.shop import hasten
from support.site import OPENFLOW


def delete_flows(chaos: Chaos) -> None:
    host = chaos.some_host()
    chaos.disturbed.add(host.short_name)
    flows = host.dump_flows()
    table = chaos.random.choice([f"table={number}" for number in range(0, 40)] + [""] * 4)
    if chaos.random.random() < 0.5 and flows:
        line = chaos.random.choice(flows).split(" actions=")[0]
        match = line.partition(", ")[2]
        host.ofctl("--strict", "del-flows", "br-int", match.replace(" ", ""))
    else:
        host.ofctl("del-flows", "br-int", table)


def change_flow(chaos: Chaos) -> None:
    """Have a flow of ours do something else: nothing."""
    host = chaos.some_host()
    chaos.disturbed.add(host.short_name)
    if flows := [line for line in host.dump_flows() if "reset_counts" not in line]:
        head = chaos.random.choice(flows).split(" actions=")[0].partition(", ")[2].replace(" ", "")
        host.ofctl("--strict", "mod-flows", "br-int", f"{head},actions=drop")


def add_flow(chaos: Chaos) -> None:
    """Add flows with a stranger's cookie, and with one of zonewall's, that take nobody's packets."""
    host = chaos.some_host()
    ours = [line.split(",")[0] for line in host.dump_flows() if line.startswith("cookie=")]
    cookie = chaos.random.choice((*ours, "cookie=0x77")) if ours else "cookie=0x77"
    n = chaos.random.randrange(1000)
    host.ofctl("add-flow", "br-int", f"{cookie},table={n % 5},priority={n},in_port=999,actions=drop")


def groups_and_meters(chaos: Chaos) -> None:
    """Remove groups and meters, with which their flows go, or add or change some."""
    host, number = chaos.some_host(), chaos.random.randrange(9000, 9999)
    chaos.disturbed.add(host.short_name)
    what = chaos.random.choice(("group", "meter"))
    if chaos.random.random() < 0.6:
        host.ofctl(f"del-{what}s", "br-int")
    elif what == "group":
        host.ofctl("add-group", "br-int", f"group_id={number},type=all,bucket=actions=drop")
    else:
        meters = re.findall(r"meter=(\d+)", host.ofctl("dump-meters", "br-int"))
        verb, at = ("mod", chaos.random.choice(meters)) if meters and number % 2 else ("add", number)
        host.ofctl(f"{verb}-meter", "br-int", f"meter={at},pktps,burst,band=type=drop,rate=9,burst_size=9")


def limit_tables(chaos: Chaos) -> None:
    """Have the switch refuse more flows in a table than it holds now, or not even those."""
    host, table = chaos.some_host(), chaos.random.randrange(40)
    most = (f"flow_limit={chaos.random.choice((1, 20, 100))}", "overflow_policy=refuse")
    create = ("--", "--id=@t", "create", "Flow_Table", *most)
    host.vsctl(*create, "--", "set", "bridge", "br-int", f"flow_tables:{table}=@t")
    chaos.disturbed.add(host.short_name)  # what is refused is closed
    chaos.later(lambda: host.vsctl("clear", "bridge", "br-int", "flow_tables"))


def remake_bridge(chaos: Chaos) -> None:
    """Replace a bridge by one that is empty, with the same ports, in one transaction."""
    host = chaos.some_host()
    ports = host.vsctl("list-ports", "br-int").split()
    ids = {port: host.vsctl("get", "interface", port, "external_ids") for port in ports}
    if any(port.startswith(TWIN) for port in ports):
        return
    chaos.disturbed.add(host.short_name)
    words = ["del-br", "br-int", "--", "add-br", "br-int", "--", "set", "bridge", "br-int"]
    words += ["datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow15"]
    words += ["other_config:disable-in-band=true", f"other_config:datapath-id={host.datapath_ids['br-int']}"]
    for port in ports:
        words += ["--", "add-port", "br-int", port, "--", "set", "interface", port, "type=system"]
        words += [f"external_ids={ids[port]}"]
    words += ["--", "set-controller", "br-int", f"tcp:{chaos.site.lab.controller_address}:{OPENFLOW}"]
    host.vsctl(*words)
    hasten(host)


def rename_datapath(chaos: Chaos) -> None:
    """Give a bridge another datapath id than the inventory says, which the controller sets right."""
    chaos.some_host().vsctl("set", "bridge", "br-int", "other_config:datapath-id=00000000000000ff")


def forget_ids(chaos: Chaos) -> None:
    """Have a wanderer's port say no more whose it is, or that it is not there yet, and then as before."""
    name, machine = chaos.wanderer()
    host = machine.at
    if host is None or host.short_name in chaos.stopped:
        return
    ids = {"iface-id": name, "attached-mac": machine.mac, "vm-id": name}
    said = [f'external_ids:{key}="{value}"' for key, value in ids.items()]
    if chaos.random.random() < 0.5:
        host.vsctl("clear", "interface", name, "external_ids")
    else:
        host.vsctl("set", "interface", name, "external_ids:iface-status=inactive")

    def tell_again() -> None:
        if machine.at is host:
            host.vsctl("clear", "interface", name, "external_ids", "--", "set", "interface", name, *said)

    chaos.for_a_while(tell_again)
