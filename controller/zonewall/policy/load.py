"""A directory of documents to one checked configuration: whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from zonewall.errors import ConfigurationError
from zonewall.policy.assemble_inventory import assemble_inventory
from zonewall.policy.assemble_policy import Names, assemble_provider, assemble_tenant
from zonewall.policy.document_models import Document, InventoryDocument, ProviderDocument, TenantDocument
from zonewall.policy.findings import Finding, Location, Severity
from zonewall.policy.model import Configuration, Tenant
from zonewall.policy.notes import Notes
from zonewall.policy.shape import read_document
from zonewall.policy.soundness import check, empty_zones
from zonewall.policy.yamltree import MAX_FILE_BYTES, Tree, read_trees
from zonewall.values.names import TenantName

MOST_FILES = 10_000


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of reading: a configuration unless there are errors, everything found, and what was read."""

    configuration: Configuration | None
    findings: tuple[Finding, ...]
    texts: Mapping[str, bytes] = field(default_factory=dict)


def load_directory(path: Path) -> Configuration:
    """Return the configuration below a directory.

    Raises:
        ConfigurationError: anything is wrong; it carries every finding.
    """
    result = read_directory(path)
    if result.configuration is None:
        raise ConfigurationError(result.findings)
    return result.configuration


def read_directory(path: Path) -> LoadResult:
    """Return what the documents below a directory say."""
    texts: dict[str, bytes] = {}
    findings: list[Finding] = []
    if not path.is_dir():
        return LoadResult(None, (_unreadable(str(path), "there is no such directory"),))
    for folder, _, files in os.walk(path, followlinks=False):
        for name in sorted(files):
            if name.endswith((".yaml", ".yml")) and not name.startswith("."):
                _read_file(path, Path(folder) / name, texts, findings)
    if len(texts) > MOST_FILES:
        return LoadResult(None, (_unreadable(str(path), f"more than {MOST_FILES} documents"),))
    if not texts and not findings:
        message = "there is no document (*.yaml) in it"
        return LoadResult(None, (_unreadable(str(path), message),))
    result = load_texts(dict(sorted(texts.items())))
    found = tuple(sorted((*findings, *result.findings), key=_place))
    return LoadResult(None if findings else result.configuration, found, texts)


def load_texts(texts: Mapping[str, bytes]) -> LoadResult:
    """Return what documents say, by file name; pure."""
    notes = Notes()
    read: list[tuple[Tree, Document]] = []
    for file, content in texts.items():
        trees, findings = read_trees(file, content)
        notes.findings.extend(findings)
        for tree in trees:
            document = read_document(tree, notes)
            if document is not None:
                read.append((tree, document))
    configuration = _assemble(read, notes)
    if not _is_wrong(notes):
        check(configuration, notes)
    for tenant, zone in empty_zones(configuration):
        location = tenant.zones[zone].location
        notes.warning("empty-zone", location, f"nobody is in zone {zone!r}: no endpoint has its labels")
    found = tuple(sorted(dict.fromkeys(notes.findings), key=_place))
    if _is_wrong(notes):
        return LoadResult(None, found)
    return LoadResult(replace(configuration, warnings=found), found)


def _assemble(read: list[tuple[Tree, Document]], notes: Notes) -> Configuration:
    inventory = assemble_inventory([(t, d) for t, d in read if isinstance(d, InventoryDocument)], notes)
    tenants = [(t, d) for t, d in read if isinstance(d, TenantDocument)]
    zones = {d.tenant: frozenset([*d.zones, *(one.as_ for one in d.import_)]) for _, d in tenants}
    names = Names(inventory, zones)
    made: dict[TenantName, Tenant] = {}
    for tree, document in tenants:
        tenant = assemble_tenant(tree, document, names, notes)
        if tenant.name in made:
            message = f"tenant {tenant.name!r} has a policy already, in {made[tenant.name].location.file}"
            notes.error("duplicate-name", tree.at("tenant"), message + "; put both into one document")
        made[tenant.name] = tenant
    provider = assemble_provider([(t, d) for t, d in read if isinstance(d, ProviderDocument)], names, notes)
    return Configuration(inventory, provider, made)


def _read_file(root: Path, file: Path, texts: dict[str, bytes], findings: list[Finding]) -> None:
    name = str(file.relative_to(root))
    try:
        if not file.is_file():
            findings.append(_unreadable(name, "this is no ordinary file; remove it"))
        elif file.stat().st_size > MAX_FILE_BYTES:
            findings.append(_unreadable(name, f"a file may have {MAX_FILE_BYTES >> 20} MiB; split it"))
        else:
            texts[name] = file.read_bytes()
    except OSError as error:
        findings.append(_unreadable(name, f"it cannot be read: {error.strerror}"))


def _unreadable(name: str, message: str) -> Finding:
    return Finding(Severity.ERROR, "unreadable", Location(name, 1, 1), message)


def _is_wrong(notes: Notes) -> bool:
    return any(finding.is_error for finding in notes.findings)


def _place(finding: Finding) -> tuple[Location, str]:
    return finding.location, finding.message
