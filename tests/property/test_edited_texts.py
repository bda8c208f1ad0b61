"""What is read of an edit alone is what a reading of all documents gives, to the last location."""

from __future__ import annotations

import json
import random
import re
from bisect import bisect_right
from collections.abc import Callable

import pytest
import yaml

from property.test_read_again import Documents, first_documents
from support.spelt import spelt
from zonewall.policy import lookups, reading_again
from zonewall.policy.kept import kept, remembered
from zonewall.policy.load import load_texts
from zonewall.policy.reread import Rereader
from zonewall.values.names import EndpointKey

FRAGMENTS = (
    "\n", "  ", " ", "- ", "---\n", "#", "# x\n", "'", '"', "{", "}", "[", "]", ",", ":", ": ", "&a ", "*a ",
    "|\n", ">\n", "!t ", "? ", "\t", "x", "web", "tcp/1", "\n  - {}\n", "\n- name: q\n", "é", "\u2028",
    "\r\n", "\x85", "~", "default: drop\n", "...\n",
    "  - name: new\n    from: web\n    to: db\n    action: allow\n",
)  # fmt: skip


ODD = (
    "# the shop\n", "# the shop\n        ", "  ", "\n", '"~mark~" #', '"~mark~" ] #', '- "~mark~" #',
    "!!str ", "! ", "!!map ", "!!seq ", "&a ", "? ", "- ", "~", "null, ", "{}, ", "\t", "\u2028", "\x85",
    "\r\n", "'~mark~', ", "[], ", '"~mark~"]\n', "%TAG !! tag:example.com,2000:\n", "...\n", "--- ",
)  # fmt: skip
"""What may stand where an item begins or ends, and moves it or gives it another meaning."""


def block(document: object) -> str:
    return yaml.safe_dump(document, sort_keys=False)


def indented(document: object) -> str:
    """Return block style whose lists stand further to the right than their keys."""

    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    return yaml.dump(document, Dumper=Dumper, sort_keys=False, explicit_start=True)


def one_line(document: object) -> str:
    return json.dumps(document)


def spread(document: object) -> str:
    return json.dumps(document, indent=1)


def listed(document: object) -> str:
    """Return block style in which each item of a list stands in a line, in brackets."""
    assert isinstance(document, dict)
    lines = []
    for key, value in document.items():
        if key == "tiers":
            lines += ["tiers:\n"]
            for tier in value:
                lines += [f"- name: {tier['name']}\n  rules:\n"]
                lines += [f"  - {json.dumps(rule)}\n" for rule in tier["rules"]]
        elif key == "endpoints":
            lines += ["endpoints:\n", *(f"- {json.dumps(one)}\n" for one in value)]
        else:
            lines += [f"{key}: {json.dumps(value)}\n"]
    return "".join(lines)


def in_brackets(document: object) -> str:
    """Return block style whose long lists have brackets, an item in each line."""
    return re.sub(r"(?m)^( *)(endpoints|rules):\n((?: *- \{.*\n)+)", _bracketed, listed(document))


def _bracketed(found: re.Match[str]) -> str:
    items = ",\n".join(re.sub("^ *- ", "  ", line) for line in found[3].splitlines())
    return f"{found[1]}{found[2]}: [\n{items}]\n"


STYLES: tuple[Callable[[object], str], ...] = (block, indented, one_line, spread)


def assert_same(reader: Rereader, texts: dict[str, bytes]) -> bool:
    """Hold a reading after others against one from nothing; return whether there was a configuration."""
    again, fresh = reader.load(texts), load_texts(texts)
    assert again.findings == fresh.findings
    assert (again.configuration is None) == (fresh.configuration is None)
    # Locations are no part of equality; they are of the text.
    assert str(again.configuration) == str(fresh.configuration)
    return fresh.configuration is not None


