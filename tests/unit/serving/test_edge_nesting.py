"""How deep a text is nested, against a count bracket by bracket."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.edge.nesting import is_deeper_than

LEVELS = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(alphabet='a"\\[]{}', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='b"\\[{', max_size=3), inner, max_size=3)
    ),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(LEVELS)
def test_the_depth_of_json_is_that_of_its_value(value: object) -> None:
    depth = depth_of(value)
    for text in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        assert not is_deeper_than(text.encode(), depth)
        assert depth == 0 or is_deeper_than(text.encode(), depth - 1)


@pytest.mark.parametrize(
    ("text", "is_deeper"),
    [
        (b"[" * 32 + b"]" * 32, False),
        (b"[" * 33 + b"]" * 33, True),
        (b'{"a":' * 33 + b"1" + b"}" * 33, True),
        (b"[" * 100_000, True),
        (b"[{" * 50_000, True),
        (b"[" * 33, True),
        (b"[" * 33 + b'\\"' + b"]" * 33, True),
        (b"[[" * 10 + b"}}}" + b"[]" * 100, False),
        (b"]" * 100_000, False),
        (b"[]," * 100_000, False),
        (b'"' + b"[" * 100_000 + b'"', False),
        (b'"\\"' + b"[" * 100_000 + b'"', False),
        (b'"\\\\"' + b"[" * 100_000, True),
        (b"", False),
        (b"\xff\xfe[", False),
    ],
)
def test_what_is_no_json_is_judged_by_what_a_parser_reaches(text: bytes, is_deeper: bool) -> None:
    assert is_deeper_than(text, 32) is is_deeper


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 2**20,
        b"[]" * 2**19,
        b"]" * 2**20,
        (b"[" * 32 + b"]" * 32) * 2**14,
        b'"a\\\\b",' * 2**17,
        b"{}[" * 349_525,
    ],
    ids=["open", "pairs", "close", "blocks", "strings", "left"],
)
def test_a_mebibyte_takes_little_time(text: bytes) -> None:
    started = time.process_time()
    is_deeper_than(text, 32)
    assert time.process_time() - started < 0.5
