"""What endpoints of joined tenants learn: never an address by which somebody would reach two of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.configurations import configure, endpoint, tenant, zone
from zonewall.placement.learnt import AddressBook, Grounds, Learnt, Source, laid_over
from zonewall.policy.model import Configuration
from zonewall.policy.neighbours import Neighbours
from zonewall.policy.notes import Notes
from zonewall.policy.visibility import check_ambiguous
from zonewall.values.addresses import IpAddress
from zonewall.values.names import EndpointKey

SHOWN, IDLE = {"role": "shown"}, {"role": "idle"}
POOL = [*(f"10.0.{net}.{number}" for net in (0, 1) for number in (1, 2)), "fd00::1"]


def documents(is_joined: bool = True) -> Configuration:
    """Return acme that imports blue's shown endpoints and those of red that are in 10.0.0.0/24."""
    ends = [
        endpoint("blue/db", "10.0.0.1", "10.0.1.1", mac=1, labels=SHOWN),
        endpoint("blue/idle", mac=2, labels=IDLE),
        endpoint("blue/new", mac=3, labels=SHOWN),
        endpoint("red/one", mac=4),
        endpoint("red/two", mac=5),
        endpoint("acme/new", mac=6),
        endpoint("acme/old", "10.0.1.2", mac=7),
    ]
    imports = [("blue/shown", "theirs"), ("red/lan", "lan")] if is_joined else []
    exports = [("shown", "acme"), ("lan", "acme")] if is_joined else []
    zones = [zone("shown", labels=SHOWN), zone("lan", cidrs=["10.0.0.0/24"])]
    return configure(
        *ends,
        tenant("acme", imports=imports, learn_addresses=True),
        tenant("blue", zones=zones[:1], exports=exports[:1], learn_addresses=True),
        tenant("red", zones=zones[1:], exports=exports[1:], learn_addresses=True),
    )


def learn(
    book: AddressBook, by: Configuration, source: Source, key: str, address: str
) -> tuple[AddressBook, str]:
    """Return the book after a grant or an announcement, and why it is not believed."""
    grounds, ip = Grounds.of(by), ipaddress.ip_address(address)
    one = laid_over(by, book).inventory.endpoints[EndpointKey(key)]
    if source is Source.DHCP:
        after, lesson = book.granted(grounds, one.tenant, one.mac, ip, 100.0)
    else:
        after, lesson = book.heard(grounds, one, ip)
    return after, lesson.refused


def learnt(*these: tuple[str, str], source: Source = Source.HEARD) -> AddressBook:
    return AddressBook.of(Learnt(EndpointKey(key), ipaddress.ip_address(ip), source) for key, ip in these)


def is_ambiguous(by: Configuration, book: AddressBook) -> bool:
    notes = Notes()
    check_ambiguous(laid_over(by, book), notes)
    return notes.has_errors


def test_an_announcement_takes_no_address_of_a_tenant_that_is_joined() -> None:
    book, refused = learn(AddressBook(), documents(), Source.HEARD, "acme/new", "10.0.0.1")

    said = "10.0.0.1 is blue/db's, whom somebody could reach as well, announced by acme/new"
    assert (book, refused) == (AddressBook(), said)


def test_nobody_else_is_concerned_while_nothing_joins_them() -> None:
    book, refused = learn(AddressBook(), documents(is_joined=False), Source.HEARD, "acme/new", "10.0.0.1")

    assert (len(book.in_order()), refused) == (1, "")


def test_a_grant_that_puts_its_endpoint_where_others_see_it_is_not_believed() -> None:
    seen = learn(AddressBook(), documents(), Source.DHCP, "red/one", "10.0.0.1")[1]
    unseen = learn(AddressBook(), documents(), Source.DHCP, "red/one", "10.0.1.1")[1]

    assert seen == "10.0.0.1 is blue/db's, whom somebody could reach as well, granted to red/one"
    assert unseen == ""


def test_who_is_seen_by_a_grant_has_nothing_else_that_another_has() -> None:
    before = learnt(("red/one", "fd00::1"), ("blue/new", "fd00::1"))

    assert "fd00::1" not in learn(before, documents(), Source.DHCP, "red/two", "10.0.0.2")[1]
    assert learn(before, documents(), Source.DHCP, "red/one", "10.0.0.2")[1].startswith(
        "10.0.0.2 is blue/new's"
    )


