"""How every vendor fails, over real sockets, and what the provider makes of it."""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pipeline.market_data.providers import PayloadRefusedError, ProviderError
from tests.integration.market_data.vendor_server import (
    Fault,
    half_until_close,
    noting,
    plain_text,
    status,
    too_many_requests,
    travelling,
    web_page,
    with_body,
)
from tests.integration.market_data.vendors import (
    CASES,
    EVERY_VENDOR,
    KEY,
    LIMIT_SENTENCE,
    QUICK,
    Case,
    rows_of,
    vendor_of,
)

PASSING = {
    "429 without Retry-After": too_many_requests(),
    "429 that asks for nothing": too_many_requests(Retry_After="0"),
    "429 with nonsense": too_many_requests(Retry_After="soon"),
    "500": status(500),
    "502 page": status(502, b"<html>Bad gateway</html>", "text/html"),
    "503": status(503),
    "504": status(504),
    "reset": travelling("reset"),
    "cut": travelling("cut"),
}
"""What may be gone at the next attempt."""


@EVERY_VENDOR
def test_a_vendor_that_answers_is_read(case: Case) -> None:
    with vendor_of(case) as (server, provider):
        result = provider.fetch(case.request)
    assert rows_of(result) == case.rows
    assert not result.missing
    assert [payload.name for payload in result.payloads] == [case.payload]
    assert result.payloads[0].content
    assert len(server.requests) == 1


@EVERY_VENDOR
@pytest.mark.parametrize("transfer", ["chunks", "until close"])
def test_an_answer_may_travel_in_any_way(case: Case, transfer: str) -> None:
    with vendor_of(case) as (server, provider):
        server.faults = [travelling(transfer)]  # type: ignore[arg-type]
        assert rows_of(provider.fetch(case.request)) == case.rows


# What passes -----------------------------------------------------------------------------------------------


@EVERY_VENDOR
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_may_pass_is_tried_again(case: Case, fault: Fault) -> None:
    with vendor_of(case) as (server, provider):
        server.faults = [fault, fault]
        assert rows_of(provider.fetch(case.request)) == case.rows
        assert len(server.requests) == 3


@EVERY_VENDOR
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_stays_ends_after_the_last_attempt_with_cause_and_remedy(case: Case, fault: Fault) -> None:
    with vendor_of(case) as (server, provider):
        server.faults = [fault] * 9
        with pytest.raises(ProviderError, match="3 attempts") as caught:
            provider.fetch(case.request)
        assert len(server.requests) == QUICK.attempts
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_for(form: str) -> None:
    with vendor_of(CASES[0]) as (server, provider):
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        server.faults = [too_many_requests(Retry_After="1" if form == "seconds" else later)]
        assert rows_of(provider.fetch(CASES[0].request)) == CASES[0].rows
        assert 0.9 < server.times[1] - server.times[0] < 2.5


@EVERY_VENDOR
def test_a_vendor_that_asks_for_an_hour_is_not_waited_for(case: Case) -> None:
    with vendor_of(case) as (server, provider):
        server.faults = [too_many_requests(Retry_After="3600")]
        started = time.monotonic()
        with pytest.raises(ProviderError, match="asks to wait 3600 s"):
            provider.fetch(case.request)
        assert time.monotonic() - started < 1
        assert len(server.requests) == 1


@EVERY_VENDOR
@pytest.mark.parametrize("transfer", ["drip", "drip of headers"])
def test_a_slow_drip_is_ended(case: Case, transfer: str) -> None:
    with vendor_of(case, replace(QUICK, attempts=1, attempt_seconds=0.3)) as (server, provider):
        server.faults = [travelling(transfer)]  # type: ignore[arg-type]
        started = time.monotonic()
        with pytest.raises(ProviderError, match=r"not complete after 0\.3 s"):
            provider.fetch(case.request)
        assert time.monotonic() - started < 1


