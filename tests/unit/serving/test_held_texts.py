"""Texts of stored series that a process holds, so that Postgres need not send them again."""

from __future__ import annotations

from datetime import date

from pipeline.store.served_series import ServedSeries, digest_of
from serving.stored_series import HeldTexts


def series(*bodies: bytes) -> ServedSeries:
    return ServedSeries(bodies, tuple(map(digest_of, bodies)), date(2022, 1, 3))


def test_what_was_kept_last_is_held() -> None:
    texts = HeldTexts()
    assert texts.of("prices", "AAPL") == {}
    texts.keep("prices", "AAPL", series(b"2020", b"2021"))
    texts.keep("prices", "AAPL", series(b"2020", b"2021 and more"))
    assert list(texts.of("prices", "AAPL").values()) == [b"2020", b"2021 and more"]
    assert texts.of("instrument_risk", "AAPL") == {}


def test_those_not_asked_for_longest_make_room() -> None:
    texts = HeldTexts(most_bytes=10)
    for symbol in ("A", "B", "A", "C"):
        texts.keep("prices", symbol, series(symbol.encode() * 4))
    assert [bool(texts.of("prices", symbol)) for symbol in ("A", "B", "C")] == [True, False, True]


def test_a_series_that_is_too_long_is_not_held_and_takes_no_room() -> None:
    texts = HeldTexts(most_bytes=10)
    texts.keep("prices", "A", series(b"12345678901"))
    assert texts.of("prices", "A") == {}
    texts.keep("prices", "B", series(b"1234567890"))
    assert list(texts.of("prices", "B").values()) == [b"1234567890"]


def test_an_answer_is_made_once_for_all_that_is_told_beside_it() -> None:
    texts = HeldTexts()
    body, tag = texts.keep("prices", "A", series(b"[1]", b"[2]")).answered(b'{"data":[],"notice":1}')
    assert body == b'{"data":[[1],[2]],"notice":1}'
    same = texts.keep("prices", "A", series(b"[1]", b"[2]"))
    assert same.answered(b'{"data":[],"notice":1}')[0] is body
    other, other_tag = same.answered(b'{"data":[],"notice":2}')
    assert other == b'{"data":[[1],[2]],"notice":2}'
    assert tag != other_tag


def test_texts_that_are_parts_of_an_answer_make_the_next_one() -> None:
    texts = HeldTexts()
    _, tag = texts.keep("prices", "A", series(b"[1]", b"[2]")).answered(b'{"data":[]}')
    first, _ = texts.of("prices", "A").values()
    assert isinstance(first, memoryview)
    changed = ServedSeries((first, b"[22]"), (digest_of(b"[1]"), digest_of(b"[22]")), date(2022, 1, 4))
    body, changed_tag = texts.keep("prices", "A", changed).answered(b'{"data":[]}')
    assert body == b'{"data":[[1],[22]]}'
    assert changed_tag != tag
    assert list(texts.of("prices", "A").values()) == [b"[1]", b"[22]"]
