"""A stream of JSON objects is cut at their ends, however it arrives, and never grows beyond bounds."""

from __future__ import annotations

import contextlib
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonewall.ovsdb.framing import MAX_DEPTH, Framer, MalformedStreamError, Room, parse_document

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.text('"\\{}[]'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('ab"\\{'), inner, max_size=4),
    max_leaves=12,
)
_DOCUMENTS = st.lists(st.dictionaries(st.text(), _VALUES, max_size=4), max_size=5)


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def _framer(limit_bytes: int) -> Framer:
    return Framer(Room(limit_bytes, limit_bytes, limit_bytes))


def _drain(framer: Framer) -> list[object]:
    documents = []
    while (document := framer.pop()) is not None:
        documents.append(parse_document(document))
    return documents


@given(
    _DOCUMENTS,
    st.booleans(),
    st.lists(st.integers(1, 40), min_size=1),
    st.sampled_from(["", " ", "\n\t"]),
)
def test_documents_come_out_as_they_went_in_however_they_are_split(
    documents: list[object], ascii_only: bool, sizes: list[int], between: str
) -> None:
    data = between.join(json.dumps(one, ensure_ascii=ascii_only) for one in documents).encode()
    framer, out, turn = _framer(1 << 20), [], 0
    while data:
        size = sizes[turn % len(sizes)]
        framer.feed(data[:size])
        out += _drain(framer)
        data, turn = data[size:], turn + 1
    assert out == documents


@given(st.binary(max_size=200), st.integers(1, 7))
def test_any_bytes_end_in_objects_or_in_a_refusal(data: bytes, size: int) -> None:
    framer = _framer(100)
    with contextlib.suppress(MalformedStreamError):
        for piece in _pieces(data, size):
            framer.feed(piece)
            assert all(isinstance(one, dict) for one in _drain(framer))


@pytest.mark.parametrize("split", [1, 7, 10_000])
def test_a_document_beyond_the_limit_is_refused_before_it_ends(split: int) -> None:
    framer = _framer(100)
    with pytest.raises(MalformedStreamError, match="longer than 100 bytes"):
        list(map(framer.feed, _pieces(b'{"a":"' + b"x" * 200, split)))


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(MalformedStreamError, match="no JSON object"):
        _framer(100).feed(b"GET / HTTP/1.1")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(MalformedStreamError, match="deeper"):
        _framer(10_000).feed(b'{"a":' + b"[" * MAX_DEPTH)


_NO_JSON = [b'{"a":NaN}', b'{"a":"\xff"}', b'{"a"}', b"{]", b'{"a":' + b"1" * 5000 + b"}"]


@pytest.mark.parametrize("text", _NO_JSON)
def test_a_document_that_is_no_json_is_refused(text: bytes) -> None:
    framer = _framer(10_000)
    framer.feed(text)
    document = framer.pop()
    assert document is not None
    with pytest.raises(MalformedStreamError, match="no JSON"):
        parse_document(document)


@pytest.mark.parametrize("element", [b"1,", b"[],", b'"",'])
def test_a_document_of_more_values_than_any_database_tells_is_refused_before_it_is_parsed(
    element: bytes,
) -> None:
    """A few bytes of text become many of memory, and others wait while it is parsed."""
    framer = Framer(Room(64 << 20, 1_000, 2_000))
    framer.feed(b'{"a":[' + element * 400 + b"0]}")
    framer.feed(b'{"a":[' + element * 400)
    with pytest.raises(MalformedStreamError, match="more values than any database tells"):
        framer.feed(element * 700)


def test_others_have_turns_while_a_document_is_parsed() -> None:
    """The parser itself holds the interpreter's lock to its end; a function of Python can give it away."""
    document = json.dumps({f"row{number}": {"name": "port"} for number in range(100)}).encode()
    lines = 0

    def called(frame: object, event: str, what: object) -> None:
        nonlocal lines
        lines += event == "call"

    sys.setprofile(called)
    try:
        parse_document(document)
    finally:
        sys.setprofile(None)
    assert lines > 100
