"""A typed client of the API.

>>> import fintech
>>> fintech.Client().risk("core").to_df()
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import chain
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import httpx

from fintech.answers import (
    BACKTESTS,
    CONTRIBUTIONS,
    EXPOSURES,
    FX_RATES,
    INSTRUMENTS,
    INTEREST_RATES,
    LIMIT_EVENTS,
    PORTFOLIOS,
    PRICES,
    QUANTILES,
    RISK,
    SIMULATIONS,
    STRESS,
    SYMBOL,
    TAILS,
    VOLATILITY,
    Calculation,
    Explanation,
    Forecasts,
    Instrument,
    Listing,
    Portfolio,
    Position,
    Record,
    RiskReport,
    StoredScenario,
    StressReport,
)
from fintech.asking import paused, success_of
from fintech.problems import UnreachableError
from fintech.series import Columns, Series, Told
from pipeline.base.settings import load_settings
from pipeline.base.types import Rebalancing

URL = "http://127.0.0.1:3000"
TIMEOUT_SECONDS = 35.0
"""A little longer than the 30 s after which the gateway gives up."""

TRIES = 4
LONGEST_PAUSE_SECONDS = 60.0
"""Who is told to wait longer is not kept waiting: the refusal is raised."""
_WAIT_AND_REPEAT = frozenset({429, 503})

PAGE_ROWS = 10_000
"""Most rows that the API answers with at once."""

Day = date | str
Limit = int | Literal["all"] | None
"""Rows wanted of a series, the newest ones; None for the API's 252. More than `PAGE_ROWS` come in several pages."""
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
        Of a user (`fintech keys add`), sent as a bearer token, as an access token may be. None takes
        ``FINTECH_API_KEY`` of the environment, if it is set.
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
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
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
        limit: Limit = None,
        known_at: datetime | None = None,
    ) -> Series:
        """Daily bars inside a window, the newest 252 without `limit`; with `known_at`, as they were known then."""
        window = _window(start, end, limit) | {"known_at": known_at.isoformat() if known_at else None}
        return self._series(f"/instruments/{_part(symbol)}/prices", PRICES, window)

    def prices_of(
        self,
        symbols: Sequence[str],
        *,
        start: Day | None = None,
        end: Day | None = None,
        known_at: datetime | None = None,
    ) -> Series:
        """Daily bars of up to 500 instruments, one after the other; the newest year without `start`."""
        window = _window(start, end, "all") | {"known_at": known_at.isoformat() if known_at else None}
        return self._series("/prices", {**SYMBOL, **PRICES}, window | {"symbols": ",".join(symbols)}, is_forward=True)

    def fx_rates(
        self, currency: str, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Reference rates of a currency against the euro."""
        return self._series(f"/fx-rates/{_part(currency)}", FX_RATES, _window(start, end, limit))

    def interest_rates(
        self, series: str, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Risk-free rates of a provider's series, such as DTB3."""
        return self._series(f"/interest-rates/{_part(series)}", INTEREST_RATES, _window(start, end, limit))

    # Risk --------------------------------------------------------------------------------------------------

    def risk(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Stored measures of a portfolio (id or slug) by session, the newest 252 without `limit`."""
        return self._series(f"/portfolios/{_part(portfolio)}/risk", RISK, _window(start, end, limit))

    def instrument_risk(
        self, symbol: str, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Stored measures of an instrument by session."""
        return self._series(f"/instruments/{_part(symbol)}/risk", RISK, _window(start, end, limit))

    def risk_of(self, symbols: Sequence[str], *, start: Day | None = None, end: Day | None = None) -> Series:
        """Stored measures of up to 500 instruments, one after the other; the newest year without `start`."""
        window = _window(start, end, "all") | {"symbols": ",".join(symbols)}
        return self._series("/instrument-risk", {**SYMBOL, **RISK}, window, is_forward=True)

    def tails(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Value at risk and expected shortfall of a portfolio by every method: a row a session and method."""
        return self._series(f"/portfolios/{_part(portfolio)}/tail", TAILS, _window(start, end, limit))

    def contributions(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """What each position has to do with a portfolio's risk: a row a month's end and position."""
        return self._series(f"/portfolios/{_part(portfolio)}/contributions", CONTRIBUTIONS, _window(start, end, limit))

    def backtests(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Backtests of a portfolio's published values at risk: a row a month's end, method and measure."""
        return self._series(f"/portfolios/{_part(portfolio)}/backtests", BACKTESTS, _window(start, end, limit))

    def factor_exposures(
        self, symbol: str, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Exposures of an instrument to the factor funds: a row a month's end and fund."""
        return self._series(f"/instruments/{_part(symbol)}/factors", EXPOSURES, _window(start, end, limit))

    def limit_events(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """What was told about a portfolio's limits."""
        return self._series(f"/portfolios/{_part(portfolio)}/limit-events", LIMIT_EVENTS, _window(start, end, limit))

    def compute_risk(self, portfolio: str | int, **how: Any) -> RiskReport:
        """Measure a portfolio's newest window now; `how` is the body of ``POST …/risk``."""
        return self._computed(f"/portfolios/{_part(portfolio)}/risk", how, RiskReport)

    def calculate(self, **what: Any) -> Calculation:
        """Every figure of ``returns`` or ``positions``, as ``POST /api/v1/calculate`` takes them."""
        return self._computed("/calculate", what, Calculation)

    def stress(self, portfolio: str | int, kind: str | None = None) -> Listing[StoredScenario]:
        """The stored scenarios of a portfolio's newest holdings: historical, hypothetical, reverse, or every kind."""
        return self._listing(f"/portfolios/{_part(portfolio)}/stress", StoredScenario, STRESS, {"kind": kind})

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
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Simulated years of a portfolio: a row a session and model."""
        return self._series(f"/portfolios/{_part(portfolio)}/simulations", SIMULATIONS, _window(start, end, limit))

    def forecasts(
        self, symbol: str, *, start: Day | None = None, end: Day | None = None, limit: int | None = None
    ) -> Forecasts:
        """Every model's latest forecasts of an instrument; with a window, the newest inside it."""
        body = self._get(f"/instruments/{_part(symbol)}/forecasts", _window(start, end, limit))
        told = Told.of(body)
        series = {
            "volatility": Series.of(body["volatility"], VOLATILITY, told),
            "quantiles": Series.of(body["quantiles"], QUANTILES, told),
        }
        return Forecasts.model_validate(body | series)

    # Requests ----------------------------------------------------------------------------------------------

    def _series(self, path: str, columns: Columns, query: Mapping[str, Any], *, is_forward: bool = False) -> Series:
        """Rows of one subject, whose pages go back in time, or of several, whose pages go on."""
        pages, told = self._pages(path, query, query["limit"])
        return Series.of(chain.from_iterable(pages if is_forward else reversed(pages)), columns, told)

    def _listing(
        self, path: str, record: type[T], columns: Columns, asked: Mapping[str, Any] | None = None
    ) -> Listing[T]:
        pages, told = self._pages(path, asked or {}, "all" if asked is None else None)
        return Listing(tuple(map(record.model_validate, chain.from_iterable(pages))), columns, told)

    def _pages(self, path: str, query: Mapping[str, Any], limit: Limit) -> tuple[list[list[Any]], Told]:
        """The rows of each page up to a limit, and what the first one tells."""
        body = self._get(path, {**query, "limit": _rows_wanted(limit, 0)})
        pages, told = [body["data"]], Told.of(body)
        while limit is not None and body.get("next_cursor"):
            wanted = _rows_wanted(limit, sum(map(len, pages)))
            if wanted == 0:
                break
            body = self._get(path, {**query, "limit": wanted, "cursor": body["next_cursor"]})
            pages.append(body["data"])
        return pages, told

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
                time.sleep(paused(number, None))
                continue
            pause = paused(number, answer.headers.get("retry-after"))
            if answer.status_code not in _WAIT_AND_REPEAT or number == last or pause > LONGEST_PAUSE_SECONDS:
                return success_of(answer)
            time.sleep(pause)
        raise AssertionError("unreachable: the last try returns or raises")

    def _unreachable(self, error: httpx.TransportError) -> UnreachableError:
        kind = type(error).__name__
        remedy = "Start it ('make up', 'fintech serve'), or give the address of one that runs."
        return UnreachableError(f"url: no API answers at {self._http.base_url} ({kind})", remedy)


def _rows_wanted(limit: Limit, known: int) -> int | None:
    """Rows to ask for when so many are known; None where the API decides."""
    if limit is None:
        return None
    # Nothing is too many or too few for the API to say so.
    return PAGE_ROWS if limit == "all" else min(limit - known, PAGE_ROWS)


def _window(start: Day | None, end: Day | None, limit: Limit) -> dict[str, Any]:
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
