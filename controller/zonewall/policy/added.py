"""Endpoints that were added by command: one more document of the configuration, checked like any other.

Its text has one endpoint a line, so that what is said of a line is said of an endpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zonewall.errors import ConfigurationError
from zonewall.policy.findings import Finding, Severity
from zonewall.values.names import EndpointKey

if TYPE_CHECKING:
    from zonewall.policy.yamltree import Tree

ADDED = "(added by command)"
"""The document's name among the others; no file of a directory has it, because those end in ``.yaml``."""

Part = Mapping[str, Any]
"""One endpoint as it was said: text, lists and mappings."""

_BREAKS = {ord(each): f"\\u{ord(each):04x}" for each in "\x85\u2028\u2029"}
"""What YAML takes for the end of a line and JSON does not."""


def added_text(parts: Sequence[object]) -> bytes:
    """Return the document of these endpoints, none for none; whether it is good is found by reading it."""
    lines = [f"- {json.dumps(part, ensure_ascii=False).translate(_BREAKS)}\n" for part in parts]
    text = "kind: inventory\nendpoints:\n" + "".join(lines) if lines else ""
    return text.encode("utf-8", "backslashreplace")


def added_parts(text: bytes) -> list[Part]:
    """Return the endpoints of such a document, also of one that was edited by hand.

    Raises:
        ConfigurationError: it is no YAML, or says something else than endpoints.
    """
    from zonewall.policy.yamltree import read_trees  # noqa: PLC0415 - a start does without it, mostly

    trees, findings = read_trees(ADDED, text)
    parts: list[Part] = []
    for tree in trees:
        found = _endpoints(tree)
        if found is None:
            message = "what is added by command is `kind: inventory` and a list of mappings, `endpoints`"
            findings.append(Finding(Severity.ERROR, "wrong-type", tree.at(), message))
        else:
            parts += found
    if findings:
        raise ConfigurationError(tuple(findings))
    return parts


def part_key(part: Part) -> EndpointKey:
    """Return which endpoint an entry is about."""
    return EndpointKey(f"{part.get('tenant')}/{part.get('name')}")


def _endpoints(tree: Tree) -> list[Part] | None:
    from zonewall.policy.shape import plain  # noqa: PLC0415 - as above

    said = plain(tree.root)
    endpoints = said.get("endpoints") or []
    if said.get("kind") != "inventory" or said.keys() - {"kind", "endpoints"}:
        return None
    if not isinstance(endpoints, list) or not all(isinstance(part, dict) for part in endpoints):
        return None
    return endpoints
