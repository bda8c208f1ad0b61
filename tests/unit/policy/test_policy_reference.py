"""The policy reference says what is so: examples are loaded, verdicts are asked, errors are made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.configurations import probe
from zonewall.intent.analysis.acceptance import accept
from zonewall.intent.semantics import Verdict, verdict
from zonewall.policy.document_models import KINDS
from zonewall.policy.load import load_texts
from zonewall.policy.model import Configuration
from zonewall.policy.schemas import schema_of

PAGE = Path(__file__).parents[3] / "docs" / "policy-reference.md"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
BLOCK = re.compile(r"^```(.*)\n((?:.*\n)*?)^```$", re.MULTILINE)
LINE = re.compile(
    r"(\S+) -> (\S+) (\S+?)(?: from ([0-9]+))?: (allow|drop|reject) (\S+)"
    r"(?: mirror (\S+))?(?: through (\S+))?( log)?( watched)?(?: at (\S+))?"
)
KEY = re.compile(r"^(?=[a-z])", re.MULTILINE)


@dataclass
class Example:
    """One state of the documents and what is said of it."""

    place: str
    documents: dict[str, str]
    refused: bool = False
    verdicts: list[str] = field(default_factory=list)
    error: str = ""


def parts(document: str) -> dict[str, str]:
    """Return a document's top-level keys with their text."""
    return {part.split(":")[0]: part for part in KEY.split(document) if part.strip()}


def examples() -> Iterator[Example]:
    base: dict[str, str] = {}
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name = section.splitlines()[0]
        documents, current, closed = dict(base), None, False
        for number, found in enumerate(BLOCK.finditer(section)):
            words, text = found[1].split(), found[2]
            if words[:1] == ["yaml"]:
                if closed:
                    documents, current, closed = dict(base), None, False
                old = parts(documents.get(words[1], ""))
                documents[words[1]] = "".join({**old, **parts(text)}.values())
                if name == "The examples":
                    base[words[1]] = documents[words[1]]
                current = Example(f"{name} {number}", dict(documents), "refused" in words)
            elif words in (["verdicts"], ["error"]):
                assert current is not None, f"{name}: {found[0]} belongs to nothing"
                current.verdicts += text.splitlines() if words == ["verdicts"] else []
                current.error = text.strip() if words == ["error"] else ""
                closed = True
                yield current
            else:
                assert not words, f"{name}: a block of {words} is not read by this test"


ALL = list(examples())


def load(example: Example) -> Configuration | None:
    texts = {f"{name}.yaml": text.encode() for name, text in example.documents.items()}
    result = accept(load_texts(texts), NOW)
    errors = [str(finding) for finding in result.findings if finding.is_error]
    if example.refused:
        assert any(example.error in error for error in errors), errors
    else:
        assert errors == []
    return result.configuration


@pytest.mark.parametrize("example", ALL, ids=lambda one: one.place)
def test_an_example_means_what_is_said_beside_it(example: Example) -> None:
    configuration = load(example)
    if example.refused:
        assert example.error
        return
    assert configuration is not None
    assert example.verdicts
    for line in example.verdicts:
        read = LINE.fullmatch(line)
        assert read is not None, line
        source, destination = (
            one if "." in one or "/" in one else f"acme/{one}" for one in read.groups()[:2]
        )
        sport = 40000 if read[4] is None else int(read[4])
        asked = probe(source, destination, read[3], sport=sport, tenant="acme", time=read[11] or NOW)
        said = verdict(configuration, asked)
        assert isinstance(said, Verdict), (line, said)
        targets, functions = ((read[n] or "").split(",") if read[n] else [] for n in (7, 8))
        assert (said.verdict.value, said.rule) == (read[5], read[6]), line
        assert (list(said.mirror), list(said.through)) == (targets, functions), line
        assert (said.log == "connections", said.monitored) == (bool(read[9]), bool(read[10])), line


def keys(schema: object) -> Iterator[str]:
    """Yield every key of a document's schema."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        schema = list(schema.values())
    for part in schema if isinstance(schema, list) else ():
        yield from keys(part)


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_a_document_is_on_the_page(kind: str) -> None:
    """Those of ``respond`` are on the page about an IDS, to which it leads."""
    said = PAGE.read_text(encoding="utf-8") + (PAGE.parent / "ids.md").read_text(encoding="utf-8")
    words = set(re.findall(r"[a-z][a-z-]*", said))

    assert [key for key in keys(schema_of(kind)) if key not in words] == []


def test_the_page_has_examples_of_every_part_of_the_language() -> None:
    assert len(ALL) >= 15
    assert sum(example.refused for example in ALL) >= 3
    assert sum(len(example.verdicts) for example in ALL) >= 50
