"""The published JSON Schemas are those of the models, and say the same of documents as the loader does."""

# ruff: noqa: E501 - a table is read line by line

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from zonewall.policy.document_models import KINDS
from zonewall.policy.load import load_texts
from zonewall.policy.schemas import schema_of, schema_text

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(path for path in (ROOT / "policies").rglob("*.yaml"))


class Editor(yaml.SafeLoader):
    """Reads as an editor does (YAML 1.2's core schema): no dates, no sexagesimal numbers."""


Editor.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in found if not tag.endswith(("timestamp", "int"))]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Editor.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"-?[0-9]+$"), list("-0123456789"))


def problems(document: Any) -> list[str]:
    kind = document.get("kind", "tenant")
    return [error.message for error in Draft202012Validator(schema_of(kind)).iter_errors(document)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_schema_is_what_make_docs_writes(kind: str) -> None:
    published = ROOT / "policies" / "schema" / f"{kind}.json"

    assert published.read_text(encoding="utf-8") == schema_text(kind), "write it anew: make docs"
    Draft202012Validator.check_schema(schema_of(kind))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_example_is_valid_under_its_schema(path: Path) -> None:
    for document in yaml.load_all(path.read_text(encoding="utf-8"), Loader=Editor):
        assert problems(document) == []


RULE = "{name: r, from: any, to: any, action: allow"
WRONG = {
    "an unknown key": "kind: tenant\ntenant: acme\nzoness: {}",
    "a missing key": "kind: tenant",
    "an unknown action": f"kind: tenant\ntenant: a\ntiers: [{{name: t, rules: [{RULE.replace('allow', 'permit')}}}]}}]",
    "an empty list of peers": f"kind: tenant\ntenant: a\ntiers: [{{name: t, rules: [{RULE.replace('from: any', 'from: []')}}}]}}]",
    "a limit without a unit": f"kind: tenant\ntenant: a\ntiers: [{{name: t, rules: [{RULE}, limit: '100'}}]}}]",
    "an unknown key of a service": f"kind: tenant\ntenant: a\ntiers: [{{name: t, rules: [{RULE}, services: [{{proto: tcp, port: 1}}]}}]}}]",
    "a MAC that is none": "kind: inventory\nendpoints: [{name: a, tenant: a, iface-id: a, mac: '52:54'}]",
    "an attachment that is none": "kind: inventory\nhosts: {h: {bridges: {b: {attachment: magic}}}}",
    "a VLAN beyond 4094": "kind: inventory\nservice-functions: {f: {kind: vlan-pair, out: 5000, back: 1}}",
    "a rate of connections without a time": "kind: provider\nlimits: {new-connections: '10'}",
    "an unknown multicast": "kind: provider\nmulticast: [ospf]",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_what_the_schema_refuses_the_loader_refuses_too(text: str) -> None:
    assert problems(yaml.load(text, Loader=Editor))
    assert load_texts({"x.yaml": text.encode()}).configuration is None


def test_a_single_value_stands_for_a_list_and_numbers_for_words() -> None:
    text = (
        f"kind: tenant\ntenant: a\nzones: {{z: {{labels: {{rack: 7}}, cidrs: 10.0.0.0/8}}}}\n"
        f"tiers: [{{name: t, rules: [{RULE}, services: {{proto: 6, ports: 80}}, on-change: drain 30s,\n"
        "  expires: 2030-01-01T00:00:00Z, hours: {days: [mon-fri, sun], from: '08:00', to: '24:00'}}]}]\n"
        "assert: [{from: any, to: z, never: allow}]\n"
    )

    assert problems(yaml.load(text, Loader=Editor)) == []
    assert load_texts({"x.yaml": text.encode()}).configuration is not None
