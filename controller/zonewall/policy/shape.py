"""Trees to documents: what pydantic finds wrong becomes findings that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from zonewall.policy.document_models import KINDS, Document
from zonewall.policy.document_types import Patience, written_as
from zonewall.policy.notes import MOST_COUNTED, Notes, quoted
from zonewall.policy.salvage import names_in, without
from zonewall.policy.yamltree import Node, Path, Scalar, Sequence, Tree

_WANTED = {
    "model_type": "a mapping of keys",
    "dict_type": "a mapping of keys",
    "tuple_type": "a list",
    "list_type": "a list",
    "string_type": "a word",
}


_MOST_CUTS = 4
"""How often what is wrong is cut out: a part without one that it needs is cut out the next time."""


def read_document(tree: Tree, notes: Notes) -> tuple[Tree, Document] | None:
    """Return the document that a tree holds, and the tree; what is wrong goes into the notes.

    Parts that are wrong are left out of both, and what they may have named is doubtful from then on.
    """
    kind = tree.root.entries.get("kind")
    word = kind[1].text if kind is not None and isinstance(kind[1], Scalar) else ""
    if word not in KINDS:
        message = "a document says what it is first: `kind: inventory`, `kind: provider` or `kind: tenant`"
        notes.error("unknown-kind", tree.at("kind"), message)
        notes.doubt(names_in(tree.root))
        return None
    model = KINDS[word]
    left = tree
    for cuts in range(_MOST_CUTS):
        try:
            return left, model.model_validate(plain(left.root), context=Patience(MOST_COUNTED))
        except ValidationError as error:
            errors = error.errors(include_url=False)
        if not cuts:
            for one in errors:
                _note(tree, model, one, notes)
        rest, lost = without(left, map(_wrong_part, errors))
        notes.doubt(lost)
        if rest is None:
            return None
        left = rest
    notes.doubt(names_in(left.root))
    return None


def _wrong_part(error: Any) -> tuple[Path, str | None]:
    """Return where the part stands that the document is read without, or the word to read in its place."""
    path = tuple(part for part in error["loc"] if part != "[key]")
    if error["type"] == "literal_error":
        return path, error["ctx"]["expected"].split("'")[1]
    return (path[:-1] if error["type"] == "missing" else path), None


def plain(node: Node) -> Any:
    """Return a node as mappings, lists and text; nothing written is None."""
    if isinstance(node, Scalar):
        return None if node.is_null else node.text
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {
        key: value
        for key, (_, child) in node.entries.items()
        if (value := plain(child)) is not None or isinstance(child, Scalar)
    }


def _note(tree: Tree, model: type[BaseModel], error: Any, notes: Notes) -> None:
    path = tuple(part for part in error["loc"] if part != "[key]")
    kind = error["type"]
    if kind == "extra_forbidden":
        known = _keys_at(model, path[:-1])
        hint = notes.hint(str(path[-1]), known, "keys")
        notes.error(
            "unknown-key", tree.at_key(*path), f"the key {quoted(str(path[-1]))} is not known; {hint}"
        )
    elif kind == "missing":
        message = f"`{path[-1]}` is missing here; add it"
        notes.error("missing-key", tree.at(*path[:-1]), message)
    elif kind == "literal_error":
        wrong = quoted(str(error["input"]))
        message = f"{wrong} is not known here; write {error['ctx']['expected']}"
        notes.error("wrong-value", tree.at(*path), message)
    elif kind == "value_error":
        where = tree.at_key(*path) if error["loc"][-1:] == ("[key]",) else tree.at(*path)
        notes.error("wrong-value", where, str(error["ctx"]["error"]))
    elif kind == "too_short":
        notes.error("wrong-value", tree.at(*path), "the list is empty; name at least one")
    else:
        wanted = _WANTED.get(kind, "something else")
        notes.error("wrong-type", tree.at(*path), f"{wanted} is wanted here, not {_what(error['input'])}")


def _what(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else quoted(str(value))


def _keys_at(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Return the keys of the mapping at a path."""
    for step in path:
        for name, field in model.model_fields.items():
            if written_as(name) == step:
                inner = next(_models_in(field.annotation), None)
                model = inner or model
    return [written_as(name) for name in model.model_fields]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
