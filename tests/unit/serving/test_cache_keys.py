"""Which requests share an answer."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from serving.caching.keys import CALLER, canonical_query, key_of

NAMES = st.sampled_from(["a", "b", "%61", "a b", "", "ä"])
PAIRS = st.lists(st.tuples(NAMES, st.text(max_size=3)), max_size=6)
RAW = st.lists(st.sampled_from(["a", "b", "%61", "=", "&", "1", "2", "+", "%", ";", "%00", "\xff"]), max_size=12)


def scope(path: str = "/api/v1/x", query: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = (), **more: object):
    return {"path": path, "query_string": query, "headers": headers, **more}


def as_routes_see(query: bytes) -> dict[str, list[str]]:
    """What a route can learn of a query: each name's values in their order, the last of which a single value is."""
    parameters = QueryParams(query)
    return {name: parameters.getlist(name) for name in parameters}


@given(RAW, RAW)
def test_queries_with_one_key_are_the_same_to_routes(first: list[str], second: list[str]) -> None:
    one, other = ("".join(parts).encode("latin-1") for parts in (first, second))
    if canonical_query(one) == canonical_query(other):
        assert as_routes_see(one) == as_routes_see(other)


@given(PAIRS, st.randoms())
def test_the_order_of_names_does_not_count(pairs: list[tuple[str, str]], random) -> None:
    names = sorted({name for name, _ in pairs})
    random.shuffle(names)
    grouped = [(name, value) for chosen in names for name, value in pairs if name == chosen]
    assert canonical_query(urlencode(grouped).encode()) == canonical_query(urlencode(pairs).encode())


@given(PAIRS)
def test_nothing_of_a_query_is_lost(pairs: list[tuple[str, str]]) -> None:
    query = urlencode(pairs)
    assert sorted(canonical_query(query.encode())) == sorted(parse_qsl(query, keep_blank_values=True))


def test_the_order_of_one_name_counts() -> None:
    assert canonical_query(b"a=1&a=2") != canonical_query(b"a=2&a=1")
    assert canonical_query(b"%61=1&a=2") != canonical_query(b"a=2&%61=1")  # one name, written in two ways


@pytest.mark.parametrize(
    "other",
    [
        scope("/api/v1/y"),
        scope(query=b"a=1"),
        scope(headers=((b"accept", b"text/csv"),)),
        scope(headers=((b"authorization", b"Bearer 1"),)),
        scope(headers=((b"cookie", b"session=1"),)),
        scope(headers=((b"x-api-key", b"1"),)),
        scope(**{CALLER: "user 1"}),
    ],
)
def test_requests_that_may_be_answered_differently_have_different_keys(other) -> None:
    key = key_of(scope(), "1")
    assert key_of(other, "1") != key
    assert key_of(other, "1").digest() != key.digest()
    assert key_of(scope(), "2").digest() != key.digest()


def test_two_callers_never_share_a_key() -> None:
    headers = [((b"authorization", b"Bearer %d" % number),) for number in range(2)]
    assert key_of(scope(headers=headers[0]), "1") != key_of(scope(headers=headers[1]), "1")
    known = [key_of(scope(headers=headers[number], **{CALLER: "one"}), "1") for number in range(2)]
    assert known[0] == known[1]  # two tokens of one caller
    swapped = [((b"cookie", b"1"), (b"x-api-key", b"2")), ((b"cookie", b"2"), (b"x-api-key", b"1"))]
    assert key_of(scope(headers=swapped[0]), "1") != key_of(scope(headers=swapped[1]), "1")


def test_no_key_holds_a_credential() -> None:
    key = key_of(scope(headers=((b"authorization", b"Bearer secret"),)), "1")
    assert "secret" not in repr(key)


def test_other_headers_do_not_count() -> None:
    headers = ((b"user-agent", b"x"), (b"x-request-id", b"1"), (b"if-none-match", b'"a"'))
    assert key_of(scope(headers=headers), "1") == key_of(scope(), "1")


@given(st.text(), st.binary(max_size=20))
def test_every_path_and_header_has_a_digest(path: str, accept: bytes) -> None:
    assert len(key_of(scope(path, headers=((b"accept", accept),)), "1").digest()) == 40
