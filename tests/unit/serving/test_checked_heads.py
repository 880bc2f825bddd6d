"""Heads that are checked once say what h11 would say, and refuse what it refuses."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.edge import checked_heads
from serving.edge.checked_heads import LONGEST_BYTES, REMEMBERED, Header, sent_head

NAMES = st.sampled_from([b"etag", b"X-Some", b"age", b"set-cookie", b"x-request-id", b"vary", b"Connection"])
VALUES = st.sampled_from([b"1", b"close", b"a, b", b"", b"x" * (LONGEST_BYTES + 1), "é".encode("latin-1")])
LENGTHS = st.sampled_from(
    [[], [(b"content-length", b"3")], [(b"Content-Length", b"3")], [(b"content-length", b"3")] * 2]
)


def asked(request: bytes = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n") -> h11.Connection:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(request)
    assert isinstance(connection.next_event(), h11.Request)
    return connection


def by_h11(connection: h11.Connection, headers: list[Header]) -> bytes:
    return connection.send(h11.Response(status_code=200, headers=headers, reason=b"OK"))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), LENGTHS, st.sampled_from([b"1.1", b"1.0"]))
def test_a_head_is_the_one_of_h11_in_another_order(headers: list[Header], length: list[Header], version: bytes) -> None:
    request = b"GET / HTTP/%s\r\nhost: here\r\n\r\n" % version
    for _ in range(2):  # as it is seen first, and as it is remembered
        ours, theirs = asked(request), asked(request)
        sent, expected = sent_head(ours, 200, b"OK", [*headers, *length]), by_h11(theirs, [*headers, *length])
        assert sent.partition(b"\r\n")[0] == expected.partition(b"\r\n")[0]
        assert sorted(sent.split(b"\r\n")) == sorted(expected.split(b"\r\n"))
        assert sent.endswith(b"\r\n\r\n")
        assert sent.count(b"\r\n\r\n") == 1
        assert ours.states == theirs.states
        assert ours.send(h11.Data(data=b"abc")) == theirs.send(h11.Data(data=b"abc"))
        assert ours.send(h11.EndOfMessage()) == theirs.send(h11.EndOfMessage())


@pytest.mark.parametrize(
    "headers",
    [
        [(b"etag", b"1\r\nset-cookie: a=1")],
        [(b"etag\r\n", b"1")],
        [(b"", b"1")],
        [(b"etag", b"1\x00")],
        [(b"etag", b" 1")],
        [(b"content-length", b"3"), (b"content-length", b"4")],
        [(b"content-length", b"-3")],
        [(b"transfer-encoding", b"gzip")],
    ],
)
def test_what_is_no_header_is_refused_each_time(headers: list[Header]) -> None:
    for _ in range(2):
        with pytest.raises(h11.LocalProtocolError):
            sent_head(asked(), 200, b"OK", headers)


def test_neither_credentials_nor_what_is_new_each_time_is_remembered() -> None:
    remembered = checked_heads._remembered
    remembered.cache_clear()
    for number in range(REMEMBERED + 10):
        own = b"%d" % number
        headers = [
            (b"set-cookie", own),
            (b"Set-Cookie", own),
            (b"x-request-id", own),
            (b"link", own * (LONGEST_BYTES + 1)),
            (b"etag", b'"1"'),
        ]
        sent_head(asked(), 200, b"OK", headers)
    assert remembered.cache_info().currsize == 1
