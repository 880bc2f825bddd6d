"""Provider ``tiingo``: end-of-day bars of US stocks and funds, raw and adjusted, with dividends and splits.

Format: ``GET /tiingo/daily/<ticker>/prices?startDate=&endDate=&format=json`` answers an array with one object a
day, ``GET /tiingo/daily/<ticker>`` an object that describes the instrument, and the token travels in the header
``Authorization: Token …`` (https://www.tiingo.com/documentation/end-of-day). Over the limit it answers status
200 with a sentence (hydrosquall/tiingo-python issue 45).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np

from pipeline.base.types import FloatArray
from pipeline.market_data.providers.errors import ProviderError
from pipeline.market_data.providers.histories import History, actions_of, bars_of
from pipeline.market_data.providers.http import NotFoundAtVendorError, VendorSession, vendor_session
from pipeline.market_data.providers.options import ProviderOptions
from pipeline.market_data.providers.payloads import accept, read_days, refuse_if, refused
from pipeline.market_data.providers.protocol import FetchRequest, FetchResult, Offer, Payload, Security
from pipeline.market_data.providers.vendors import PATIENT, Answer, RetryPolicy, Vendor, key_of
from pipeline.market_data.rules.schema_drift import SCHEMA_DRIFT, refuse_schema_drift
from pipeline.market_data.rules.unparsable_payload import UNPARSABLE_PAYLOAD

VALUES = ("open", "high", "low", "close", "volume", "adjClose")
"""Its names for the numbers of a bar, in the order of `VALUE_FIELDS`."""

DAY_FIELDS = ("date", *VALUES, "divCash", "splitFactor")
META_FIELDS = ("ticker", "name", "exchangeCode")

# Its codes for exchanges, and the ISO 10383 market of each.
MARKETS = {"NASDAQ": "XNAS", "NYSE": "XNYS", "NYSE ARCA": "ARCX", "NYSE MKT": "XASE", "AMEX": "XASE", "BATS": "BATS"}

_T = TypeVar("_T")

_LIMIT_WORDS = re.compile(rb"run over|limit|allocation|too many", re.IGNORECASE)


def says_limit(answer: Answer) -> bool:
    """Whether an answer with status 200 is the sentence that a limit is reached."""
    return answer.content.lstrip()[:1] not in (b"[", b"{", b"<", b"") and bool(_LIMIT_WORDS.search(answer.content))


TIINGO = Vendor(
    "Tiingo",
    "https://api.tiingo.com",
    spacing_seconds=0.2,
    key_variable="TIINGO_API_KEY",
    is_throttled=says_limit,
)


class TiingoProvider:
    """End-of-day prices of Tiingo for the symbols that the options name."""

    name = "tiingo"
    notice: str | None = None
    offers: frozenset[Offer] = frozenset({"bars"})

    def __init__(self, options: ProviderOptions, vendor: Vendor = TIINGO, policy: RetryPolicy = PATIENT) -> None:
        self._key = key_of(options.tiingo_api_key, vendor.key_variable, "authorization", "Token")
        self._symbols = options.required_symbols(self.name)
        self._vendor = vendor
        self._policy = policy

    def securities(self) -> tuple[Security, ...]:
        """The symbols that Tiingo knows, as it describes them; it does not say what kind each is.

        Raises
        ------
        ProviderError
            If Tiingo cannot be read, or knows none of them.
        """
        with vendor_session(self._vendor, self._policy, self._key) as session:
            described, _ = _of_each(self._symbols, lambda symbol: self._describe(session, symbol))
        return tuple(described)

    def fetch(self, request: FetchRequest) -> FetchResult:
        """Bars and actions; a symbol that Tiingo does not know is named in `FetchResult.missing`.

        Raises
        ------
        ProviderError
            If Tiingo cannot be read, knows none of the symbols, or something else than bars is asked for.
        """
        if request.what != "bars" or request.as_of is not None:
            raise ProviderError("Provider 'tiingo' has bars as they stand today, and nothing else", "Ask for these.")

        params = {"startDate": f"{request.first}", "endDate": f"{request.last}", "format": "json"}
        with vendor_session(self._vendor, self._policy, self._key) as session:
            payloads, missing = _of_each(
                request.symbols or self._symbols, lambda symbol: self._ask(session, symbol, "/prices", params)
            )
        histories = [read_history(payload).inside(request.first, request.last) for payload in payloads]
        return FetchResult(
            payloads=tuple(payloads), bars=bars_of(histories), actions=actions_of(histories), missing=missing
        )

    def _describe(self, session: VendorSession, symbol: str) -> Security:
        return read_security(self._ask(session, symbol))

    def _ask(
        self, session: VendorSession, symbol: str, part: str = "", params: Mapping[str, str] | None = None
    ) -> Payload:
        answer = session.get(symbol, f"/tiingo/daily/{quote(symbol, safe='')}{part}", params)
        return accept(self._vendor.name, symbol, answer, "json")


def _of_each(symbols: tuple[str, ...], read: Callable[[str], _T]) -> tuple[list[_T], dict[str, str]]:
    """What is read of each symbol that Tiingo knows, and why the others are missing.

    Raises
    ------
    ProviderError
        If it knows none: then the address is wrong rather than every symbol.
    """
    answers, missing = [], {}
    for symbol in symbols:
        try:
            answers.append(read(symbol))
        except NotFoundAtVendorError as error:
            missing[symbol] = error.cause
    if missing and not answers:
        raise ProviderError(
            f"Tiingo knows none of {', '.join(missing)}", "Check FINTECH_SYMBOLS; a share class is spelt BRK-B."
        )
    return answers, missing


def read_security(payload: Payload) -> Security:
    """What the description of an instrument says.

    Raises
    ------
    PayloadRefusedError
        If it is not of the documented shape.
    """
    described = json.loads(payload.content)
    _refuse_other_shape([described], META_FIELDS, payload)
    name = str(described["name"] or payload.name)
    return Security(payload.name, name, "stock", exchange=MARKETS.get(str(described["exchangeCode"]), "XNYS"))


def read_history(payload: Payload) -> History:
    """The bars of an array of days, in the order of the payload.

    Raises
    ------
    PayloadRefusedError
        If it is not of the documented shape, or holds something that is no number or no date.
    """
    days = json.loads(payload.content)
    _refuse_other_shape(days, DAY_FIELDS, payload)
    numbers = {name: _numbers([day[name] for day in days], name, payload) for name in DAY_FIELDS[1:]}
    if not (numbers["splitFactor"] > 0).all() or np.isnan(numbers["divCash"]).any():
        raise refused(UNPARSABLE_PAYLOAD, "a splitFactor is not above 0, or a divCash is none", TIINGO.name, payload)
    values = np.column_stack([numbers[name] for name in VALUES])
    dates = read_days(TIINGO.name, payload, [str(day["date"])[:10] for day in days])
    return History(payload.name, dates, values, numbers["splitFactor"], numbers["divCash"])


def _refuse_other_shape(rows: Any, required: tuple[str, ...], payload: Payload) -> None:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise refused(SCHEMA_DRIFT, "it is not an array of objects", TIINGO.name, payload)
    for row in rows:
        refuse_if(SCHEMA_DRIFT, refuse_schema_drift(row.keys(), required), TIINGO.name, payload)


def _numbers(values: list[Any], name: str, payload: Payload) -> FloatArray:
    """(m,) a field of every day; null is NaN."""
    for value in values:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise refused(SCHEMA_DRIFT, f"{name} is {value!r:.40}, no number", TIINGO.name, payload)
    return np.array(values, dtype=np.float64)
