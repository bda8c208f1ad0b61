"""What documents say, all read from nothing: parsed, assembled and checked together."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

from zonewall.policy.assemble_inventory import assemble_inventory
from zonewall.policy.assemble_policy import assemble_provider, assemble_tenant
from zonewall.policy.document_models import Document, InventoryDocument, ProviderDocument, TenantDocument
from zonewall.policy.findings import Finding, Location
from zonewall.policy.inventory import Inventory
from zonewall.policy.load import LoadResult, place_of
from zonewall.policy.lookups import Names, Spent
from zonewall.policy.model import Configuration, Tenant
from zonewall.policy.notes import Enough, Notes
from zonewall.policy.shape import read_document
from zonewall.policy.soundness import Shadows, check, check_references, empty_zones, hostless_zones
from zonewall.policy.yamltree import Tree, read_trees
from zonewall.values.names import TenantName

MOST_VALUES = 6_000_000
"""Of all documents together; 100,000 endpoints have about 1,500,000."""

Read = tuple[Tree, Document]


def read_texts(
    texts: Mapping[str, bytes], shadows: Shadows | None = None, spent: Spent | None = None
) -> tuple[LoadResult, Mapping[str, list[Read]]]:
    """Return what ``load_texts`` does, and each file's documents.

    Args:
        texts: by file name.
        shadows: as ``soundness.check`` says.
        spent: counted up.
    """
    notes = Notes()
    read: dict[str, list[Read]] = {file: [] for file in texts}
    configuration = None
    with _without_collections(), suppress(Enough):
        configuration = _read_all(texts, notes, read, shadows, spent or Spent())
    found = in_order([*notes.findings, *notes.more()])
    if configuration is None or any(finding.is_error for finding in found):
        return LoadResult(None, found), read
    return LoadResult(replace(configuration, warnings=found), found), read


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings by where they are, each once."""
    return tuple(sorted(dict.fromkeys(findings), key=place_of))


def check_whole(configuration: Configuration, notes: Notes, shadows: Shadows | None = None) -> None:
    """Add what is wrong with a configuration of documents in each of which nothing was."""
    check(configuration, notes, shadows)
    _warn_of_empty(configuration, notes)


def names_of(configuration: Configuration, spent: Spent) -> Names:
    """Return what a document of a configuration may refer to, of which so much is spent."""
    own: dict[str, frozenset[str]] = {}
    zones: dict[str, frozenset[str]] = {}
    for name, tenant in configuration.tenants.items():
        own[name] = frozenset(tenant.zones)
        zones[name] = frozenset([*tenant.zones, *(one.local_name for one in tenant.imports)])
    return Names(configuration.inventory, zones, own, _endpoint_names(configuration.inventory), spent)


def _endpoint_names(inventory: Inventory) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for endpoint in inventory.endpoints.values():
        found.setdefault(endpoint.tenant, set()).add(endpoint.name)
    return found


def _read_all(
    texts: Mapping[str, bytes],
    notes: Notes,
    into: Mapping[str, list[Read]],
    shadows: Shadows | None,
    spent: Spent,
) -> Configuration:
    """Return what documents say, to be used only if nothing wrong was noted.

    Raises:
        Enough: so much is wrong that the rest is not looked at.
    """
    values = 0
    for file, content in texts.items():
        trees, findings = read_trees(file, content)
        for finding in findings:
            notes.error(finding.code, finding.location, finding.message)
        values += sum(tree.root.weight for tree in trees)
        if values > MOST_VALUES:
            message = f"up to here the documents have more than {MOST_VALUES} values; describe less with them"
            notes.give_up("too-large", Location(file, 1, 1), message)
        for tree in trees:
            document = read_document(tree, notes)
            if document is not None:
                into[file].append(document)
    if any(not into[finding.location.file] for finding in notes.findings if finding.is_error):
        notes.doubt_tenants()
    configuration = _assemble([one for documents in into.values() for one in documents], notes, spent)
    wrong = {finding.location.file for finding in notes.findings if finding.is_error}
    if not wrong:
        check(configuration, notes, shadows)
    else:
        check_references(configuration, notes, wrong)
    if not notes.doubts:
        _warn_of_empty(configuration, notes)
    return configuration


def _warn_of_empty(configuration: Configuration, notes: Notes) -> None:
    for tenant, zone in empty_zones(configuration):
        location = tenant.zones[zone].location
        notes.warning("empty-zone", location, f"nobody is in zone {zone!r}: no endpoint has its labels")
    for tenant, zone in hostless_zones(configuration):
        message = f"members of zone {zone!r} may run nowhere: no host is as its `hosts` asks"
        notes.warning("no-host", tenant.zones[zone].location, message)


def _assemble(read: list[Read], notes: Notes, spent: Spent) -> Configuration:
    inventory = assemble_inventory([(t, d) for t, d in read if isinstance(d, InventoryDocument)], notes)
    tenants = [(t, d) for t, d in read if isinstance(d, TenantDocument)]
    zones = {d.tenant: frozenset([*d.zones, *(one.as_ for one in d.import_)]) for _, d in tenants}
    own = {d.tenant: frozenset(d.zones) for _, d in tenants}
    names = Names(inventory, zones, own, _endpoint_names(inventory), spent)
    made: dict[TenantName, Tenant] = {}
    for tree, document in tenants:
        tenant = assemble_tenant(tree, document, names, notes)
        if tenant.name in made:
            message = f"tenant {tenant.name!r} has a policy already, in {made[tenant.name].location.file}"
            notes.error("duplicate-name", tree.at("tenant"), message + "; put both into one document")
        made[tenant.name] = tenant
    provider = assemble_provider([(t, d) for t, d in read if isinstance(d, ProviderDocument)], names, notes)
    return Configuration(inventory, provider, made)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Read without the collector, which looks through millions of values, again and again, for no cycle.

    It takes more than half of the time otherwise. What two threads read at once leaves it on.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
