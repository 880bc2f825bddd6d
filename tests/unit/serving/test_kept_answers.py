"""Which answers are kept, for how long, and how many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.caching import answers
from serving.caching.answers import Answer, Memory
from serving.caching.conditional import entity_tag, is_current
from serving.caching.keys import Key
from serving.observability.request_ids import request_id_of

JSON = (b"content-type", b"application/json")


def key(number: int) -> Key:
    return Key(f"/api/v1/{number}", (), b"", b"", "1")


def answer(size: int = 10) -> Answer:
    return Answer.of(200, [JSON], b"x" * size, "/api/v1/{number}")


def test_a_success_gets_validators() -> None:
    headers = dict(answer().headers)
    assert headers[b"etag"] == entity_tag(b"x" * 10)
    assert headers[b"cache-control"] == b"private, no-cache"
    assert headers[b"vary"] == b"Accept, Authorization"
    assert headers[b"content-type"] == b"application/json"


def test_what_a_route_says_of_its_answer_stands() -> None:
    given_headers = [JSON, (b"etag", b'"stored"'), (b"cache-control", b"private, max-age=60"), (b"vary", b"X-Form")]
    made = Answer.of(200, given_headers, b"", "")
    assert dict(made.headers) == dict(given_headers) | {b"vary": b"Accept, Authorization, X-Form"}
    assert len(made.headers) == 4
    assert made.tag == b'"stored"'


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (404, []),
        (503, []),
        (201, []),
        (200, [(b"set-cookie", b"a=1")]),
        (200, [(b"cache-control", b"No-Store")]),
    ],
)
def test_what_may_not_be_kept_is_left_as_it_is(status: int, headers: list[tuple[bytes, bytes]]) -> None:
    made = Answer.of(status, headers, b"body", "")
    assert made.headers == headers
    assert not Memory(10**6, 300).takes(made)


def test_memory_is_bound_and_the_least_asked_for_goes_first() -> None:
    room = answer(1_000).size
    memory = Memory(10 * room, 300)
    for number in range(10):
        memory.put(key(number), answer(1_000))
    assert memory.get(key(0)) is not None
    memory.put(key(10), answer(1_000))
    assert (len(memory), memory.bytes, memory.evicted) == (10, 10 * room, 1)
    assert memory.get(key(0)) is not None
    assert memory.get(key(1)) is None


def test_one_answer_is_kept_once() -> None:
    memory = Memory(10**6, 300)
    memory.put(key(1), answer(1_000))
    memory.put(key(1), answer(10))
    assert (len(memory), memory.bytes) == (1, answer(10).size)


def test_an_answer_that_would_push_out_the_others_is_not_kept() -> None:
    memory = Memory(80_000, 300)
    assert memory.takes(answer(8_000))
    assert not memory.takes(answer(10_000))
    assert not Memory(0, 300).takes(answer())


def test_answers_grow_old(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(10**6, 300)
    made = answer()
    memory.put(key(1), made)
    monkeypatch.setattr(answers.time, "time", lambda: made.created + 299.9)
    assert memory.get(key(1)) is made
    monkeypatch.setattr(answers.time, "time", lambda: made.created + 300)
    assert memory.get(key(1)) is None
    assert (len(memory), memory.bytes) == (0, 0)


@given(st.binary(), st.lists(st.tuples(st.binary(min_size=1), st.binary())))
def test_packing_loses_nothing(body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    made = Answer(200, headers, body, "/api/v1/{x}", 1.5, b'"tag"')
    assert Answer.unpacked(made.packed()) == made


@given(st.binary())
def test_other_bytes_are_no_answer(packed: bytes) -> None:
    assert Answer.unpacked(packed) is None


@pytest.mark.parametrize(
    "packed", [b"", b"{}\n", b"[]\nx", b'{"headers":1,"created":2,"route":"","tag":""}\n', b"null\n"]
)
def test_broken_bytes_are_no_answer(packed: bytes) -> None:
    assert Answer.unpacked(packed) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b'"a"', True),
        (b'W/"a"', True),
        (b'"b", "a"', True),
        (b'"b",W/"a"', True),
        (b" * ", True),
        (b'"b"', False),
        (b"a", False),
        (b'"a', False),
        (b"", False),
        (b'"*"', False),
    ],
)
def test_if_none_match(header: bytes, expected: bool) -> None:
    assert is_current(header, b'"a"') is expected


def test_a_weak_tag_of_a_route_matches_itself() -> None:
    assert is_current(b'W/"a"', b'W/"a"')


@given(st.binary(), st.binary())
def test_tags_differ_with_the_body(one: bytes, other: bytes) -> None:
    assert (entity_tag(one) == entity_tag(other)) == (one == other)


@pytest.mark.parametrize("given_id", [b"", b"a b", b"a\nb", b"x" * 129, "é".encode(), b'"', b"a;b", b"<x>"])
def test_a_request_id_that_could_break_a_line_is_replaced(given_id: bytes) -> None:
    assert request_id_of(given_id) != given_id.decode("latin-1")
    assert len(request_id_of(given_id)) == 32


def test_a_sane_request_id_is_kept() -> None:
    assert request_id_of(b"3f2c:A-9_.") == "3f2c:A-9_."
    assert request_id_of(None) != request_id_of(None)
