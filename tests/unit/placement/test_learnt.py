"""Addresses that the inventory does not give: who gets them, who never does, and what they mean."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import pytest
from topologies.frames import gratuitous_arp, unsolicited_advertisement

from support.configurations import configure, endpoint, probe, rule, tenant, tier, zone
from zonewall.intent.semantics import Verdict, verdict
from zonewall.placement.learnt import (
    MOST_GRANTED,
    AddressBook,
    Grounds,
    Learnt,
    Source,
    heard_address,
    laid_over,
)
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Action, Configuration
from zonewall.values.addresses import IpAddress, MacAddress, host_prefix, parse_mac
from zonewall.values.names import EndpointKey, TenantName

ACME = TenantName("acme")
NEW, OLD, VIP_A, VIP_B = (EndpointKey(f"acme/{name}") for name in ("new", "old", "a", "b"))
SHARED = "10.0.0.100/32"


def ip(text: str) -> IpAddress:
    return ipaddress.ip_address(text)


def documents(*, learns: bool = True) -> Configuration:
    """Return new, without an address; old, with 10.0.0.1; a and b share 10.0.0.100; a zone by address."""
    rules = tier("t", rule("in", "lan", "old", services=["tcp/80"]))
    zones = [zone("lan", cidrs=["10.0.0.0/24"]), zone("old", endpoints=["old"])]
    acme = tenant("acme", rules, zones=zones, learn_addresses=learns)
    return configure(
        endpoint(NEW, mac=1),
        endpoint(OLD, "10.0.0.1", mac=2),
        endpoint(VIP_A, "10.0.0.11", mac=3, ranges=[SHARED]),
        endpoint(VIP_B, "10.0.0.12", mac=4, ranges=[SHARED]),
        acme,
    )


def seen(book: AddressBook, *, learns: bool = True) -> Configuration:
    return laid_over(documents(learns=learns), book)


def granted(book: AddressBook, address: str, mac: int = 1, until: float | None = 100.0) -> AddressBook:
    return book.granted(Grounds.of(seen(book)), ACME, MacAddress(mac), ip(address), until)[0]


def heard(book: AddressBook, key: EndpointKey, address: str, *, learns: bool = True) -> AddressBook:
    configuration = seen(book, learns=learns)
    return book.heard(Grounds.of(configuration), configuration.inventory.endpoints[key], ip(address))[0]


def owner(book: AddressBook, address: str) -> EndpointKey | None:
    found = book.entries.get((ACME, ip(address)))
    return None if found is None else found.endpoint


def judged(book: AddressBook) -> Action:
    answer = verdict(seen(book), probe(NEW, OLD, "tcp/80"))
    assert isinstance(answer, Verdict)
    return answer.verdict


def test_a_granted_address_is_the_endpoints_own_and_puts_it_into_zones_by_address() -> None:
    book = granted(AddressBook(), "10.0.0.9")
    assert seen(book).inventory.endpoints[NEW].ips == (ip("10.0.0.9"),)
    assert judged(book) is Action.ALLOW


def test_an_address_that_was_merely_heard_may_be_used_and_puts_its_endpoint_into_no_zone() -> None:
    book = heard(AddressBook(), NEW, "10.0.0.9")
    declared = seen(book).inventory.endpoints[NEW]
    assert (declared.ips, declared.ranges) == ((), (host_prefix(ip("10.0.0.9")),))


def test_a_server_gives_only_to_whom_the_inventory_gives_nothing_and_never_what_it_gives_to_another() -> None:
    assert granted(AddressBook(), "10.0.0.9", mac=2).entries == {}
    assert granted(AddressBook(), "10.0.0.9", mac=77).entries == {}
    grounds = Grounds.of(seen(AddressBook()))
    _, lesson = AddressBook().granted(grounds, ACME, MacAddress(1), ip("10.0.0.1"), None)
    assert "acme/old" in lesson.refused


def test_a_lease_is_renewed_without_a_change_and_ends_when_nobody_renews_it() -> None:
    book = granted(AddressBook(), "10.0.0.9", until=100.0)
    renewed, lesson = book.granted(Grounds.of(seen(book)), ACME, MacAddress(1), ip("10.0.0.9"), 200.0)
    assert (lesson.renewed, lesson.gained) == (True, None)
    assert renewed.over(150.0) == ()
    assert [one.address for one in renewed.over(200.0)] == [ip("10.0.0.9")]


@pytest.mark.parametrize("net", ["10.0.1.0", "fd00::1:0"])
def test_a_server_cannot_give_one_endpoint_ever_more_addresses(net: str) -> None:
    book, first = AddressBook(), ip(net)
    most = MOST_GRANTED[first.version]
    for number in range(most):
        book = granted(book, str(first + number))
    full = seen(book).inventory.endpoints[NEW].ips
    assert full == tuple(first + number for number in range(most))

    grounds = Grounds.of(seen(book))
    more, lesson = book.granted(grounds, ACME, MacAddress(1), first + most, 100.0)
    assert more is book
    assert str(first + most) in lesson.refused
    assert book.granted(grounds, ACME, MacAddress(1), first, 200.0)[1].renewed
    book = book.without([book.of_endpoint(NEW)[0]])
    assert owner(granted(book, str(first + most)), str(first + most)) == NEW


class Counted(dict[EndpointKey, EndpointDeclaration]):
    """Endpoints that count how often all of them are gone through."""

    walks = 0

    def values(self) -> Any:
        type(self).walks += 1
        return super().values()


def test_a_grant_goes_through_no_endpoints_but_when_documents_come() -> None:
    plain = documents()
    counted = replace(plain, inventory=replace(plain.inventory, endpoints=Counted(plain.inventory.endpoints)))
    grounds, book = Grounds.of(counted), AddressBook()
    before = Counted.walks
    for number in range(5):
        book, _ = book.granted(grounds, ACME, MacAddress(1), ip("10.0.1.0") + number, 100.0)
        book.granted(grounds, ACME, MacAddress(77), ip("10.0.1.0"), 100.0)
    assert (before, Counted.walks) == (1, 1)
    assert len(book.of_endpoint(NEW)) == 5


def test_what_one_announces_first_is_its_own_and_what_another_has_never_is() -> None:
    book = heard(AddressBook(), NEW, "10.0.0.9")
    assert owner(book, "10.0.0.9") == NEW
    assert heard(book, NEW, "10.0.0.10").entries == book.entries
    assert owner(heard(AddressBook(), NEW, "10.0.0.1"), "10.0.0.1") is None
    assert owner(heard(AddressBook(), NEW, "10.0.0.100"), "10.0.0.100") is None
    assert granted(AddressBook(), "10.0.0.100").entries == {}


def test_an_announcement_counts_only_where_the_tenant_allows_it() -> None:
    assert heard(AddressBook(), NEW, "10.0.0.9", learns=False).entries == {}
    assert heard(AddressBook(), OLD, "10.0.0.9").entries == {}


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "224.0.0.5", "127.0.0.1", "255.255.255.255", "ff02::1", "fe80::1"]
)
def test_what_no_endpoint_can_have_is_never_learnt(address: str) -> None:
    assert heard(AddressBook(), NEW, address).entries == {}


def test_a_shared_address_is_with_whoever_announced_it_last_and_with_nobody_else() -> None:
    book = heard(AddressBook(), VIP_A, "10.0.0.100")
    assert owner(book, "10.0.0.100") == VIP_A
    endpoints = seen(book).inventory.endpoints
    assert (endpoints[VIP_A].ranges, endpoints[VIP_A].claims) == ((host_prefix(ip("10.0.0.100")),), ())
    assert (endpoints[VIP_B].ranges, endpoints[VIP_B].claims) == ((), (host_prefix(ip("10.0.0.100")),))
    book, lesson = book.heard(Grounds.of(seen(book)), endpoints[VIP_B], ip("10.0.0.100"))
    assert (owner(book, "10.0.0.100"), lesson.lost_by) == (VIP_B, VIP_A)
    assert heard(book, OLD, "10.0.0.100").entries == book.entries


def test_what_the_documents_leave_no_ground_for_is_let_go() -> None:
    book = AddressBook.of(
        [
            Learnt(NEW, ip("10.0.0.1"), Source.DHCP),
            Learnt(OLD, ip("10.0.0.8"), Source.DHCP),
            Learnt(EndpointKey("acme/gone"), ip("10.0.0.7"), Source.HEARD),
            Learnt(VIP_A, ip("10.0.0.100"), Source.CLAIMED),
        ]
    )
    assert {str(one.address) for one in book.unfounded(documents())} == {"10.0.0.1", "10.0.0.8", "10.0.0.7"}
    alone = replace(documents().inventory.endpoints[VIP_A], ranges=())
    inventory = replace(documents().inventory, endpoints={VIP_A: alone})
    assert len(book.unfounded(replace(documents(), inventory=inventory))) == 4


def test_addresses_are_read_from_arp_and_neighbour_discovery_and_from_nothing_else() -> None:
    mac = "52:54:00:00:00:01"
    assert heard_address(gratuitous_arp(mac, "10.0.0.9")) == (parse_mac(mac), ip("10.0.0.9"))
    assert heard_address(unsolicited_advertisement(mac, "fd00::9")) == (parse_mac(mac), ip("fd00::9"))
    forged = gratuitous_arp(mac, "10.0.0.9")
    forged = forged[:6] + bytes.fromhex("525400000099") + forged[12:]
    assert heard_address(forged) is None
    assert heard_address(b"\xff" * 14) is None
    assert heard_address(b"") is None
