"""YAML text to a tree in which every value still is what was written, and knows its line and column.

Scalars stay text: what a number or a truth value is, the place that wants one decides, so that YAML 1.1's
``no``, ``010`` and ``22:22`` never turn into something that their author did not mean. Hostile documents are
bounded here: size, depth, nodes, keys of one mapping, and what aliases may multiply.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from zonewall.policy.files import MAX_FILE_BYTES
from zonewall.policy.findings import Finding, Location, Severity

MAX_DEPTH = 40
MAX_NODES = 1_000_000
"""So many are read in two seconds; a file of more than 50,000 endpoints is to be split."""
MAX_KEYS = 20_000
MAX_ITEMS = 200_000
MAX_ALIASED_NODES = 100_000
MAX_SCALAR_CHARACTERS = 4096
MAX_DOCUMENTS = 10_000
MAX_DUPLICATE_KEYS = 400

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
LONG_LISTS = frozenset({"endpoints", "rules"})
"""Keys of lists that have thousands of items."""

_STRING_TAGS = frozenset({None, "!", "tag:yaml.org,2002:str"})
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_UNPRINTABLE_VALUE = re.compile(f"{_UNPRINTABLE.pattern}|\x85")
"""In the text U+0085 ends a line; in a value it is a control character like its neighbours."""

_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Scalar:
    """A single value as it was written; ``plain`` says that it had no quotes."""

    text: str
    plain: bool
    line: int
    column: int

    @property
    def is_null(self) -> bool:
        """Say whether nothing (or YAML's null) was written."""
        return self.plain and self.text in _NULLS


@dataclass(slots=True)
class Sequence:
    """A list; of a long one it is noted where each item begins, in characters.

    Attributes:
        in_brackets: it is written with them.
    """

    line: int
    column: int
    items: list[Node] = field(default_factory=list)
    weight: int = 1
    starts: list[int] | None = None
    in_brackets: bool = False


@dataclass(slots=True)
class Mapping:
    """A mapping; each key leads to where it stands and its value."""

    line: int
    column: int
    entries: dict[str, tuple[Scalar, Node]] = field(default_factory=dict)
    weight: int = 1


Node = Scalar | Sequence | Mapping
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """One document of a file; ``has_anchors``: what a part of it means, another may say (or a directive)."""

    file: str
    root: Mapping
    has_anchors: bool = False

    def at(self, *path: str | int) -> Location:
        """Return where the value at the path begins, or the nearest thing around it that is there."""
        node = find(self.root, path)
        return Location(self.file, node.line, node.column)

    def at_key(self, *path: str | int) -> Location:
        """Return where the key or the item that the path ends with stands, or the nearest thing around it."""
        parent = find(self.root, path[:-1])
        if path and isinstance(parent, Mapping) and path[-1] in parent.entries:
            key = parent.entries[str(path[-1])][0]
            return Location(self.file, key.line, key.column)
        return (
            self.at(*path)
            if isinstance(parent, Sequence)
            else Location(self.file, parent.line, parent.column)
        )


class Refused(Exception):  # noqa: N818 - it ends the reading of one file, and never leaves this module
    """The file cannot be read further; carries the one finding that says why."""

    def __init__(self, code: str, location: Location, message: str) -> None:
        """Keep the finding."""
        super().__init__(message)
        self.finding = Finding(Severity.ERROR, code, location, message)


def find(node: Node, path: Path) -> Node:
    """Return the node at the path; where it goes on below a missing or single value, the last one found."""
    for step in path:
        if isinstance(node, Mapping) and str(step) in node.entries:
            node = node.entries[str(step)][1]
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        else:
            break
    return node


def read_trees(file: str, content: bytes) -> tuple[list[Tree], list[Finding]]:
    """Return the documents of one file and what is wrong with its YAML.

    Empty documents are left out. When a finding ends the reading, no document is returned.
    """
    findings: list[Finding] = []
    try:
        text = _decoded(file, content)
        return list(_Composer(file, findings).documents(text)), findings
    except Refused as refused:
        return [], [*findings, refused.finding]
    except yaml.YAMLError as error:
        return [], [*findings, _syntax_finding(file, error)]


def _decoded(file: str, content: bytes) -> str:
    """Return the text; refuse what is too large, not UTF-8, or has control characters."""
    if len(content) > MAX_FILE_BYTES:
        size = f"{len(content) >> 20} MiB; a file may have {MAX_FILE_BYTES >> 20} MiB: split it"
        raise Refused("too-large", Location(file, 1, 1), f"the file has {size}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        message = f"byte 0x{content[error.start]:02x} is no UTF-8; save the file as UTF-8"
        raise Refused("bad-encoding", _place(file, before), message) from None
    wrong = _UNPRINTABLE.search(text)
    if wrong is not None:
        message = f"a control character (U+{ord(wrong.group()):04X}) has no place here; remove it"
        raise Refused("bad-encoding", _place(file, text[: wrong.start()]), message)
    return text


def _place(file: str, before: str) -> Location:
    return Location(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _syntax_finding(file: str, error: yaml.YAMLError) -> Finding:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    location = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file, 1, 1)
    parts = (getattr(error, "context", None), getattr(error, "problem", None))
    what = ", ".join(" ".join(str(part).split()) for part in parts if part) or "the text ends too soon"
    hint = "check the indentation, and that brackets and quotes are closed"
    return Finding(Severity.ERROR, "yaml-syntax", location, f"this is no YAML: {what}; {hint}")


def _mark(event: yaml.Event) -> tuple[int, int]:
    """Return an event's line and column, both from 1."""
    mark = event.start_mark
    assert mark is not None
    return mark.line + 1, mark.column + 1


class _Composer:
    """Builds trees from the parser's events without recursion, counting as it goes."""

    def __init__(self, file: str, findings: list[Finding]) -> None:
        self._file = file
        self._findings = findings
        self._nodes = 0
        self._documents = 0
        self._aliased = 0
        self._line = 0
        self._open: list[tuple[Sequence | Mapping, Scalar | None]] = []
        self._anchors: dict[str, Node] = {}
        self._has_anchors = False
        self._unfinished: set[int] = set()
        self._root: Node | None = None

    def documents(self, text: str) -> Iterator[Tree]:
        """Yield each document that is not empty."""
        parser = _LOADER(text)
        try:
            # Millions of events: what each is, its type says soonest.
            while (event := parser.get_event()) is not None:
                kind = type(event)
                if kind is yaml.ScalarEvent:
                    self._add(self._scalar(event), event)
                elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                    self._begin(event)
                elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                    self._end()
                elif kind is yaml.AliasEvent:
                    self._alias(event)
                elif kind is yaml.DocumentStartEvent:
                    self._has_anchors |= bool(event.tags or event.version)
                elif kind is yaml.DocumentEndEvent:
                    yield from self._finished()
        finally:
            parser.dispose()

    def _finished(self) -> Iterator[Tree]:
        self._documents += 1
        if self._documents > MAX_DOCUMENTS:
            message = f"the file has more than {MAX_DOCUMENTS} documents; split it"
            raise Refused("too-large", Location(self._file, 1, 1), message)
        root, self._root, self._anchors = self._root, None, {}
        if isinstance(root, Mapping):
            yield Tree(self._file, root, self._has_anchors)
        elif root is not None and not (isinstance(root, Scalar) and root.is_null):
            message = "a document is a mapping that begins with `kind: inventory`, `provider` or `tenant`"
            raise Refused("wrong-type", Location(self._file, root.line, root.column), message)

    def _refuse(self, code: str, event: yaml.Event, message: str) -> Refused:
        return Refused(code, self._location(event), message)

    def _location(self, event: yaml.Event) -> Location:
        line, column = _mark(event)
        return Location(self._file, line, column)

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        text, tag, style = event.value, event.tag, event.style
        if tag is not None and tag not in _STRING_TAGS:
            raise self._refuse("yaml-tag", event, f"the tag {str(tag)[:60]} has no place here; leave it out")
        if len(text) > MAX_SCALAR_CHARACTERS:
            message = f"a value has {len(text)} characters; {MAX_SCALAR_CHARACTERS} are allowed"
            raise self._refuse("too-large", event, message)
        # The text has none; only what is written as an escape can be one.
        wrong = _UNPRINTABLE_VALUE.search(text) if style == '"' else None
        if wrong is not None:
            message = f"a control character (U+{ord(wrong.group()):04X}) has no place here; remove it"
            raise self._refuse("bad-encoding", event, message)
        line, column = self._place(event)
        return Scalar(text, not style and tag is None, line, column)

    def _place(self, event: yaml.Event) -> tuple[int, int]:
        """Return line and column; the line is one object for all that stands in it, which may be much."""
        mark = event.start_mark
        assert mark is not None
        if mark.line + 1 != self._line:
            self._line = mark.line + 1
        return self._line, mark.column + 1

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        if event.tag not in (None, "!"):
            raise self._refuse(
                "yaml-tag", event, f"the tag {str(event.tag)[:60]} has no place here; leave it out"
            )
        if len(self._open) >= MAX_DEPTH:
            raise self._refuse("too-deep", event, f"values are nested deeper than {MAX_DEPTH} levels")
        node: Sequence | Mapping = Mapping(*self._place(event))
        if isinstance(event, yaml.SequenceStartEvent):
            key = self._open[-1][1] if self._open else None
            starts: list[int] | None = [] if key is not None and key.text in LONG_LISTS else None
            node = Sequence(*self._place(event), in_brackets=bool(event.flow_style), starts=starts)
        self._unfinished.add(id(node))
        self._add(node, event)
        self._open.append((node, None))

    def _end(self) -> None:
        node, _ = self._open.pop()
        self._unfinished.discard(id(node))
        if self._open:
            self._open[-1][0].weight += node.weight

    def _alias(self, event: yaml.AliasEvent) -> None:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            raise self._refuse("yaml-alias", event, f"*{event.anchor} refers to no earlier &{event.anchor}")
        if id(node) in self._unfinished:
            raise self._refuse("yaml-alias", event, f"*{event.anchor} stands within itself")
        weight = 1 if isinstance(node, Scalar) else node.weight
        self._aliased += weight
        if self._aliased > MAX_ALIASED_NODES:
            message = f"aliases multiply to more than {MAX_ALIASED_NODES} values; write less with them"
            raise self._refuse("yaml-alias", event, message)
        self._add(node, event)
        if self._open and not isinstance(node, Scalar):
            self._open[-1][0].weight += weight

    def _add(self, node: Node, event: yaml.NodeEvent) -> None:
        """Put a node where the parser stands: as root, item, key, or value of the key before it."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            message = f"the file has more than {MAX_NODES} values; split it"
            raise Refused("too-large", Location(self._file, node.line, node.column), message)
        if event.anchor is not None:
            self._has_anchors = True
            self._anchors[event.anchor] = node
        if not self._open:
            self._root = node
            return
        parent, key = self._open[-1]
        if isinstance(node, Scalar):
            parent.weight += 1
        if isinstance(parent, Sequence):
            parent.items.append(node)
            if parent.starts is not None and event.start_mark is not None:
                parent.starts.append(event.start_mark.index)
            if len(parent.items) > MAX_ITEMS:
                raise self._too_many(parent, MAX_ITEMS, "items")
        elif key is None:
            self._open[-1] = (parent, self._key(node))
        else:
            self._open[-1] = (parent, None)
            self._entry(parent, key, node)

    def _key(self, node: Node) -> Scalar:
        if isinstance(node, Scalar):
            # The same few words, again and again.
            node.text = sys.intern(node.text)
            return node
        location = Location(self._file, node.line, node.column)
        raise Refused("wrong-type", location, "a key is a single word, not a list or a mapping")

    def _entry(self, parent: Mapping, key: Scalar, value: Node) -> None:
        if key.text == "<<" and key.plain:
            location = Location(self._file, key.line, key.column)
            raise Refused("yaml-merge", location, "merge keys (<<) are not read; write the keys out")
        first = parent.entries.get(key.text)
        if first is not None:
            location = Location(self._file, key.line, key.column)
            message = f"the key {key.text!r} stands here twice, first in line {first[0].line}; keep one"
            self._findings.append(Finding(Severity.ERROR, "duplicate-key", location, message))
            if len(self._findings) > MAX_DUPLICATE_KEYS:
                raise self._too_many(parent, MAX_DUPLICATE_KEYS, "duplicate keys")
            return
        parent.entries[key.text] = (key, value)
        if len(parent.entries) > MAX_KEYS:
            raise self._too_many(parent, MAX_KEYS, "keys")

    def _too_many(self, node: Sequence | Mapping, most: int, what: str) -> Refused:
        location = Location(self._file, node.line, node.column)
        return Refused("too-large", location, f"this has more than {most} {what}; split it")
