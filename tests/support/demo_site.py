"""What the shared lab of the end-to-end tests holds: two tenants, sinks and appliances, on two hosts."""

from __future__ import annotations

from typing import Any

from topologies.lab import Appliance, Lab, Sink

from support.raw_probes import MARKER_PORT
from support.site import Site, places_in
from zonewall.api.control import look

MACHINES = {
    "acme-web1": ("hv1", "52:54:00:00:00:01", "10.0.0.1", "fd00::1", "web"),
    "acme-web2": ("hv2", "52:54:00:00:00:02", "10.0.0.2", "fd00::2", "web"),
    "acme-db1": ("hv2", "52:54:00:00:00:03", "10.0.0.3", "fd00::3", "db"),
    "acme-batch1": ("hv1", "52:54:00:00:00:04", "10.0.0.4", "fd00::4", "batch"),
    "acme-db2": ("hv1", "52:54:00:00:00:05", "10.0.0.5", "fd00::5", "db"),
    "blue-app1": ("hv1", "52:54:00:00:00:01", "10.0.0.1", "fd00::1", "app"),
    "blue-app2": ("hv2", "52:54:00:00:00:02", "10.0.0.2", "fd00::2", "app"),
}
OTHER = {"hv1": "hv2", "hv2": "hv1"}
"""The other one of the lab's two hosts."""

PING = ["icmp/echo-request", "icmpv6/echo-request"]
MARKER = {"name": "marker", "from": "any", "to": "any", "services": [f"udp/{MARKER_PORT}"], "action": "allow"}


def acme(*more: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """Return acme's policy, with more rules after the marker's and before the others."""
    rules = [
        MARKER,
        *more,
        _rule("shop", "any", "web", ["tcp/80", "tcp/8000-8099", "udp/5000-5009", "sctp/2905", *PING]),
        _rule("watched", "web", "db", ["tcp/5432", "udp/5432"], mirror=["ids1", "ids2"]),
        _rule("by-waf1", "web", "db", ["tcp/6001"], through=["waf1"]),
        _rule("by-waf2", "web", "db", ["tcp/6002"], through=["waf2"]),
        _rule("by-both", "web", "db", ["tcp/6003"], through=["waf1", "waf2"]),
        {"name": "no-batch", "from": "batch", "to": "db", "action": "reject"},
    ]
    zones = {role: {"labels": {"role": role}} for role in ("web", "db", "batch")}
    tier = {"name": "application", "rules": rules}
    return {"kind": "tenant", "tenant": "acme", "zones": zones, "tiers": [tier], **keys}


def blue() -> dict[str, Any]:
    """Return blue's policy: its machines may do more among themselves than acme's."""
    rules = [MARKER, _rule("peers", "app", "self", ["tcp/9000-9099", "udp/9000", *PING])]
    zones = {"app": {"labels": {"role": "app"}}}
    tier = {"name": "application", "rules": rules}
    return {"kind": "tenant", "tenant": "blue", "zones": zones, "tiers": [tier]}


def inventory(site: Site, **keys: Any) -> dict[str, Any]:
    """Return the inventory of the lab as it is."""
    endpoints = []
    for name, (_, mac, ipv4, ipv6, role) in MACHINES.items():
        tenant, _, short = name.partition("-")
        endpoint = {"name": short, "tenant": tenant, "iface-id": name, "mac": mac}
        endpoints.append(endpoint | {"ips": [ipv4, ipv6], "labels": {"role": role}})
    return {
        "kind": "inventory",
        "hosts": site.lab.inventory_hosts(),
        "endpoints": endpoints,
        "mirror-targets": {"ids1": {}, "ids2": {}},
        "service-functions": {
            name: {"kind": "bump-in-the-wire", "when-down": "drop"} for name in ("waf1", "waf2")
        },
        "admission": {"unknown": "quarantine"},
        **keys,
    }


class SharedSite(Site):
    """A site with sinks and appliances."""

    sinks: dict[str, Sink]
    appliances: dict[str, Appliance]

    def until(self, places: dict[str, str], endpoint: str = "acme/web1") -> None:
        """Wait until an endpoint has these places, by host, and nothing is about to change."""
        wanted = {f"{host}/br-int": state for host, state in places.items()}
        self.wait_for(lambda status: places_in(status, endpoint) == wanted and self.is_settled(status))

    def plug_anew(self, name: str) -> None:
        """Take a machine's port away and give it another one there.

        So it has no connections that began elsewhere: none is taken up any more, and no flows are for that.
        """
        machine = self.machines[name]
        host = machine.at
        assert host is not None
        machine.unplug(host)
        self.wait_for(lambda _: self.places(name.replace("-", "/", 1)) == {})
        machine.plug(host)
        self.settle()
        assert not self.takes_up()

    def takes_up(self) -> bool:
        """Say whether there is an endpoint whose connections may be taken up in their middle."""
        known = look(self.state / "control.sock", "in-force")["placement"]["placements"]
        return any(one["midstream"] for one in known)


def build_site(lab: Lab) -> SharedSite:
    """Build the lab, write its documents, start the controller and wait until all is in force."""
    site = SharedSite(lab)
    site.hosts = {name: lab.host(name) for name in ("hv1", "hv2")}
    hv1, hv2 = site.hosts.values()
    lab.link(hv1, hv2, names=("fab0", "fab0"))
    site.sinks = {"ids1": lab.sink("ids1", hv1, "ids1"), "ids2": lab.sink("ids2", hv2, "ids2")}
    site.appliances = {"waf1": lab.appliance("waf1", hv1), "waf2": lab.appliance("waf2", hv2)}
    site.put(inventory=inventory(site), acme=acme(), blue=blue())
    site.start()
    site.join(hv1, hv2)
    for name, (host, mac, ipv4, ipv6, _) in MACHINES.items():
        site.machine(name, host, mac, f"{ipv4}/24", f"{ipv6}/64")
    site.wait_for(lambda status: len(status["links"]) == 1 and site.is_settled(status))
    return site


def _rule(name: str, source: str, destination: str, services: list[str], **keys: Any) -> dict[str, Any]:
    base = {"name": name, "from": source, "to": destination, "services": services, "action": "allow"}
    return base | keys
