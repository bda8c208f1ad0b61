"""How documents are read again: an edit of a few items by itself, anything else with all documents."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from pydantic import ValidationError

from zonewall.policy.assemble_inventory import assembled_endpoint, check_inventory
from zonewall.policy.assemble_policy import Reader
from zonewall.policy.carried import carried_over
from zonewall.policy.document_models import EndpointPart, InventoryDocument, RulePart, TenantDocument
from zonewall.policy.document_types import Patience
from zonewall.policy.editing import KEY, Edit, difference, find_edit
from zonewall.policy.findings import Location
from zonewall.policy.inventory import EndpointDeclaration, Inventory
from zonewall.policy.last_read import File, Last, Listed, Texts
from zonewall.policy.load import LoadResult
from zonewall.policy.lookups import Names, Spent
from zonewall.policy.model import Configuration, Rule
from zonewall.policy.notes import MOST_ERRORS, Enough, Notes
from zonewall.policy.shape import plain
from zonewall.policy.shifted import Move, at_place, shifted_inventory, shifted_tenant
from zonewall.policy.soundness import Shadows
from zonewall.policy.texts import MOST_VALUES, check_whole, in_order, names_of, read_texts
from zonewall.policy.yamltree import Mapping as YamlMapping
from zonewall.policy.yamltree import Node, Sequence, Tree, find
from zonewall.values.names import EndpointKey, TenantName

_AGAIN = frozenset({"no-port", "empty-zone", "unreachable-rule"})
"""Warnings that checks of the whole give; where there are others, documents are read whole to find them."""

_FEW = 20
"""So many endpoints may differ for it to be asked in what."""

_Parts = tuple[Rule, ...] | tuple[EndpointDeclaration, ...]
_P = TypeVar("_P", RulePart, EndpointPart)
V = TypeVar("V")


def read_again(
    last: Last | None, known: Configuration | None, texts: Texts, shadows: Shadows
) -> tuple[Last | None, LoadResult]:
    """Return what documents say that are not as they were, with what is to be remembered of it.

    Args:
        last: what was read last; None where something was wrong with it.
        known: the last configuration there was.
        texts: the documents.
        shadows: as ``soundness.check`` says.
    """
    again = None if last is None else _again(last, texts, shadows)
    if again is not None:
        return again
    spent = Spent()
    result, read = read_texts(texts, shadows, spent)
    configuration = result.configuration
    if configuration is None:
        return None, result
    if known is not None:
        configuration = carried_over(known, configuration)
        result = replace(result, configuration=configuration)
    files = {file: _file(*documents[0]) for file, documents in read.items() if len(documents) == 1}
    values = sum(tree.root.weight for documents in read.values() for tree, _ in documents)
    return Last(dict(texts), configuration, files, values, spent.terms), result


def _file(tree: Tree, document: object) -> File:
    lists: dict[int | None, Listed] = {}
    if isinstance(document, TenantDocument) and not tree.has_anchors:
        for number in range(len(document.tiers)):
            _take_list(tree, ("tiers", number, "rules"), number, lists)
        return File(TenantName(document.tenant), document.services, lists)
    if isinstance(document, InventoryDocument) and not tree.has_anchors:
        _take_list(tree, ("endpoints",), None, lists)
    return File(None, {}, lists)


def _take_list(
    tree: Tree, path: tuple[str | int, ...], key: int | None, lists: dict[int | None, Listed]
) -> None:
    above, node = find(tree.root, path[:-1]), find(tree.root, path)
    if isinstance(above, YamlMapping) and path[-1] in above.entries and isinstance(node, Sequence):
        lists[key] = Listed(tuple(node.starts or ()), node.in_brackets)


def _again(last: Last, texts: Texts, shadows: Shadows) -> tuple[Last, LoadResult] | None:
    """Return what was read and what follows, where only a few items of one list are others."""
    if list(texts) != list(last.texts):
        return None
    others = [file for file, content in texts.items() if content != last.texts[file]]
    known = last.files.get(others[0])
    if (
        len(others) > 1
        or known is None
        or not _AGAIN.issuperset(one.code for one in last.configuration.warnings)
    ):
        return None
    names = last.names or names_of(last.configuration, Spent(last.terms))
    made = _edited(last, others[0], known, texts, names)
    if made is None:
        return None
    configuration, file, more = made
    is_as_before = configuration.inventory is last.configuration.inventory
    is_checked = is_as_before or _differ_in_labels(last.configuration.inventory, configuration.inventory)
    if last.values + more > MOST_VALUES:
        return None
    notes = Notes()
    try:
        if is_checked and last.of_inventory is not None:
            notes.findings.extend(last.of_inventory)
        else:
            check_inventory(configuration.inventory, notes)
        of_inventory = tuple(notes.findings)
        check_whole(configuration, notes, shadows)
    except Enough:
        return None
    if notes.has_errors or len(notes.findings) >= MOST_ERRORS:
        return None
    configuration = replace(configuration, warnings=in_order(notes.findings))
    files = {**last.files, others[0]: file}
    kept = names if is_as_before else None
    values, terms = last.values + more, names.spent.terms
    now = Last(dict(texts), configuration, files, values, terms, of_inventory, kept)
    return now, LoadResult(configuration, configuration.warnings)


def _differ_in_labels(before: Inventory, after: Inventory) -> bool:
    """Return whether all is the same but the labels of a few endpoints, by which no inventory is wrong."""
    if len(before.endpoints) != len(after.endpoints):
        return False
    pairs = zip(before.endpoints.values(), after.endpoints.values(), strict=True)
    others = [(one, other) for one, other in pairs if one is not other]
    return len(others) <= _FEW and all(
        one.location == other.location and replace(one, labels=other.labels) == other for one, other in others
    )


def _edited(
    last: Last, name: str, file: File, texts: Texts, names: Names
) -> tuple[Configuration, File, int] | None:
    """Return the configuration with what an edit of one list says, not checked as a whole; and its values."""
    try:
        both = difference(last.texts[name].decode("utf-8-sig"), texts[name].decode("utf-8-sig"))
    except UnicodeDecodeError:
        return None
    begun = [key for key, one in file.lists.items() if one.starts and one.starts[0] <= both.begin]
    if not begun:
        return None
    key = max(begun, key=lambda each: file.lists[each].starts[0])
    listed = file.lists[key]
    parts: _Parts = _parts(last.configuration, name, file.tenant, key)
    if len(parts) != len(listed.starts):
        return None
    edit = find_edit(name, both, listed, lambda at: parts[at].location)
    if edit is None:
        return None
    configuration = _put(last.configuration, name, file, names, (key, edit))
    if configuration is None:
        return None
    grown = both.grown
    after = listed.starts[edit.last :]
    moved = [start + grown for start in after] if grown else after
    starts = (*listed.starts[: edit.first], *edit.starts, *moved)
    lists = {each: _moved_on(one, both.end, grown) for each, one in file.lists.items() if each != key}
    now = replace(file, lists={**lists, key: Listed(starts, listed.in_brackets)})
    return configuration, now, edit.fragment.tree.root.weight


def _moved_on(listed: Listed, end: int, grown: int) -> Listed:
    """Return a list after an edit of another one that ends at a character."""
    if not grown or not listed.starts or listed.starts[-1] < end:
        return listed
    starts = tuple(start + grown if start >= end else start for start in listed.starts)
    return Listed(starts, listed.in_brackets)


def _parts(configuration: Configuration, name: str, tenant: TenantName | None, key: int | None) -> _Parts:
    """Return what the items of a list were made into."""
    if tenant is None or key is None:
        return tuple(one for one in configuration.inventory.endpoints.values() if one.location.file == name)
    return configuration.tenants[tenant].tiers[key].rules


def _put(
    before: Configuration, name: str, file: File, names: Names, what: tuple[int | None, Edit]
) -> Configuration | None:
    """Return the configuration with the items of an edit in their place; None if there is anything wrong."""
    key, edit = what

    def move(at: Location) -> Location:
        return edit.shift(at) if at.file == name else at

    notes, tree = Notes(), edit.fragment.tree
    nodes = edit.fragment.items.items
    try:
        if file.tenant is None or key is None:
            ends = [_checked(EndpointPart, node) for node in nodes]
            endpoints = [assembled_endpoint(tree, at, part, notes) for at, part in enumerate(ends)]
            made = [_put_place(one, name, edit) for one in endpoints]
            return None if notes.findings else _with_endpoints(before, name, made, edit, move)
        reader = Reader(tree, names, notes, file.tenant)
        spent, names.spent.terms = names.spent.terms, 0
        reader.define_services(file.services)
        names.spent.terms = spent
        written = [_checked(RulePart, node) for node in nodes]
        rules = [_put_place(reader.rule(part, (KEY, at)), name, edit) for at, part in enumerate(written)]
        return None if notes.findings else _with_rules(before, (file.tenant, key), rules, edit, move)
    except (ValidationError, Enough):
        return None


def _checked(model: type[_P], node: Node) -> _P:
    """Return what an item says.

    Raises:
        ValidationError: something is wrong with it.
    """
    return model.model_validate(plain(node), context=Patience(MOST_ERRORS))


def _put_place(one: V, name: str, edit: Edit) -> V:
    return at_place(one, lambda at: Location(name, *edit.fragment.place(at.line, at.column)))


def _with_rules(
    before: Configuration, where: tuple[TenantName, int], made: list[Rule], edit: Edit, move: Move
) -> Configuration | None:
    tenant = before.tenants[where[0]]
    if edit.shift:
        tenant = shifted_tenant(tenant, move)
    tiers = list(tenant.tiers)
    rules = tiers[where[1]].rules
    renamed = [rule.name for rule in made] != [rule.name for rule in rules[edit.first : edit.last]]
    rules = (*rules[: edit.first], *made, *rules[edit.last :])
    if renamed and len({rule.name for rule in rules}) < len(rules):
        return None
    tiers[where[1]] = replace(tiers[where[1]], rules=rules)
    tenants = {**before.tenants, where[0]: replace(tenant, tiers=tuple(tiers))}
    return replace(before, tenants=tenants)


def _with_endpoints(
    before: Configuration, name: str, made: list[EndpointDeclaration], edit: Edit, move: Move
) -> Configuration | None:
    """Return the configuration with other endpoints; with one fewer it is not sure that nothing named it."""
    inventory = shifted_inventory(before.inventory, move) if edit.shift else before.inventory
    own = [one for one in inventory.endpoints.values() if one.location.file == name]
    if not {one.key for one in own[edit.first : edit.last]} <= {one.key for one in made}:
        return None
    now = [*own[: edit.first], *made, *own[edit.last :]]
    endpoints: dict[EndpointKey, EndpointDeclaration] = {}
    for key, one in inventory.endpoints.items():
        if one.location.file != name:
            endpoints[key] = one
        elif one is own[0]:
            endpoints.update((each.key, each) for each in now)
    if len(endpoints) != len(inventory.endpoints) - len(own) + len(now):
        return None
    return replace(before, inventory=replace(inventory, endpoints=endpoints))
