"""One lab with a controller, two hosts on a fabric, an IDS on each; a test puts its own policy in force."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from topologies.lab import Lab

from support.chain_site import build_appliances
from support.service_site import ServiceSite


@contextlib.contextmanager
def a_site() -> Iterator[ServiceSite]:
    """Machines a1, a2 on hv1, b1, b2 on hv2; an outside network on hv1; mirror targets here and there."""
    with Lab() as lab:
        site = ServiceSite(lab)
        hv1, hv2 = site.host("hv1"), site.host("hv2")
        lab.link(hv1, hv2)
        outside = lab.outside("lan", hv1, role={"role": "uplink", "vlans": {100: "acme"}})
        site.outsides["lan"] = outside
        stranger = lab.machine("stranger", "52:54:00:00:01:01", ["10.0.0.99/24", "fd00::99/64"])
        stranger.plug(outside, tag=100, ids=False)
        site.strangers["stranger"] = stranger
        site.sinks["near"] = lab.sink("near", hv1, "near0")
        site.sinks["far"] = lab.sink("far", hv2, "far0")
        for name, host, number in (("a1", "hv1", 1), ("a2", "hv1", 2), ("b1", "hv2", 3), ("b2", "hv2", 4)):
            site.machine(name, host, number)
        site.inventory["mirror-targets"] = {"near": {}, "far": {}}
        site.start("--events", f"file:{site.events}", "--records", f"file:{site.records}")
        yield site


@pytest.fixture(scope="session")
def site() -> Iterator[ServiceSite]:
    """The site that tests share. Where machines move or a switch restarts a module has ``own_site``.

    For half a minute after that connections of theirs are taken up in their middle: what is no beginning is
    neither rejected nor copied as one.
    """
    with a_site() as site:
        yield site


@pytest.fixture(scope="module")
def own_site() -> Iterator[ServiceSite]:
    """A site like the shared one, for one module."""
    with a_site() as site:
        yield site


@pytest.fixture(scope="session")
def appliances(site: ServiceSite) -> ServiceSite:
    """The site with appliances of every kind; a test's policy says which are used."""
    build_appliances(site)
    return site
