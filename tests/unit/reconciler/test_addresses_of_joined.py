"""What was learnt before documents join its tenant with another, and afterwards."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import replace

from support.configurations import configure, endpoint, tenant, zone
from zonewall.journal.record import Entry, Kind
from zonewall.placement.learnt import Learnt, Source
from zonewall.policy.model import Configuration
from zonewall.reconciler.addresses import Addresses
from zonewall.reconciler.recorder import Recorder
from zonewall.values.names import EndpointKey

NEW, DB = EndpointKey("acme/new"), EndpointKey("blue/db")
TAKEN = ipaddress.ip_address("10.0.0.1")


class Journal:
    """A journal that keeps what it is given."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def put(self, entries: Iterable[Entry], texts: Mapping[str, bytes] | None = None) -> None:
        self.entries.extend(entries)


def documents(*, is_joined: bool) -> Configuration:
    """Return acme, whose machine learns its address, and blue, whose database has one."""
    return configure(
        endpoint(NEW),
        endpoint(DB, str(TAKEN), labels={"role": "db"}),
        tenant("acme", imports=[("blue/db", "db")] if is_joined else (), learn_addresses=True),
        tenant(
            "blue", zones=[zone("db", labels={"role": "db"})], exports=[("db", "acme")] if is_joined else ()
        ),
    )


def had(addresses: Addresses) -> tuple[object, ...]:
    return addresses.configuration.inventory.endpoints[NEW].ranges


def test_documents_that_join_its_tenant_with_whose_it_is_take_a_learnt_address_away() -> None:
    apart, journal = documents(is_joined=False), Journal()
    addresses = Addresses(apart, [Learnt(NEW, TAKEN, Source.HEARD)], Recorder(journal))
    assert had(addresses) == (ipaddress.ip_network("10.0.0.1/32"),)

    joined = replace(documents(is_joined=True), inventory=apart.inventory)
    addresses.configured(joined)

    assert had(addresses) == ()
    assert [one.said["state"] for one in journal.entries if one.kind is Kind.ADDRESS] == ["gone"]
    assert not addresses.heard(addresses.configuration, NEW, TAKEN, "announcement")
    addresses.configured(apart)
    assert addresses.heard(addresses.configuration, NEW, TAKEN, "announcement")


def test_what_is_remembered_from_before_a_start_is_held_against_the_documents_of_now() -> None:
    before = [Learnt(NEW, TAKEN, Source.HEARD)]

    assert had(Addresses(documents(is_joined=True), before, Recorder(Journal()))) == ()
