"""Provider ``fred``: risk-free rates of the Federal Reserve Bank of St. Louis.

Without a key: ``fredgraph.csv?id=&cosd=&coed=``, today's figures. With FRED_API_KEY:
``/fred/series/observations?file_type=json``, which also answers what was known on an earlier day (ALFRED):
``realtime_start`` and ``realtime_end`` set to that day (https://fred.stlouisfed.org/docs/api/fred/).
The key can only travel as a parameter of the address; see `VendorSession` for how it stays out of logs.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import numpy as np

from pipeline.market_data.providers.errors import ProviderError
from pipeline.market_data.providers.histories import inside
from pipeline.market_data.providers.http import NotFoundAtVendorError, VendorSession, key_refused, vendor_session
from pipeline.market_data.providers.options import ProviderOptions
from pipeline.market_data.providers.payloads import accept, read_days, read_numbers, read_table, refuse_if, refused
from pipeline.market_data.providers.protocol import FetchRequest, FetchResult, InterestRates, Offer, Payload, Security
from pipeline.market_data.providers.vendors import PATIENT, RetryPolicy, Vendor, key_of
from pipeline.market_data.rules.schema_drift import SCHEMA_DRIFT, refuse_schema_drift
from pipeline.market_data.rules.truncated_payload import TRUNCATED_PAYLOAD

SERIES = ("DTB3", "DGS3MO")
"""Three-month Treasury bills: discount rate of the secondary market, and yield at constant maturity."""

MISSING = frozenset({".", ""})
DATE_HEADERS = ("observation_date", "DATE")
"""The name of the first column since December 2024, and before."""

# 120 requests a minute and key; 429 above about two a second.
FRED_GRAPH = Vendor("FRED", "https://fred.stlouisfed.org", spacing_seconds=0.6)
FRED_API = Vendor("FRED", "https://api.stlouisfed.org", spacing_seconds=0.6, key_variable="FRED_API_KEY")

BAD_REQUEST = 400


class FredProvider:
    """Series of FRED in percent a year, given as fractions."""

    name = "fred"
    offers: frozenset[Offer] = frozenset({"interest_rates"})

    def __init__(
        self,
        options: ProviderOptions,
        graph: Vendor = FRED_GRAPH,
        api: Vendor = FRED_API,
        policy: RetryPolicy = PATIENT,
    ) -> None:
        secret = options.fred_api_key
        self._key = key_of(secret, api.key_variable, "query", "api_key") if secret else None
        self._vendor = api if self._key else graph
        self._policy = policy

    @property
    def notice(self) -> str | None:
        """What the API's terms of use want every reader to see."""
        if self._key is None:
            return None
        return (
            "This product uses the FRED® API but is not endorsed or certified by the Federal Reserve Bank of St. Louis."
        )

    def securities(self) -> tuple[Security, ...]:
        """None: it has rates alone."""
        return ()

    def fetch(self, request: FetchRequest) -> FetchResult:
        """Rates of the series that are asked for, else of `SERIES`; days without a figure are left out.

        Raises
        ------
        ProviderError
            If FRED cannot be read, knows none of the series, or a vintage is asked for without a key.
        """
        if request.what != "interest_rates":
            raise ProviderError("Provider 'fred' has interest rates, and nothing else", "Ask for these.")
        if request.as_of is not None and self._key is None:
            raise ProviderError("Vintages need FRED's API, and FRED_API_KEY is not set", "Set it: the key is free.")
        payloads, parts, missing = [], [], {}
        with vendor_session(self._vendor, self._policy, self._key) as session:
            for series in request.symbols or SERIES:
                try:
                    payload = self._ask(session, series, request)
                except NotFoundAtVendorError as error:
                    missing[series] = error.cause
                    continue
                payloads.append(payload)
                parts.append(_inside(read_api(payload) if self._key else read_graph(payload), request))
        if missing and not parts:  # then the address is wrong rather than every series
            raise ProviderError(
                f"FRED knows none of {', '.join(missing)} ({next(iter(missing.values()))})",
                "Try again later; docs/providers.md says what is asked for.",
            )
        return FetchResult(payloads=tuple(payloads), interest_rates=_joined(parts), missing=missing)

    def _ask(self, session: VendorSession, series: str, request: FetchRequest) -> Payload:
        if self._key is None:
            params = {"id": series, "cosd": f"{request.first}", "coed": f"{request.last}"}
            return accept(FRED_API.name, series, session.get(series, "/graph/fredgraph.csv", params), "csv")
        params = {
            "series_id": series,
            "observation_start": f"{request.first}",
            "observation_end": f"{request.last}",
            "file_type": "json",
        }
        if request.as_of is not None:
            params |= {"realtime_start": f"{request.as_of}", "realtime_end": f"{request.as_of}"}
        answer = session.get(series, "/fred/series/observations", params, expected={200, BAD_REQUEST})
        payload = accept(FRED_API.name, series, answer, "json")
        if answer.status == BAD_REQUEST:
            raise _refusal(series, payload)
        return payload


