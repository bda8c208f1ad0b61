"""What is still to be read of a document that is wrong in parts, so that no error hides others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zonewall.policy.yamltree import Mapping, Node, Path, Scalar, Sequence, Tree

_NAMING = ("name", "as", "tenant")
"""Keys whose value is a name that others may refer to."""


Cuts = dict[Path, str | None]
"""Where a part is wrong, and a value that would do in its place; None: it is left out."""


def without(tree: Tree, wrong: Iterable[tuple[Path, str | None]]) -> tuple[Tree | None, set[str]]:
    """Return a document without what is wrong, None if that is all of it; and what that may have named.

    A path that leads on below a single value, or to what is not there, means the nearest thing around it.
    """
    cuts: Cuts = {_there(tree.root, path): instead for path, instead in wrong}
    if () in cuts:
        return None, set(names_in(tree.root))
    lost: set[str] = set()
    root = _cut(tree.root, (), cuts, lost)
    assert isinstance(root, Mapping)
    return Tree(tree.file, root), lost


def names_in(node: Node) -> Iterator[str]:
    """Yield what a part could have named: its keys, and what stands beside `name:`, `as:` and `tenant:`."""
    open_: list[Node] = [node]
    while open_:
        one = open_.pop()
        if isinstance(one, Sequence):
            open_ += one.items
        elif isinstance(one, Mapping):
            for key, (_, value) in one.entries.items():
                yield key
                if key in _NAMING and isinstance(value, Scalar):
                    yield value.text
                open_.append(value)


def _there(node: Node, path: Path) -> Path:
    for depth, step in enumerate(path):
        if isinstance(node, Mapping) and str(step) in node.entries:
            node = node.entries[str(step)][1]
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        else:
            return path[:depth]
    return path


def _cut(node: Node, at: Path, cuts: Cuts, lost: set[str]) -> Node:
    """Return a node without what is cut below it, all of which begins with its own path ``at``."""
    by_step = _by_step(cuts, len(at))
    if isinstance(node, Sequence):
        kept = Sequence(node.line, node.column, weight=node.weight)
        for place, item in enumerate(node.items):
            if (*at, place) in cuts:
                lost.update(names_in(item))
            else:
                inner = by_step.get(place)
                kept.items.append(_cut(item, (*at, place), inner, lost) if inner else item)
        return kept
    if isinstance(node, Mapping):
        left = Mapping(node.line, node.column, weight=node.weight)
        for key, (scalar, value) in node.entries.items():
            instead = cuts.get((*at, key))
            if instead is not None:
                left.entries[key] = (scalar, Scalar(instead, False, value.line, value.column))
            elif (*at, key) in cuts:
                lost.update((key, *names_in(value)))
                if key in _NAMING and isinstance(value, Scalar):
                    lost.add(value.text)
            else:
                inner = by_step.get(key)
                left.entries[key] = (scalar, _cut(value, (*at, key), inner, lost) if inner else value)
        return left
    return node


def _by_step(cuts: Cuts, depth: int) -> dict[str | int, Cuts]:
    found: dict[str | int, Cuts] = {}
    for cut, instead in cuts.items():
        if len(cut) > depth:
            found.setdefault(cut[depth], {})[cut] = instead
    return found
