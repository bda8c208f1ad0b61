"""What can happen to a fleet: each a function of the chaos that it is done to, with what undoes it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from topologies.lab import Host

from support.chaos import TWIN, WANDERERS, Chaos, cable, cables_of
from support.chaos_by_hand import (
    add_flow,
    change_flow,
    delete_flows,
    forget_ids,
    groups_and_meters,
    limit_tables,
    remake_bridge,
    rename_datapath,
)
from support.shop import hasten
from support.site import OPENFLOW, OVSDB, copy_tree
from support.steady import before_others

NONSENSE = "nonsense"

# Documents


def edit(chaos: Chaos) -> None:
    """Change rules or zones that do not concern the shop's traffic."""
    pick = chaos.random.random()
    rules, zones = chaos.wishes.rules, chaos.wishes.zones
    if pick < 0.4 or not rules:
        rules.insert(chaos.random.randrange(len(rules) + 1), new_rule(chaos))
    elif pick < 0.6:
        rules.pop(chaos.random.randrange(len(rules)))
    elif pick < 0.7:
        chaos.random.shuffle(rules)
    elif pick < 0.85:
        zones[f"z{chaos.random.randrange(4)}"] = {
            "labels": {"role": chaos.random.choice(("web", "db", "roam"))}
        }
    else:
        used = {rule[end] for rule in rules for end in ("from", "to")}
        for name in [name for name in zones if name not in used][:1]:
            del zones[name]
    del rules[6:]
    chaos.put()


def new_rule(chaos: Chaos) -> dict[str, Any]:
    pick, number = chaos.random, chaos.random.randrange(1000)
    while any(one["name"] == f"x{number}" for one in chaos.wishes.rules):
        number += 1
    zones = ["web", "db", "roam", "other", *chaos.wishes.zones]
    chaos.wishes.zones.setdefault("roam", {"labels": {"role": "roam"}})
    rule = {
        "name": f"x{number}", "from": pick.choice(zones), "to": pick.choice(zones),
        "services": [f"tcp/{pick.randrange(100, 200)}", f"udp/{pick.randrange(100, 200)}"],
        "action": pick.choice(("allow", "allow", "drop", "reject", "pass")),
    }  # fmt: skip
    if rule["action"] == "allow" and pick.random() < 0.4:
        rule["limit"] = f"{pick.randrange(100, 900)}pps"
    if rule["action"] == "allow" and pick.random() < 0.3:
        rule["on-change"] = pick.choice(("drain 1", "cut"))
    return rule


def write_nonsense(chaos: Chaos) -> None:
    text = chaos.random.choice(
        ("kind: [", "kind: tenant\ntenant: acme\n", "kind: tenant\ntenant: b\ntiers: [{x: 1}]\n")
    )
    chaos.site.put(**{NONSENSE: text})
    chaos.later(lambda: (chaos.site.directory / f"{NONSENSE}.yaml").unlink(missing_ok=True))


def leave_out(chaos: Chaos) -> None:
    """Take a machine out of the inventory, or a host, or put it in again."""
    name = chaos.random.choice((*WANDERERS, *list(chaos.site.hosts)[1:]))
    chaos.wishes.left_out ^= {name}
    if host := chaos.site.hosts.get(name):  # when it is back, its machines are put in force there anew
        chaos.disturbed |= {name} | cables_of(host)
    chaos.put()

    def back() -> None:
        chaos.wishes.left_out.discard(name)
        chaos.put()

    chaos.later(back)


def exchange(chaos: Chaos) -> None:
    """Have a policy so large that it is staged, or another one, or none any more."""
    chaos.wishes.large = chaos.random.randrange(3)
    chaos.put()


def apply(chaos: Chaos) -> None:
    """Put a copy of the documents on trial, and confirm it or do not; in the end the first are followed."""
    trial = chaos.site.folder / "trial"
    copy_tree(chaos.site.directory, trial)
    (trial / f"{NONSENSE}.yaml").unlink(missing_ok=True)
    with suppress(subprocess.TimeoutExpired):
        state = ("--state", str(chaos.site.state))
        chaos.site.command("apply", str(trial), "--confirm", "2s", *state)
        if chaos.random.random() < 0.5:
            chaos.site.command("confirm", *state)
            chaos.at_last(lambda: follow_own(chaos))


def follow_own(chaos: Chaos) -> None:
    """Have the first documents followed again."""
    deadline = time.monotonic() + 60
    own, state = str(chaos.site.directory), ("--state", str(chaos.site.state))
    while chaos.site.command("apply", own, *state).returncode:
        assert time.monotonic() < deadline, chaos.site.log()[-3000:]
        chaos.revive()
        time.sleep(0.3)


# Machines


def plug(chaos: Chaos) -> None:
    """Plug in a machine that is nowhere, or unplug it, also for a moment only."""
    _, machine = chaos.wanderer()
    if machine.at is not None and machine.at.short_name in chaos.stopped:
        return
    if machine.at is not None:
        machine.unplug()
    if chaos.random.random() < 0.7:
        machine.plug(chaos.some_host())