def edited(draw: random.Random, documents: Documents) -> None:
    acme, ends = documents["acme.yaml"], documents["inventory.yaml"]["endpoints"]
    rules = acme["tiers"][draw.randrange(2)]["rules"]
    place = draw.randrange(20)
    match draw.randrange(7):
        case 0 if rules:
            rules[place % len(rules)]["services"] = [f"tcp/{draw.choice((7, 70, 700))}"]
        case 1 if rules:
            rules.pop(place % len(rules))
        case 2:
            new = {"name": f"n{draw.randrange(10**6)}", "from": "web", "to": ["db", "ops"], "action": "drop"}
            rules.insert(place % (len(rules) + 1), new)
        case 3:
            ends[place % len(ends)]["labels"] = {"role": draw.choice(("web", "db", "none"))}
        case 4:
            number = draw.randrange(10, 250)
            mac, address = f"02:00:00:00:01:{number:02x}", f"10.0.3.{number}"
            ends.insert(
                place % (len(ends) + 1),
                {
                    "name": f"x{number}",
                    "tenant": "acme",
                    "iface-id": f"x{number}",
                    "mac": mac,
                    "ips": [address],
                },
            )
        case 5 if len(ends) > 3:
            ends.pop(place % len(ends))
        case _:
            acme["default"] = draw.choice(("drop", "reject"))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(6))
def test_documents_edited_in_order_are_read_as_from_nothing(
    style: Callable[[object], str], seed: int
) -> None:
    draw = random.Random(seed)
    documents = first_documents()
    reader = Rereader()
    for _ in range(12):
        texts = {name: style(document).encode() for name, document in documents.items()}
        assert_same(reader, texts)
        edited(draw, documents)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(3))
def test_documents_edited_from_one_start_to_the_next_are_read_as_from_nothing(
    style: Callable[[object], str], seed: int
) -> None:
    draw = random.Random(3000 + seed)
    documents = first_documents()
    reader = Rereader()
    for _ in range(8):
        texts = {name: style(document).encode() for name, document in documents.items()}
        fresh = load_texts(texts)
        for _ in range(2):
            found = reader.load(texts)
            assert found.findings == fresh.findings
            assert spelt(found.configuration) == spelt(fresh.configuration)
            again = remembered(kept(reader))
            assert again is not None
            reader = again
        edited(draw, documents)


def edit_again_and_again(
    style: Callable[[object], str], draw: random.Random, edited: Callable[[str], str]
) -> None:
    """Edit texts, take back what made them bad, and hold each reading against one from nothing."""
    good = {name: style(document).encode() for name, document in first_documents().items()}
    reader = Rereader()
    assert assert_same(reader, good)
    for _ in range(40):
        name = draw.choice(("acme.yaml", "inventory.yaml"))
        texts = {**good, name: edited(good[name].decode()).encode()}
        if assert_same(reader, texts):
            good = texts
        else:
            assert assert_same(reader, good)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(8))
def test_texts_edited_at_random_are_read_as_from_nothing(style: Callable[[object], str], seed: int) -> None:
    draw = random.Random(1000 + seed)

    def edited(text: str) -> str:
        place = draw.randrange(len(text) + 1)
        gone = draw.choice((0, 0, 1, 2, 5, 40))
        return text[:place] + draw.choice(FRAGMENTS) + text[place + gone :]

    edit_again_and_again(style, draw, edited)


@pytest.mark.parametrize("style", [*STYLES, listed, in_brackets])
@pytest.mark.parametrize("seed", range(8))
def test_texts_with_odd_words_where_items_begin_or_end_are_read_as_from_nothing(
    style: Callable[[object], str], seed: int
) -> None:
    draw = random.Random(2000 + seed)

    def edited(text: str) -> str:
        edges = [found.end() for found in re.finditer(r"(?m)^ *- |\[\s*(?=\{)|\}, *|\}\n *|\n", text)]
        place = draw.choice(edges)
        to = draw.choice((place, place, draw.choice(edges[bisect_right(edges, place) :][:6] or [place])))
        return text[:place] + draw.choice(ODD) + text[to:]

    edit_again_and_again(style, draw, edited)


