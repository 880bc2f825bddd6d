"""A typed client of the API.

>>> import fintech
>>> fintech.Client().risk("core").to_df()
"""

from __future__ import annotations

import random
import time
import weakref
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from fintech.answers import (
    INSTRUMENTS,
    PORTFOLIOS,
    PRICES,
    QUANTILES,
    RISK,
    SIMULATIONS,
    STRESS,
    VOLATILITY,
    Calculation,
    Columns,
    Explanation,
    Forecasts,
    Instrument,
    Listing,
    Portfolio,
    Position,
    Record,
    RiskReport,
    Series,
    StoredScenario,
    StressReport,
)
from fintech.problems import ProblemError, UnreachableError
from pipeline.base.settings import load_settings
from pipeline.base.types import Rebalancing

URL = "http://127.0.0.1:3000"
TIMEOUT_SECONDS = 35.0
"""A little longer than the 30 s after which the gateway gives up."""
KEY_HEADER = "X-Service-Token"

TRIES = 4
FIRST_PAUSE_SECONDS = 0.2
"""Doubles with each try; the pause is drawn between half of it and all."""
LONGEST_PAUSE_SECONDS = 60.0
"""Who is told to wait longer is not kept waiting: the refusal is raised."""
_WAIT_AND_REPEAT = frozenset({429, 503})

Day = date | str
T = TypeVar("T", bound=Record)


