"""Addresses that are learnt: what bridges report of DHCP and announcements, laid over the documents."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

import structlog

from zonewall.intent.policy import same_views
from zonewall.journal.record import Kind
from zonewall.placement.dhcp import Grant
from zonewall.placement.learnt import AddressBook, Grounds, Learnt, Lesson, Source, laid_over
from zonewall.policy.model import Configuration
from zonewall.policy.neighbours import Neighbours
from zonewall.reconciler.recorder import Recorder
from zonewall.reconciler.seldom import Seldom
from zonewall.values.addresses import IpAddress
from zonewall.values.names import EndpointKey, TenantName

_Laid = tuple[Configuration, AddressBook, Configuration]
"""Documents, what is learnt, and the documents' configuration with it."""

CLAIM_S = 1.0
"""An address that was taken over stays that long: two that both want it cannot keep the bridges busy."""

_log = structlog.get_logger()


class Addresses:
    """The book of learnt addresses, confined to the reconciler; methods say whether flows must follow."""

    def __init__(self, documents: Configuration, learnt: Iterable[Learnt], recorder: Recorder) -> None:
        """Begin with what is remembered, as far as the documents leave ground for it."""
        self._recorder = recorder
        self._documents = documents
        self._known_grounds: Grounds | None = None
        self._known_neighbours: Neighbours | None = None
        self._seldom = Seldom()
        self._claimed_at: dict[tuple[TenantName, IpAddress], float] = {}
        book = AddressBook.of(learnt)
        book = book.without({*book.unfounded(documents), *book.over(time.time())})
        self.book = book.without(book.contested(self._neighbours)) if book.entries else book
        self._laid: _Laid = documents, self.book, laid_over(documents, self.book)
        self._ahead = self._laid

    @property
    def configuration(self) -> Configuration:
        """Return the documents' configuration with the learnt addresses."""
        if not self._is_laid(self._laid, self._documents):
            is_foreseen = self._is_laid(self._ahead, self._documents)
            self._laid = self._ahead if is_foreseen else self._laid_over(self._documents)
        return self._laid[2]

    def foreseen(self, documents: Configuration) -> Configuration:
        """Return what ``configured`` is going to of the same documents, if nothing happens before."""
        self._ahead = self._laid_over(documents)
        return self._ahead[2]

    def _is_laid(self, laid: _Laid, documents: Configuration) -> bool:
        return laid[0] is documents and laid[1] is self.book

    def _laid_over(self, documents: Configuration) -> _Laid:
        before, book, made = self._laid
        if book is self.book and _same_grounds(before, documents):
            return documents, book, replace(documents, inventory=made.inventory)
        return documents, self.book, laid_over(documents, self.book)

    @property
    def _grounds(self) -> Grounds:
        """Return what the documents say of addresses, found out when somebody first speaks of one."""
        if self._known_grounds is None:
            self._known_grounds = Grounds.of(self._documents, self._neighbours)
        return self._known_grounds

    @property
    def _neighbours(self) -> Neighbours:
        if self._known_neighbours is None:
            self._known_neighbours = Neighbours.of(self._documents)
        return self._known_neighbours

    def configured(self, documents: Configuration) -> Configuration:
        """Take other documents; return their configuration with what is still learnt under them."""
        is_other = documents.inventory is not self._documents.inventory
        if is_other or not same_views(self._documents, documents):
            self._known_grounds = self._known_neighbours = None
        self._documents = documents
        self._drop(self.book.unfounded(documents), "configuration")
        if self._known_neighbours is None and self.book.entries:
            self._drop(self.book.contested(self._neighbours), "configuration")
        return self.configuration

    def granted(self, configuration: Configuration, tenant: TenantName, grant: Grant, cause: str) -> bool:
        """Take a server's grant, or that it takes an address away."""
        if grant.lease_s == 0:
            known = self.book.entries.get((tenant, grant.address))
            declared = None if known is None else configuration.inventory.endpoints.get(known.endpoint)
            if declared is None or declared.mac != grant.mac:
                return False
            return self.given_up(declared.key, (grant.address,), cause)
        until = None if grant.lease_s is None else time.time() + grant.lease_s
        self.book, lesson = self.book.granted(self._grounds, tenant, grant.mac, grant.address, until)
        return self._tell(lesson, cause)

    def given_up(self, endpoint: EndpointKey, addresses: Iterable[IpAddress], cause: str) -> bool:
        """Let go of granted addresses that their endpoint, or the server, wants no more."""
        mine = {one.address: one for one in self.book.of_endpoint(endpoint) if one.source is Source.DHCP}
        return self._drop([mine[one] for one in addresses if one in mine], cause)

    def heard(
        self, configuration: Configuration, endpoint: EndpointKey, address: IpAddress, cause: str
    ) -> bool:
        """Take an endpoint's announcement of an address."""
        declared = configuration.inventory.endpoints.get(endpoint)
        if declared is None:
            return False
        key = (declared.tenant, address)
        if time.monotonic() - self._claimed_at.get(key, float("-inf")) < CLAIM_S:
            return False
        self.book, lesson = self.book.heard(self._grounds, declared, address)
        if lesson.gained is not None and lesson.gained.source is Source.CLAIMED:
            self._claimed_at[key] = time.monotonic()
        return self._tell(lesson, cause)

    def unplugged(self, endpoint: EndpointKey) -> bool:
        """Let go of what an endpoint had for as long as it had a port."""
        gone = [one for one in self.book.of_endpoint(endpoint) if one.source is not Source.DHCP]
        return self._drop(gone, "no port any more")

    def time_passes(self) -> bool:
        """Let go of what is not granted any more."""
        now = time.monotonic()
        self._claimed_at = {key: at for key, at in self._claimed_at.items() if now - at < CLAIM_S}
        return self._drop(self.book.over(time.time()), "lease over")

    def _drop(self, gone: Iterable[Learnt], cause: str) -> bool:
        gone = tuple(gone)
        self.book = self.book.without(gone)
        for one in gone:
            self._note(one, "gone", cause)
        return bool(gone)

    def _tell(self, lesson: Lesson, cause: str) -> bool:
        if lesson.refused and self._seldom.is_due(_where(cause), lesson.refused, time.monotonic()):
            _log.warning("address_refused", reason=lesson.refused, cause=cause)
        if lesson.gained is None:
            return False
        if lesson.lost_by is not None and lesson.lost_by != lesson.gained.endpoint:
            lost = Learnt(lesson.lost_by, lesson.gained.address, lesson.gained.source)
            self._note(lost, "gone", cause)
        self._note(lesson.gained, "learnt", cause)
        return True

    def _note(self, one: Learnt, state: str, cause: str) -> None:
        _log.info(
            f"address_{state}", endpoint=one.endpoint, address=str(one.address), source=one.source.value
        )
        self._recorder.note(
            Kind.ADDRESS,
            cause,
            endpoint=one.endpoint,
            address=str(one.address),
            source=one.source.value,
            state=state,
        )


def _same_grounds(before: Configuration, after: Configuration) -> bool:
    """Return whether two configurations' endpoints may learn the same addresses."""
    return before.inventory is after.inventory and _learning(before) == _learning(after)


def _learning(configuration: Configuration) -> list[TenantName]:
    return [name for name, tenant in configuration.tenants.items() if tenant.learn_addresses]


def _where(cause: str) -> str:
    """Return the bridge of a cause: one that lies can name as many of its ports as it likes."""
    return cause.partition(", ofport ")[0]