RULES = "kind: tenant\ntenant: acme\nzones: {z: {}}\ntiers:\n  - name: t\n    rules:"
BLOCK = RULES + "".join(
    f"\n      - {{name: r{n}, from: any, to: z, services: [tcp/{n}], action: allow}}" for n in (1, 2, 3)
)
FLOW = f"{RULES} [" + ", ".join(
    f"{{name: r{n}, from: any, to: z, services: [tcp/{n}], action: allow}}" for n in (1, 2, 3)
) + "]"  # fmt: skip
HEAD = f"%TAG !! tag:example.com,2000:\n---\n{BLOCK}"


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (BLOCK, "- {name: r1", "- # the shop\n        {name: r1"),
        (BLOCK, "- {name: r1", "-   {name: r1"),
        (BLOCK, "allow}\n      - {name: r2", 'allow}\n      - "~mark~" #- {name: r2'),
        (BLOCK, "allow}\n      - {name: r2", 'allow}\n      - "~mark~" #      - {name: r2'),
        (FLOW, "allow}, {name: r2", 'allow}, "~mark~" ] #{name: r2'),
        (FLOW, "allow}, {name: r2", "allow}, !!str {name: r2"),
        (FLOW, "allow}, {name: r2", "allow}, ! {name: r2"),
        (HEAD, "name: r1", "name: !!str r1"),
    ],
)
def test_what_moves_items_or_gives_them_another_meaning_is_seen(text: str, old: str, new: str) -> None:
    assert old in text
    reader = Rereader()
    assert assert_same(reader, {"acme.yaml": text.encode()})
    assert_same(reader, {"acme.yaml": text.replace(old, new, 1).replace("[tcp/1]", "[tcp/11]").encode()})


@pytest.mark.parametrize("most", range(16, 26))
def test_so_many_alternatives_of_services_are_allowed_as_in_a_reading_from_nothing(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "MOST_TERMS_IN_ALL", most)
    documents = first_documents()
    documents["acme.yaml"]["services"] = {"a": ["tcp/1", "tcp/3", "tcp/5"], "b": ["a", "udp/7"]}
    rules = documents["acme.yaml"]["tiers"][1]["rules"]
    reader = Rereader()
    for services in (["b"], ["a"], ["tcp/9"], ["a", "b"], [], ["b"]):
        rules[0]["services"] = services or ["any"]
        assert_same(reader, {name: block(document).encode() for name, document in documents.items()})


def test_an_edited_rule_or_endpoint_is_read_without_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = first_documents()
    reader = Rereader()
    before = reader.load({name: block(document).encode() for name, document in documents.items()})
    documents["acme.yaml"]["tiers"][1]["rules"][1]["services"] = ["tcp/4711"]
    texts = {name: block(document).encode() for name, document in documents.items()}
    wanted = load_texts(texts)
    monkeypatch.setattr(reading_again, "read_texts", None)
    found = reader.load(texts)
    assert str(found.configuration) == str(wanted.configuration)
    assert found.configuration is not None
    assert before.configuration is not None
    assert found.configuration.inventory is before.configuration.inventory
    documents["inventory.yaml"]["endpoints"][2]["labels"] = {"role": "web"}
    again = reader.load({name: block(document).encode() for name, document in documents.items()})
    assert again.configuration is not None
    assert again.configuration.tenants == found.configuration.tenants
    assert dict(again.configuration.inventory.endpoints[EndpointKey("acme/e2")].labels or {}) == {
        "role": "web"
    }


def test_a_warning_of_what_an_edit_leaves_as_it_was_is_given_again() -> None:
    documents = first_documents()
    rules = documents["acme.yaml"]["tiers"][1]["rules"]
    rules[0].update({"action": "drop", "on-change": "keep"})
    reader = Rereader()
    for services in ("tcp/1", "tcp/2"):
        rules[1]["services"] = [services]
        texts = {name: block(document).encode() for name, document in documents.items()}
        assert "no-effect" in {finding.code for finding in load_texts(texts).findings}
        assert assert_same(reader, texts)