class Client:
    """The API as Python objects, over one pool of connections; for several threads.

    A request that changes nothing is repeated after 429, 503 and lost connections, when ``Retry-After`` says so or
    after a pause. Everything else that is no success is raised.

    Parameters
    ----------
    url
        Address of the gateway.
    api_key
        None takes ``FINTECH_API_KEY`` of the environment, if it is set.
    timeout
        Seconds to wait for an answer.

    Raises
    ------
    ProblemError
        By every method, if the API refuses; it carries the problem document.
    UnreachableError
        By every method, if no answer comes.
    """

    def __init__(self, url: str = URL, api_key: str | None = None, timeout: float = TIMEOUT_SECONDS) -> None:
        if api_key is None:
            configured = load_settings().api_key
            api_key = configured.get_secret_value() if configured else None
        headers = {"Accept": "application/json"} | ({KEY_HEADER: api_key} if api_key else {})
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)
        weakref.finalize(self, self._http.close)  # a client that is made for one question is never closed otherwise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # Market data -------------------------------------------------------------------------------------------

    def instruments(self) -> Listing[Instrument]:
        """Every instrument, by symbol."""
        return self._listing("/instruments", Instrument, INSTRUMENTS)

    def prices(
        self,
        symbol: str,
        *,
        start: Day | None = None,
        end: Day | None = None,
        limit: int | None = None,
        known_at: datetime | None = None,
    ) -> Series:
        """Daily bars inside a window, the newest 252 without `limit`; with `known_at`, as they were known then."""
        window = _window(start, end, limit) | {"known_at": known_at.isoformat() if known_at else None}
        return self._series(f"/instruments/{_part(symbol)}/prices", PRICES, window)

    # Risk --------------------------------------------------------------------------------------------------

    def risk(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: int | None = None
    ) -> Series:
        """Stored measures of a portfolio (id or slug) by session, the newest 252 without `limit`."""
        return self._series(f"/portfolios/{_part(portfolio)}/risk", RISK, _window(start, end, limit))

    def instrument_risk(
        self, symbol: str, *, start: Day | None = None, end: Day | None = None, limit: int | None = None
    ) -> Series:
        """Stored measures of an instrument by session."""
        return self._series(f"/instruments/{_part(symbol)}/risk", RISK, _window(start, end, limit))

    def compute_risk(self, portfolio: str | int, **how: Any) -> RiskReport:
        """Measure a portfolio's newest window now; `how` is the body of ``POST …/risk``."""
        return self._computed(f"/portfolios/{_part(portfolio)}/risk", how, RiskReport)

    def calculate(self, **what: Any) -> Calculation:
        """Every figure of ``returns`` or ``positions``, as ``POST /api/v1/calculate`` takes them."""
        return self._computed("/calculate", what, Calculation)

    def stress(self, portfolio: str | int) -> Listing[StoredScenario]:
        """The stored replays of crises on a portfolio's newest holdings."""
        return self._listing(f"/portfolios/{_part(portfolio)}/stress", StoredScenario, STRESS)

    def compute_stress(self, portfolio: str | int, **kind: Any) -> StressReport:
        """Stress now by one kind, as ``POST …/stress`` takes it: ``historical="all"``."""
        return self._computed(f"/portfolios/{_part(portfolio)}/stress", kind, StressReport)

    def explain(self, portfolio: str | int, measure: str, session: Day | None = None) -> Explanation:
        """What a stored measure of a portfolio follows from, and the same computed again."""
        return self._explanation(f"/portfolios/{_part(portfolio)}", measure, session)

    def explain_instrument(self, symbol: str, measure: str, session: Day | None = None) -> Explanation:
        """The same of an instrument."""
        return self._explanation(f"/instruments/{_part(symbol)}", measure, session)

    # Portfolios --------------------------------------------------------------------------------------------

    def portfolios(self) -> Listing[Portfolio]:
        """Every portfolio, by id."""
        return self._listing("/portfolios", Portfolio, PORTFOLIOS)

    def portfolio(self, reference: str | int) -> Portfolio:
        """The portfolio of an id or slug."""
        return Portfolio.model_validate(self._get(f"/portfolios/{_part(reference)}"))

    def create_portfolio(
        self,
        name: str,
        positions: Sequence[Position | Mapping[str, object]],
        *,
        slug: str | None = None,
        rebalancing: Rebalancing | None = None,
        base_currency: str | None = None,
    ) -> Portfolio:
        """Store a portfolio of quantities, which are held, or of target weights, which `rebalancing` restores."""
        given = {
            "name": name,
            "slug": slug,
            "rebalancing": rebalancing,
            "base_currency": base_currency,
            "positions": [_position(position) for position in positions],
        }
        answer = self._ask("POST", "/portfolios", body=_given(given), repeats=False)
        return Portfolio.model_validate(answer)

    # Simulations and forecasts -----------------------------------------------------------------------------

    def simulations(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: int | None = None
    ) -> Series:
        """Simulated years of a portfolio: a row a session and model."""
        return self._series(f"/portfolios/{_part(portfolio)}/simulations", SIMULATIONS, _window(start, end, limit))

    def forecasts(
        self, symbol: str, *, start: Day | None = None, end: Day | None = None, limit: int | None = None
    ) -> Forecasts:
        """Every model's latest forecasts of an instrument; with a window, the newest inside it."""
        body = self._get(f"/instruments/{_part(symbol)}/forecasts", _window(start, end, limit))
        notice = body["notice"]
        series = {
            "volatility": Series.of(body["volatility"], VOLATILITY, notice),
            "quantiles": Series.of(body["quantiles"], QUANTILES, notice),
        }
        return Forecasts(symbol=body["symbol"], notice=notice, **series)

    # Requests ----------------------------------------------------------------------------------------------

    def _series(self, path: str, columns: Columns, query: Mapping[str, Any]) -> Series:
        body = self._get(path, query)
        return Series.of(body["data"], columns, body["notice"])

    def _listing(self, path: str, record: type[T], columns: Columns) -> Listing[T]:
        body = self._get(path)
        return Listing(tuple(record.model_validate(found) for found in body["data"]), columns, body["notice"])

    def _explanation(self, subject: str, measure: str, session: Day | None) -> Explanation:
        asked = {"measure": measure, "session": _day(session)}
        return Explanation.model_validate(self._get(f"{subject}/risk/explain", asked))

    def _computed(self, path: str, asked: Mapping[str, Any], answer: type[T]) -> T:
        """A POST that stores nothing, so that it may be repeated."""
        body = {name: _day(value) if isinstance(value, date) else value for name, value in asked.items()}
        return answer.model_validate(self._ask("POST", path, body=body))

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        return self._ask("GET", path, query=_given(query or {}))

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        repeats: bool = True,
    ) -> Any:
        """The JSON of a success."""
        last = TRIES - 1 if repeats else 0
        for number in range(TRIES):
            try:
                answer = self._http.request(method, f"/api/v1{path}", params=query, json=body)
            except httpx.TimeoutException as error:
                raise self._unreachable(error) from error
            except httpx.TransportError as error:
                if number == last:
                    raise self._unreachable(error) from error
                time.sleep(_pause(number, None))
                continue
            pause = _pause(number, answer.headers.get("retry-after"))
            if answer.status_code not in _WAIT_AND_REPEAT or number == last or pause > LONGEST_PAUSE_SECONDS:
                return _success(answer)
            time.sleep(pause)
        raise AssertionError("unreachable: the last try returns or raises")

    def _unreachable(self, error: httpx.TransportError) -> UnreachableError:
        kind = type(error).__name__
        remedy = "Start it ('make up', 'fintech serve'), or give the address of one that runs."
        return UnreachableError(f"url: no API answers at {self._http.base_url} ({kind})", remedy)


def _success(answer: httpx.Response) -> Any:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if answer.is_success and body is not None:
        return body
    raise ProblemError(answer.status_code, body if isinstance(body, dict) else {})


def _pause(number: int, retry_after: str | None) -> float:
    """Seconds before the next try: what the answer asks for, or more and more by chance."""
    asked = _seconds(retry_after) if retry_after else None
    if asked is not None:
        return asked
    return random.uniform(0.5, 1.0) * FIRST_PAUSE_SECONDS * float(2**number)  # noqa: S311 - no secret


def _seconds(retry_after: str) -> float | None:
    """Of the header, which has seconds or a date (RFC 9110, section 10.2.3); None if it has neither."""
    if retry_after.isdigit():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _window(start: Day | None, end: Day | None, limit: int | None) -> dict[str, Any]:
    return {"start": _day(start), "end": _day(end), "limit": limit}


def _day(day: Day | None) -> str | None:
    return day.isoformat() if isinstance(day, date) else day


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _part(value: str | int) -> str:
    """A part of a path: nothing in it leads elsewhere."""
    return quote(str(value), safe="@")


def _position(position: Position | Mapping[str, object]) -> dict[str, object]:
    return _given(position.model_dump() if isinstance(position, Position) else position)
