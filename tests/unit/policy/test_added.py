"""What is added by command is one more document: it says what was said, and is refused as a document is."""

from __future__ import annotations

import pytest

from zonewall.errors import ConfigurationError
from zonewall.policy.added import ADDED, added_parts, added_text, part_key
from zonewall.policy.load import load_texts

TENANT = b"kind: tenant\ntenant: acme\n"
GOOD = {"name": "web1", "tenant": "acme", "mac": "52:54:00:00:00:01", "iface-id": "web1"}


def test_what_was_said_is_read_as_it_was_said() -> None:
    parts = [GOOD, {**GOOD, "name": "web2", "labels": {"note": "é\u2028☃😀", "yes": "no"}}]
    assert added_parts(added_text(parts)) == parts


def test_a_control_character_is_refused_as_in_any_document() -> None:
    for character in "\x07\x7f\x85":
        with pytest.raises(ConfigurationError, match="a control character"):
            added_parts(added_text([{**GOOD, "labels": {"note": f"a{character}b"}}]))


def test_numbers_and_truth_values_are_words_as_in_any_document() -> None:
    assert added_parts(added_text([{**GOOD, "labels": {"rack": 7, "spare": True}}])) == [
        {**GOOD, "labels": {"rack": "7", "spare": "true"}}
    ]


def test_nothing_added_is_no_document() -> None:
    assert added_text([]) == b""
    assert added_parts(b"") == []


def test_a_file_that_was_edited_by_hand_may_be_any_inventory_of_endpoints() -> None:
    text = b"kind: inventory\nendpoints:\n  - name: web1\n    tenant: acme\n    mac: 52:54:00:00:00:01\n"
    assert [part_key(part) for part in added_parts(text)] == ["acme/web1"]


@pytest.mark.parametrize(
    "text",
    [
        b"kind: tenant\ntenant: acme\n",
        b"kind: inventory\nhosts: {hv9: {}}\n",
        b"kind: inventory\nendpoints: {web1: {}}\n",
        b"kind: inventory\nendpoints: [web1]\n",
        b"kind: [",
        b"\xff\xfe",
    ],
)
def test_a_file_that_says_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"\(added by command\):[12]:1"):
        added_parts(text)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"mac": "52:54:00:00:00"}, "MAC"),
        ({"mac": ["52:54:00:00:00:01"]}, "a list"),
        ({"colour": "red"}, "the key 'colour' is not known"),
        ({"iface-id": None}, "say how its port is known"),
        ({"ips": ["10.0.0.1", "10.0.0"]}, "10.0.0"),
        ({"labels": {"role": "x" * 5000}}, "characters"),
    ],
)
def test_a_bad_one_is_refused_with_the_words_of_a_document_and_its_own_line(
    more: dict[str, object], message: str
) -> None:
    parts = [GOOD, {**GOOD, "name": "web2", "mac": "52:54:00:00:00:02", "iface-id": "web2", **more}]
    read = load_texts({"acme.yaml": TENANT, ADDED: added_text(parts)})
    assert read.configuration is None
    assert [(one.location.file, one.location.line) for one in read.findings if one.is_error] == [(ADDED, 4)]
    assert message in str(read.findings[0])
