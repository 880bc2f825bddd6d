"""When a payload is refused as a whole, and what is said of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.market_data.rules.html_payload import refuse_html_payload
from pipeline.market_data.rules.schema_drift import refuse_schema_drift
from pipeline.market_data.rules.truncated_payload import refuse_truncated_payload
from pipeline.market_data.rules.unparsable_payload import PayloadForm, excerpt, refuse_unparsable_payload

ROWS = [{"date": "2024-06-03", "close": 1.5, "name": 'A "quoted" é'}, {"date": "2024-06-04", "close": None, "name": ""}]
JSON = json.dumps(ROWS, ensure_ascii=False).encode()
OBJECT = json.dumps({"count": 2, "rows": ROWS}).encode()
TABLE = 'DAY,VALUE,TITLE\r\n2024-06-03,1.5,"A, b"\r\n2024-06-04,1.25,Zürich\r\n'.encode()

# Web pages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"<!DOCTYPE html><p>", b"  \n<HTML lang=en>", b"\xef\xbb\xbf<html>", b"<head></head>", b"<body>"]
)
def test_a_web_page_is_known_by_its_beginning(content: bytes) -> None:
    assert refuse_html_payload(content, "application/json") == "it is a web page"


@pytest.mark.parametrize("media_type", ["text/html", "text/html; charset=utf-8", "TEXT/HTML", "application/xhtml+xml"])
def test_a_web_page_is_known_by_its_declaration(media_type: str) -> None:
    assert "declared" in (refuse_html_payload(b"Please wait", media_type) or "")


@pytest.mark.parametrize("content", [JSON, OBJECT, TABLE, b"", b"a < b"])
@pytest.mark.parametrize("media_type", ["application/json", "text/csv", ""])
def test_data_is_no_web_page(content: bytes, media_type: str) -> None:
    assert refuse_html_payload(content, media_type) is None


def test_an_empty_answer_is_no_web_page() -> None:
    assert refuse_html_payload(b" ", "text/html") is None


# Truncation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [JSON, OBJECT, b"[]", b"{}", b' [1, "]"]\n'])
def test_whole_json_is_whole(whole: bytes) -> None:
    assert refuse_truncated_payload(whole, "json") is None


@pytest.mark.parametrize("whole", [JSON, OBJECT])
def test_json_that_is_cut_anywhere_is_truncated(whole: bytes) -> None:
    for length in range(1, len(whole)):
        assert refuse_truncated_payload(whole[:length], "json"), whole[:length]


@pytest.mark.parametrize(
    "text", [b"", b"  ", b"You have run over", b'[{"a" 1}]', b"[1] trailing]", b"\xff\xfe\xff\xff"]
)
def test_what_is_wrong_in_another_way_is_not_called_truncated(text: bytes) -> None:
    assert refuse_truncated_payload(text, "json") is None


def test_a_table_that_is_cut_is_truncated_where_its_transfer_does_not_say_its_length() -> None:
    assert refuse_truncated_payload(TABLE, "csv", is_framed=False) is None
    line_ends = {position + 1 for position, byte in enumerate(TABLE) if byte == ord("\n")}
    for length in set(range(1, len(TABLE))) - line_ends:
        assert refuse_truncated_payload(TABLE[:length], "csv", is_framed=False), TABLE[:length]


def test_a_table_with_a_length_needs_whole_rows_alone() -> None:
    assert refuse_truncated_payload(TABLE.rstrip(), "csv") is None
    assert refuse_truncated_payload(b"A,B\n1,2\n3", "csv") == "its last row has 1 cells of 2"
    assert refuse_truncated_payload(b"A,B", "csv") is None


# Form ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "form"), [(JSON, "json"), (OBJECT, "json"), (TABLE, "csv"), (b"\xef\xbb\xbf[]", "json")]
)
def test_what_has_the_form_is_let_pass(content: bytes, form: PayloadForm) -> None:
    assert refuse_unparsable_payload(content, form) is None


@pytest.mark.parametrize(
    ("content", "form", "said"),
    [
        (b"", "json", "it is empty"),
        (b" \n ", "csv", "it is empty"),
        (b"\xff\xfe\xff", "json", "it is not UTF-8 text"),
        (b"[1\0]", "json", "it holds NUL characters"),
        (b"Error: no\nsuch thing", "json", "it is plain text: 'Error: no such thing'"),
        (b"Service unavailable", "csv", "it is plain text: 'Service unavailable'"),
        (b"[1 2]", "json", "it is no JSON at character 3: Expecting ',' delimiter"),
        (b'[{"close": NaN}]', "json", "it is no JSON: NaN is no number"),
        (b"[-Infinity]", "json", "it is no JSON: -Infinity is no number"),
        (b"[" * 100_000 + b"]" * 100_000, "json", "its JSON is nested too deeply"),
        (b"[" + b"9" * 10_000 + b"]", "json", "it is no JSON: Exceeds the limit"),
    ],
)
def test_what_has_not_the_form_is_told(content: bytes, form: PayloadForm, said: str) -> None:
    assert (refuse_unparsable_payload(content, form) or "").startswith(said)


@given(st.binary(max_size=200), st.sampled_from(["json", "csv"]), st.booleans())
def test_the_rules_never_fail_and_what_they_let_pass_can_be_read(
    content: bytes, form: PayloadForm, is_framed: bool
) -> None:
    refuse_html_payload(content, "text/csv")
    refuse_truncated_payload(content, form, is_framed=is_framed)
    if refuse_unparsable_payload(content, form) is None and form == "json":
        json.loads(content.decode("utf-8-sig"))


@given(st.text(max_size=300))
def test_an_excerpt_is_one_short_line(text: str) -> None:
    assert "\n" not in excerpt(text)
    assert len(excerpt("x" * len(text))) <= 102


# Shape -----------------------------------------------------------------------------------------------------


def test_new_columns_are_let_pass_and_missing_ones_are_named() -> None:
    assert refuse_schema_drift(["a", "b", "new"], ["a", "b"]) is None
    assert refuse_schema_drift({"a": 1, "c": 2}, ["a", "b"]) == "it lacks b (it has 'a', 'c')"
    assert refuse_schema_drift([], ["a", "b"]) == "it lacks a, b (it has no columns)"
    assert (refuse_schema_drift([str(n) for n in range(50)], ["a"]) or "").endswith("'7' and 42 more)")


def test_rows_have_as_many_cells_as_there_are_columns() -> None:
    assert refuse_schema_drift(["a", "b"], ["a"], [2, 2]) is None
    assert refuse_schema_drift(["a", "b"], ["a"], [2, 3]) == "row 2 has 3 cells of 2"