def test_of_two_that_have_learnt_an_address_the_later_one_loses_it_when_they_are_joined() -> None:
    before = learnt(("blue/idle", "10.0.0.2"), ("acme/new", "10.0.0.2"), ("red/one", "10.0.0.2"))

    apart = before.contested(Neighbours.of(documents(is_joined=False)))
    gone = before.contested(Neighbours.of(documents()))

    assert apart == ()
    # red/one's was merely announced, and puts it into no zone: acme does not see it, but red sees acme.
    assert [one.endpoint for one in gone] == ["acme/new"]


def ranged(prefix: str) -> Configuration:
    """Return acme that imports nobody's, and blue that imports acme's and has a gateway with a range."""
    return configure(
        endpoint("acme/new", mac=1, labels=SHOWN),
        endpoint("acme/idle", mac=2, labels=IDLE),
        endpoint("blue/gw", "10.9.0.1", "fd00:9::1", mac=3, ranges=[prefix]),
        endpoint("blue/new", mac=4),
        tenant(
            "acme", zones=[zone("shown", labels=SHOWN)], exports=[("shown", "blue")], learn_addresses=True
        ),
        tenant("blue", imports=[("acme/shown", "theirs")], learn_addresses=True),
    )


@pytest.mark.parametrize("source", [Source.DHCP, Source.HEARD])
@pytest.mark.parametrize(
    ("prefix", "inside", "beside"),
    [("10.0.0.0/24", "10.0.0.7", "10.0.1.0"), ("fd00::/120", "fd00::ff", "fd00::100")],
)
def test_nobody_learns_an_address_out_of_a_joined_tenant_s_range(
    source: Source, prefix: str, inside: str, beside: str
) -> None:
    by = ranged(prefix)

    for key, address, is_refused in (
        ("acme/new", inside, True),
        ("acme/new", beside, False),
        ("acme/idle", inside, True),  # blue cannot reach it, but acme all of blue
        ("blue/new", inside, False),  # within a tenant the longest prefix has it
    ):
        assert ("blue/gw's" in learn(AddressBook(), by, source, key, address)[1]) is is_refused, (
            key,
            address,
        )


def test_a_range_of_all_addresses_keeps_joined_tenants_from_learning_none() -> None:
    book, refused = learn(AddressBook(), ranged("0.0.0.0/0"), Source.HEARD, "acme/new", "10.0.0.7")

    assert (len(book.in_order()), refused) == (1, "")


def test_what_was_learnt_goes_when_documents_give_its_range_to_a_joined_tenant() -> None:
    book = learnt(("acme/new", "10.0.0.7"), ("blue/new", "10.0.0.8"))

    gone = book.contested(Neighbours.of(ranged("10.0.0.0/24")))

    assert [one.endpoint for one in gone] == ["acme/new"]


ATTEMPTS = st.lists(
    st.tuples(
        st.sampled_from([Source.DHCP, Source.HEARD, None]),
        st.sampled_from(["blue/idle", "blue/new", "red/one", "red/two", "acme/new"]),
        st.sampled_from(POOL),
    ),
    min_size=1,
    max_size=8,
)


@given(ATTEMPTS)
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_whatever_is_learnt_nobody_reaches_two_by_it_and_nothing_else_is_refused(
    attempts: Sequence[tuple[Source | None, str, str]],
) -> None:
    book, by = AddressBook(), documents()

    for source, key, address in attempts:
        if source is None:
            book = book.without(book.of_endpoint(EndpointKey(key)))
            continue
        before, (book, refused) = book, learn(book, by, source, key, address)
        assert not is_ambiguous(by, book)
        assert book.contested(Neighbours.of(by)) == ()
        if "could reach" in refused:
            assert is_ambiguous(by, _anyway(before, Learnt(EndpointKey(key), _ip(address), source, 100.0)))
    assert {address: set(some) for address, some in book.holders.items()} == {
        address: {one.endpoint for one in book.entries.values() if one.address == address}
        for address in {one.address for one in book.entries.values()}
    }


def _ip(text: str) -> IpAddress:
    return ipaddress.ip_address(text)


def _anyway(book: AddressBook, one: Learnt) -> AddressBook:
    return AddressBook.of((*book.in_order(), one))