def move(chaos: Chaos) -> None:
    _, machine = chaos.wanderer()
    if machine.at is None or chaos.stopped:
        return
    there = chaos.other_host(machine.at)
    machine.migrate(there, copy_s=chaos.random.random() * 0.3, linger_s=chaos.random.random() * 0.5)


def move_on(chaos: Chaos) -> None:
    """Move a machine to a second host and on to a third, or back, while its old ports are still there."""
    _, machine = chaos.wanderer()
    first = machine.at
    if first is None or chaos.stopped:
        return
    second = chaos.other_host(first)
    third = chaos.other_host(second)
    for there in (second, third):
        if not machine.is_plugged(there):
            machine.plug(there)
        time.sleep(chaos.random.random() * 0.3)
        machine.hand_over(there)
        machine.announce(there)
        time.sleep(chaos.random.choice((0.0, 0.01, 0.1, 1.0)) * chaos.random.random())
    left = [host for host in (first, second) if host is not third]
    chaos.random.shuffle(left)
    for host in left:
        machine.unplug(host)
        time.sleep(chaos.random.random() * 0.3)


def move_from_afar(chaos: Chaos) -> None:
    """Move a machine away from a host that the controller cannot reach."""
    name, machine = chaos.wanderer()
    origin = machine.at
    if origin is None or chaos.stopped:
        return
    chaos.log[-1] += f" {name} from {origin.short_name}"
    origin.set_management(up=False)
    time.sleep(chaos.random.random())
    there = chaos.other_host(origin)
    machine.migrate(there, copy_s=chaos.random.random() * 0.3, linger_s=chaos.random.random())
    chaos.for_a_while(lambda: origin.set_management(up=True))


def swap_numbers(chaos: Chaos) -> None:
    """Have machines' ports change their OpenFlow numbers, to those that others had a moment before."""
    host = chaos.some_host()
    there = [name for name in WANDERERS if chaos.site.machines[name].at is host]
    numbers = [host.ofport(name) for name in there]
    if there:
        request(host, dict(zip(there, chaos.random.sample(range(100, 120), len(there)), strict=True)))
        request(host, dict(zip(there, [*numbers[1:], numbers[0]], strict=True)))


def renumber_fabric(chaos: Chaos) -> None:
    """Have a fabric port change its OpenFlow number, often while nobody listens."""
    host = chaos.some_host()
    port = chaos.random.choice(list(host.roles["br-int"]))
    chaos.disturbed.add(cable(host.short_name, port.removeprefix("to-")))
    request(host, {port: chaos.random.randrange(200, 300)})


def request(host: Host, numbers: dict[str, int]) -> None:
    """Ask for ports' OpenFlow numbers, all in one transaction."""
    words = [("--", "set", "interface", name, f"ofport_request={n}") for name, n in numbers.items()]
    host.vsctl(*(word for one in words for word in one))


def twice(chaos: Chaos) -> None:
    """Have a second port say that it is a wanderer's."""
    name, machine = chaos.wanderer()
    host, twin = chaos.some_host(), f"{TWIN}{chaos.random.randrange(10000)}"
    if machine.at is not None:
        ids = (f"external_ids:iface-id={name}", f"external_ids:attached-mac={machine.mac}")
        host.vsctl("add-port", "br-int", twin, "--", "set", "interface", twin, "type=internal", *ids)
        chaos.later(lambda: host.vsctl("--if-exists", "del-port", twin))


def isolate(chaos: Chaos) -> None:
    """Quarantine a wanderer or release it."""
    name, _ = chaos.wanderer()
    verb = "release" if name in chaos.truth.quarantined else "quarantine"
    done = chaos.site.command(verb, name.replace("-", "/"), "--state", str(chaos.site.state))
    if done.returncode == 0:
        chaos.truth.quarantined ^= {name}


# Processes


def restart_switch(chaos: Chaos) -> None:
    host = chaos.some_host()
    chaos.disturbed.add(host.short_name)
    host.switch.restart_vswitchd()
    before_others(host.switch.pid)


def stop_switch(chaos: Chaos) -> None:
    """Stop the switch's process for a while, longer than a controller waits for an answer or not."""
    host = chaos.some_host()
    name, pid = host.short_name, host.switch.pid
    if chaos.stopped:
        return
    chaos.disturbed.add(name)
    chaos.stopped.add(name)
    os.kill(pid, signal.SIGSTOP)

    def resume() -> None:
        chaos.stopped.discard(name)
        os.kill(pid, signal.SIGCONT)

    if chaos.random.random() < 0.6:
        time.sleep(chaos.random.random() * 2)
        resume()
    else:
        chaos.later(resume)


def restart_database(chaos: Chaos) -> None:
    """End the host's database and start it anew: its switch stands still while it reads it again."""
    host = chaos.some_host()
    chaos.disturbed.add(host.short_name)
    host.switch.restart_database()


