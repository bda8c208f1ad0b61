"""The project's own documents, read for what they tell a user to type, so that they stay true."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the word after its fence, and its lines without the indentation of the fence."""

    language: str
    text: str


def section(document: str, title: str) -> str:
    """Return what stands under a heading, up to the next one of its rank or higher."""
    lines = (ROOT / document).read_text(encoding="utf-8").splitlines()
    start = next(at for at, line in enumerate(lines) if line.lstrip("#").strip() == title and line[:1] == "#")
    rank = len(lines[start]) - len(lines[start].lstrip("#"))
    fenced = False
    for end in range(start + 1, len(lines)):
        fenced ^= lines[end].lstrip().startswith("```")
        marks = len(lines[end]) - len(lines[end].lstrip("#"))
        if not fenced and 0 < marks <= rank:
            return "\n".join(lines[start + 1 : end])
    return "\n".join(lines[start + 1 :])


def blocks(document: str, title: str) -> list[Block]:
    """Return the fenced blocks under a heading, in order."""
    found: list[Block] = []
    inside: list[str] | None = None
    language = ""
    for line in section(document, title).splitlines():
        if line.lstrip().startswith("```"):
            if inside is None:
                inside, language = [], line.strip().removeprefix("```")
            else:
                found.append(Block(language, textwrap.dedent("\n".join(inside)) + "\n"))
                inside = None
        elif inside is not None:
            inside.append(line)
    return found


def commands(document: str, title: str) -> list[str]:
    """Return the blocks under a heading that are to be typed into a shell."""
    return [block.text for block in blocks(document, title) if block.language == ""]


def documents(document: str, title: str) -> list[str]:
    """Return the blocks under a heading that are YAML."""
    return [block.text for block in blocks(document, title) if block.language == "yaml"]


def merged(text: str, more: str) -> str:
    """Return a YAML mapping with another one's keys in it, as who follows a how-to would edit it."""
    whole: dict[str, Any] = yaml.safe_load(text)
    whole.update(yaml.safe_load(more))
    return yaml.safe_dump(whole, sort_keys=False)