@EVERY_VENDOR
def test_all_attempts_together_have_a_deadline(case: Case) -> None:
    patient = replace(QUICK, attempts=1000, attempt_seconds=0.2, total_seconds=0.5)
    with vendor_of(case, patient) as (server, provider):
        server.faults = [travelling("drip")] * 1000
        started = time.monotonic()
        with pytest.raises(ProviderError):
            provider.fetch(case.request)
        assert time.monotonic() - started < 1.5


@EVERY_VENDOR
def test_a_vendor_that_is_not_there_is_named(case: Case) -> None:
    with vendor_of(case) as (_, provider):
        pass
    with pytest.raises(ProviderError, match="cannot be reached"):
        provider.fetch(case.request)


# What does not pass ----------------------------------------------------------------------------------------


@EVERY_VENDOR
def test_a_web_page_is_refused_at_once(case: Case) -> None:
    assert refused_rule(case, web_page) == "html_payload"


@EVERY_VENDOR
def test_plain_text_is_refused_and_shown(case: Case) -> None:
    assert refused_rule(case, plain_text("The service is unavailable"), "The service is unavailable") == (
        "unparsable_payload"
    )


@EVERY_VENDOR
def test_an_answer_that_ends_early_without_a_length_is_refused(case: Case) -> None:
    assert refused_rule(case, half_until_close) == "truncated_payload"


@EVERY_VENDOR
def test_no_utf8_is_refused(case: Case) -> None:
    assert refused_rule(case, with_body(lambda body: body.replace(b"2024", b"\xff\xfe24"))) == "unparsable_payload"


@EVERY_VENDOR
def test_a_renamed_column_is_refused_by_name(case: Case) -> None:
    old = {"tiingo": "adjClose", "fred csv": "DTB3", "fred json": "observations", "ecb": "OBS_VALUE"}[case.name]
    assert refused_rule(case, with_body(lambda body: body.replace(old.encode(), b"other")), old) == "schema_drift"


@EVERY_VENDOR
def test_a_figure_that_is_none_is_refused(case: Case) -> None:
    old, new, rule = {
        "tiingo": (b'"close": 101.0', b'"close": "n/a"', "schema_drift"),
        "fred csv": (b"5.25", b"5,25", "schema_drift"),
        "fred json": (b"5.25", b"many", "unparsable_payload"),
        "ecb": (b"1.0812", b"1_0", "unparsable_payload"),
    }[case.name]
    assert refused_rule(case, with_body(lambda body: body.replace(old, new, 1))) == rule


@EVERY_VENDOR
def test_a_date_that_is_none_is_refused(case: Case) -> None:
    assert (
        refused_rule(case, with_body(lambda body: body.replace(b"2024-06-06", b"2024-06-66"))) == "unparsable_payload"
    )


@EVERY_VENDOR
def test_short_arrays_are_refused(case: Case) -> None:
    def shorten(body: bytes) -> bytes:
        return {
            "tiingo": lambda: body.replace(b'"splitFactor": 1.0}', b'"x": 1}', 1),
            "fred csv": lambda: body.replace(b"2024-06-04,5.25", b"2024-06-04"),
            "fred json": lambda: body.replace(b'"count": 10', b'"count": 4711'),
            "ecb": lambda: body.replace(b",2024-06-04,1.0812", b",2024-06-04"),
        }[case.name]()

    assert refused_rule(case, with_body(shorten)) in ("schema_drift", "truncated_payload")


@EVERY_VENDOR
def test_an_answer_without_end_is_not_kept(case: Case) -> None:
    with vendor_of(case) as (server, provider):
        server.faults = [with_body(lambda body: body + b" " * QUICK.max_bytes)]
        with pytest.raises(ProviderError, match="longer than 200,000 bytes"):
            provider.fetch(case.request)
        assert len(server.requests) == 1


@EVERY_VENDOR
@pytest.mark.parametrize("code", [400, 405, 410, 301])
def test_another_status_is_told_with_what_the_vendor_says(case: Case, code: int) -> None:
    with vendor_of(case) as (server, provider):
        server.faults = [status(code, b'{"error_message":"No such thing"}')]
        with pytest.raises(ProviderError, match="No such thing"):
            provider.fetch(case.request)
        assert len(server.requests) == 1