def kill_controller(chaos: Chaos) -> None:
    """End the controller, often right after an edit, and start it again."""
    if chaos.random.random() < 0.6:
        edit(chaos)
        time.sleep(chaos.random.random() * 0.4)
    controller = chaos.site.controller
    if controller is None or not controller.running():
        chaos.revive()
        return
    controller.stop(chaos.random.choice((signal.SIGKILL, signal.SIGTERM)))
    if chaos.random.random() < 0.8:
        time.sleep(chaos.random.choice((0.0, 0.3)))
        chaos.site.start(*chaos.site.words)


def forget_places(chaos: Chaos) -> None:
    """Have the controller start without what it remembered of places, and so of who was isolated."""
    controller = chaos.site.controller
    if controller is not None:
        controller.stop(signal.SIGKILL)
        (chaos.site.state / "places.json").unlink(missing_ok=True)
        chaos.truth.quarantined.clear()
        chaos.revive()


def stop_controller(chaos: Chaos) -> None:
    """Have the controller stand still, so long that it is given up or not, and go on."""
    controller = chaos.site.controller
    if controller is not None and controller.running():
        os.killpg(controller.pid, signal.SIGSTOP)
        time.sleep(chaos.random.random() * 5)
        os.killpg(controller.pid, signal.SIGCONT)


# Networks


def cut(chaos: Chaos) -> None:
    """Drop what a host says to the controller, or hears from it, or both; of one port or of all."""
    host = chaos.some_host()
    name = f"cut{chaos.random.randrange(100000)}"
    hook = chaos.random.choice(("input", "output"))
    port, end = chaos.random.choice((OPENFLOW, OVSDB)), "sport" if hook == "input" else "dport"
    what = chaos.random.choice((f"tcp {end} {port}", f"{'iifname' if hook == 'input' else 'oifname'} mgmt0"))
    chain = f"chain c {{\n type filter hook {hook} priority 0; {what} drop\n }}"
    host.run("nft", "-f", "-", stdin=f"table inet {name} {{\n {chain}\n}}\n")
    chaos.for_a_while(lambda: host.run("nft", "delete", "table", "inet", name))


def unplug_management(chaos: Chaos) -> None:
    host = chaos.some_host()
    host.set_management(up=False)
    chaos.for_a_while(lambda: host.set_management(up=True))


def connect_anew(chaos: Chaos) -> None:
    """Have a bridge or a database leave the controller, and come again at once."""
    host, address = chaos.some_host(), chaos.site.lab.controller_address
    what = chaos.random.choice(("bridge", "bridge without any", "database"))
    if what == "database":
        host.vsctl("del-manager")
        host.set_manager(f"tcp:{address}:{OVSDB}")
    elif what == "bridge":
        host.set_controller(f"tcp:{address}:1")
        host.set_controller(f"tcp:{address}:{OPENFLOW}")
    else:  # a bridge that has no controller any more loses its flows
        chaos.disturbed.add(host.short_name)
        host.vsctl("del-controller", "br-int")
        host.set_controller(f"tcp:{address}:{OPENFLOW}")
    hasten(host)


def pull_cable(chaos: Chaos) -> None:
    """Pull a cable between hosts at one of its ends."""
    host = chaos.random.choice(list(chaos.site.hosts.values()))
    other = chaos.other_host(host).short_name
    port = f"to-{other}"
    chaos.disturbed.add(cable(host.short_name, other))
    chaos.site.lab.cut(host, port)
    chaos.for_a_while(lambda: chaos.site.lab.cut(host, port, up=True))


FAULTS: dict[Callable[[Chaos], None], int] = {
    edit: 8,
    exchange: 2,
    write_nonsense: 2,
    leave_out: 3,
    apply: 1,
    plug: 5,
    move: 3,
    move_on: 2,
    move_from_afar: 1,
    swap_numbers: 3,
    renumber_fabric: 1,
    twice: 2,
    isolate: 3,
    forget_ids: 1,
    delete_flows: 4,
    change_flow: 3,
    add_flow: 3,
    groups_and_meters: 2,
    limit_tables: 2,
    remake_bridge: 1,
    rename_datapath: 1,
    restart_switch: 2,
    stop_switch: 2,
    restart_database: 2,
    kill_controller: 4,
    stop_controller: 1,
    forget_places: 1,
    cut: 4,
    unplug_management: 2,
    connect_anew: 3,
    pull_cable: 1,
}
"""How often each is done beside the others."""

QUICK: dict[Callable[[Chaos], None], int] = dict.fromkeys(
    (edit, exchange, plug, swap_numbers, isolate, delete_flows, change_flow, add_flow, groups_and_meters,
     restart_switch, kill_controller, connect_anew), 1
)  # fmt: skip
"""Those after which all is well again within moments."""

BY_NAME = {fault: often for fault, often in FAULTS.items() if fault not in (forget_ids, rename_datapath)}
"""Those that matter where no database is connected."""
