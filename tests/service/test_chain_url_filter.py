"""A transparent proxy that filters URLs (squid): what it refuses is refused, and nobody gets around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from topologies.lab import Machine
from topologies.probes import fetch, serve_files
from topologies.url_filter import UrlFilter

from support.chain_site import FUNCTIONS, arrived, through, wait_until_away
from support.raw_probes import address_of
from support.service_frames import SYN, gather, listening, send, tcp, transport
from support.service_site import ServiceSite

pytestmark = pytest.mark.net
SERVERS = ("a2", "b2")


@dataclass(frozen=True)
class Web:
    """The site, and the proxy in its way."""

    site: ServiceSite
    url: UrlFilter

    @property
    def machines(self) -> dict[str, Machine]:
        return self.site.machines


@pytest.fixture(scope="module")
def web(appliances: ServiceSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The site with squid beside hv1's machines, and web servers on both hosts; only squid may reach them."""
    site = appliances
    folder = tmp_path_factory.mktemp("www")
    (folder / "allowed").write_text("what the shop sells\n")
    (folder / "forbidden").write_text("what nobody may see\n")
    proxy = site.machine("proxy", "hv2", 9)
    clients = [site.machines[name] for name in ("a1", "b1")]
    with ExitStack() as stack:
        url = UrlFilter(proxy, site.hosts["hv1"], "url", "10.0.0.250", clients, "^/forbidden")
        stack.callback(url.squid.stop, 9)
        for name in SERVERS:
            stack.callback(serve_files(site.machines[name], folder, 80).stop)
        site.write_inventory(
            **{"service-functions": {**FUNCTIONS, "url": {"kind": "one-armed", "probe": "10.0.0.250"}}}
        )
        site.policy(
            {"from": "proxy", "to": list(SERVERS), "services": ["tcp/80"], "action": "allow"},
            {**through("url"), "to": list(SERVERS)},
        )
        yield Web(site, url)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("client", ["a1", "b1"])
def test_what_the_proxy_allows_arrives_and_what_it_refuses_is_answered_with_its_page(
    web: Web, client: str, server: str
) -> None:
    ends = web.machines[client], web.machines[server]
    assert fetch(ends[0], f"{address_of(ends[1], 4)}/allowed") == ("200", "what the shop sells\n")
    status, page = fetch(ends[0], f"{address_of(ends[1], 4)}/forbidden")
    assert status == "403"
    assert "ERR_ACCESS_DENIED" in page
    assert "squid" in page
    assert "what nobody may see" not in page


def test_nothing_of_a_client_reaches_the_server_but_what_the_proxy_fetches_under_its_own_name(
    web: Web,
) -> None:
    a1, server = web.machines["a1"], web.machines["b2"]
    with listening(server) as (arriving,):
        assert fetch(a1, f"{address_of(server, 4)}/allowed")[0] == "200"
        send(a1, [tcp(a1, server, 80, SYN, sport=50900), tcp(a1, server, 80, 0x10, sport=50901, seq=9)])
        frames = gather(arriving, lambda frame: transport(frame)[0] == 6, 4)
    assert {frame[26:30] for frame in frames} == {bytes([10, 0, 0, 9])}


def test_with_the_proxy_away_there_is_no_way_around_it(web: Web) -> None:
    a1, server = web.machines["a1"], web.machines["a2"]
    web.url.set_alive(alive=False)
    try:
        wait_until_away(web.site, "url")
        with listening(server) as (arriving,):
            send(a1, [tcp(a1, server, 80, SYN, sport=50902)])
            assert arrived(arriving, lambda frame: transport(frame)[0] == 6) == []
    finally:
        web.url.set_alive(alive=True)
    wait_until_away(web.site)
    assert fetch(a1, f"{address_of(server, 4)}/allowed")[0] == "200"


def test_the_proxys_leg_cannot_ask_the_server_in_a_clients_name(web: Web) -> None:
    a1, server = web.machines["a1"], web.machines["b2"]
    forged = [tcp(a1, server, 80, SYN, sport=50903), tcp(a1, server, 80, SYN, sport=50904, family=6)]
    with listening(server) as (arriving,):
        web.url.send(forged)
        assert arrived(arriving, lambda frame: frame in forged) == []