def refused_rule(case: Case, fault: Fault, said: str = "") -> str:
    """The rule that refuses what the fault makes of the vendor's answer; never after a second attempt."""
    sent: list[bytes] = []
    with vendor_of(case) as (server, provider):
        server.faults = [noting(fault, sent)]
        with pytest.raises(PayloadRefusedError) as caught:
            provider.fetch(case.request)
        assert len(server.requests) == 1
    [payload] = caught.value.payloads
    assert payload.content == sent[0]
    assert payload.name == case.payload
    assert said in caught.value.cause
    assert caught.value.rule in caught.value.cause
    assert caught.value.remedy
    return caught.value.rule


# Keys ------------------------------------------------------------------------------------------------------

ECHO = status(403, f'{{"detail":"Token {KEY} is not valid"}}'.encode())
KEYED = pytest.mark.parametrize(
    ("case", "variable"), [(CASES[0], "TIINGO_API_KEY"), (CASES[2], "FRED_API_KEY")], ids=["tiingo", "fred json"]
)


@KEYED
@pytest.mark.parametrize("fault", [status(401, b'{"detail":"Invalid token."}'), ECHO], ids=["401", "403"])
def test_a_key_that_is_refused_is_named_by_its_setting(case: Case, variable: str, fault: Fault) -> None:
    with vendor_of(case) as (server, provider):
        server.faults = [fault]
        with pytest.raises(ProviderError, match=f"refuses the key in {variable}") as caught:
            provider.fetch(case.request)
        assert len(server.requests) == 1
    assert caught.value.exit_code == 2
    assert KEY not in str(caught.value)


def test_fred_says_with_status_400_that_a_key_is_wrong() -> None:
    with vendor_of(CASES[2]) as (server, provider):
        message = b'{"error_code":400,"error_message":"Bad Request. The value for variable api_key is not registered."}'
        server.faults = [status(400, message)]
        with pytest.raises(ProviderError, match="refuses the key in FRED_API_KEY") as caught:
            provider.fetch(CASES[2].request)
    assert caught.value.exit_code == 2


@KEYED
@pytest.mark.parametrize(
    "faults",
    [[], [ECHO], [travelling("reset")] * 3, [travelling("drip")] * 3, [too_many_requests()] * 3, [web_page]],
    ids=["none", "echo", "reset", "drip", "429", "page"],
)
def test_a_key_shows_in_no_log_no_error_and_no_payload(
    case: Case, variable: str, faults: list[Fault], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = ""
    with vendor_of(case, replace(QUICK, attempt_seconds=0.1)) as (server, provider):
        server.faults = list(faults)
        try:
            told = repr(provider.fetch(case.request))
        except ProviderError as error:
            told = "".join(traceback.format_exception(error)) + repr(error)
        sent = [repr(request) for request in server.requests]
    logged = "".join(f"{record.getMessage()} {vars(record)!r}" for record in caplog.records)
    assert "HTTP Request: GET" in logged or not sent or faults
    assert all(KEY in request for request in sent)
    assert KEY not in told + logged


@KEYED
def test_a_key_that_a_page_repeats_is_not_in_what_is_kept(case: Case, variable: str) -> None:
    page = f"<html>You asked with {KEY} and {KEY}</html>".encode()
    with vendor_of(case) as (server, provider):
        server.faults = [with_body(lambda _: page)]
        with pytest.raises(PayloadRefusedError) as caught:
            provider.fetch(case.request)
    assert [payload.content for payload in caught.value.payloads] == [b"<html>You asked with *** and ***</html>"]
    assert variable not in str(caught.value)


def test_tiingo_says_with_status_200_that_there_were_too_many_requests() -> None:
    with vendor_of(CASES[0]) as (server, provider):
        server.faults = [plain_text(LIMIT_SENTENCE)]
        assert rows_of(provider.fetch(CASES[0].request)) == CASES[0].rows
        server.faults = [plain_text(LIMIT_SENTENCE)] * 3
        with pytest.raises(ProviderError, match=r"too many requests \(HTTP 200, 'You have run over your 500 symbol"):
            provider.fetch(CASES[0].request)
        assert len(server.requests) == 5