def read_graph(payload: Payload) -> InterestRates:
    """The rates of a ``fredgraph.csv`` of one series.

    Raises
    ------
    PayloadRefusedError
        If it is not of the documented shape.
    """
    columns = read_table(FRED_API.name, payload, [payload.name])
    dates = next((columns[name] for name in DATE_HEADERS if name in columns), None)
    if dates is None:
        raise refused(SCHEMA_DRIFT, f"it has no column {' or '.join(DATE_HEADERS)}", FRED_API.name, payload)
    return _rates(payload, dates, columns[payload.name], None)


def read_api(payload: Payload) -> InterestRates:
    """The rates of the API's JSON, with the day on which they stood like this.

    Raises
    ------
    PayloadRefusedError
        If it is not of the documented shape, or holds fewer observations than it counts.
    """
    answer = json.loads(payload.content)
    _refuse_other_shape(answer, ("count", "observations", "realtime_start"), payload)
    observations = answer["observations"]
    for observation in observations:
        _refuse_other_shape(observation, ("date", "value"), payload)
    if answer["count"] != len(observations):
        reason = f"it counts {answer['count']} observations and holds {len(observations)}"
        raise refused(TRUNCATED_PAYLOAD, reason, FRED_API.name, payload)
    days = [str(observation["date"]) for observation in observations]
    values = [str(observation["value"]) for observation in observations]
    vintage: date = read_days(FRED_API.name, payload, [str(answer["realtime_start"])])[0].astype(object)
    return _rates(payload, days, values, vintage)


def _refuse_other_shape(found: Any, required: tuple[str, ...], payload: Payload) -> None:
    columns = found.keys() if isinstance(found, dict) else ()
    refuse_if(SCHEMA_DRIFT, refuse_schema_drift(columns, required), FRED_API.name, payload)


def _refusal(series: str, payload: Payload) -> ProviderError:
    """What a status 400 means: the API says it in ``error_message`` alone."""
    said = str(json.loads(payload.content).get("error_message", ""))
    if "api_key" in said:
        return key_refused(FRED_API.name, FRED_API.key_variable, said)
    if "does not exist" in said:
        return NotFoundAtVendorError(f"FRED does not know {series} ({said})", "Check how FRED spells it.")
    return ProviderError(f"FRED refuses the request for {series} ({said})", "See docs/providers.md.")


def _rates(payload: Payload, days: list[str], values: list[str], known_on: date | None) -> InterestRates:
    percent = read_numbers(FRED_API.name, payload, values, MISSING)
    given = ~np.isnan(percent)
    sessions = read_days(FRED_API.name, payload, days)
    series = np.full(given.sum(), payload.name.encode())
    return InterestRates(series, sessions[given], percent[given] / 100, known_on)


def _inside(rates: InterestRates, request: FetchRequest) -> InterestRates:
    kept = inside(rates.sessions, request.first, request.last)
    return InterestRates(rates.series[kept], rates.sessions[kept], rates.annual_rate[kept], rates.known_on)


def _joined(parts: list[InterestRates]) -> InterestRates:
    none = InterestRates(np.array([], dtype="S1"), np.array([], dtype="datetime64[D]"), np.array([]))
    return InterestRates(
        np.concatenate([none.series, *(part.series for part in parts)]),
        np.concatenate([none.sessions, *(part.sessions for part in parts)]),
        np.concatenate([none.annual_rate, *(part.annual_rate for part in parts)]),
        next((part.known_on for part in parts), None),
    )
