"""Methods of the client for measures of risk, stored and computed on request, and what they follow from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fintech.answers.market_data import SYMBOL
from fintech.answers.records import Listing
from fintech.answers.reports import Report, WhatIf
from fintech.answers.risk import (
    BACKTESTS,
    CONTRIBUTIONS,
    EXPOSURES,
    MEASURES,
    RISK,
    TAILS,
    Backtest,
    Calculation,
    Covariance,
    CurrencySplit,
    Decomposition,
    Explainables,
    Explanation,
    Measure,
    PortfolioTail,
    PrincipalFactors,
    RiskReport,
)
from fintech.answers.stress import STRESS, StoredScenario, StressReport
from fintech.client.requests import Day, Limit, Requests, part, window
from fintech.series import Series

API = "/api/v1"


class Risk(Requests):
    """What portfolios and instruments may lose."""

    # Stored ------------------------------------------------------------------------------------------------

    def risk(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Stored measures of a portfolio (id or slug) by session, the newest 252 without `limit`."""
        return self._series(f"/portfolios/{part(portfolio)}/risk", RISK, window(start, end, limit))

    def instrument_risk(
        self, symbol: str, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Stored measures of an instrument by session."""
        return self._series(f"/instruments/{part(symbol)}/risk", RISK, window(start, end, limit))

    def risk_of(self, symbols: Sequence[str], *, start: Day | None = None, end: Day | None = None) -> Series:
        """Stored measures of up to 500 instruments, one after the other; the newest year without `start`."""
        query = window(start, end, "all") | {"symbols": ",".join(symbols)}
        return self._series("/instrument-risk", {**SYMBOL, **RISK}, query, is_forward=True)

    def tails(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Value at risk and expected shortfall of a portfolio by every method: a row a session and method."""
        return self._series(f"/portfolios/{part(portfolio)}/tail", TAILS, window(start, end, limit))

    def contributions(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """What each position has to do with a portfolio's risk: a row a month's end and position."""
        return self._series(f"/portfolios/{part(portfolio)}/contributions", CONTRIBUTIONS, window(start, end, limit))

    def backtests(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Backtests of a portfolio's published values at risk: a row a month's end, method and measure."""
        return self._series(f"/portfolios/{part(portfolio)}/backtests", BACKTESTS, window(start, end, limit))

    def instrument_backtests(
        self, symbol: str, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Backtests of an instrument's published values at risk."""
        return self._series(f"/instruments/{part(symbol)}/backtests", BACKTESTS, window(start, end, limit))

    def factor_exposures(
        self, symbol: str, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Exposures of an instrument to the factor funds: a row a month's end and fund."""
        return self._series(f"/instruments/{part(symbol)}/factors", EXPOSURES, window(start, end, limit))

    def stress(self, portfolio: str | int, kind: str | None = None) -> Listing[StoredScenario]:
        """The stored scenarios of a portfolio's newest holdings: historical, hypothetical, reverse, or every kind."""
        path = f"/portfolios/{part(portfolio)}/stress"
        return self._listing(path, StoredScenario, STRESS, {"kind": kind}, limit=None)

    def measures(self) -> Listing[Measure]:
        """What every measure is: its unit, formula and source."""
        return self._listing("/measures", Measure, MEASURES, limit=None)

    def report(self, portfolio: str | int) -> Report:
        """Everything that is known of a portfolio, section by section."""
        return Report.model_validate(self._get(f"/portfolios/{part(portfolio)}/report"))

    # Computed on request -----------------------------------------------------------------------------------

    def compute_risk(self, portfolio: str | int, **how: Any) -> RiskReport:
        """Measure a portfolio's newest window now; `how` is the body of ``POST …/risk``."""
        return self._computed(f"/portfolios/{part(portfolio)}/risk", how, RiskReport)

    def compute_tail(self, portfolio: str | int, **how: Any) -> PortfolioTail:
        """Value at risk and expected shortfall by one method: ``method="student_t", confidence=0.99``."""
        return self._computed(f"/portfolios/{part(portfolio)}/tail", how, PortfolioTail)

    def compute_backtest(self, portfolio: str | int, **how: Any) -> Backtest:
        """How a method's value at risk would have done, as ``POST …/backtests`` takes it."""
        return self._computed(f"/portfolios/{part(portfolio)}/backtests", how, Backtest)

    def compute_stress(self, portfolio: str | int, **kind: Any) -> StressReport:
        """Stress now by one kind, as ``POST …/stress`` takes it: ``historical="all"``."""
        return self._computed(f"/portfolios/{part(portfolio)}/stress", kind, StressReport)

    def decompose(self, portfolio: str | int, **how: Any) -> Decomposition:
        """Whose risk it is: ``measure="es", by="sector"``."""
        return self._computed(f"/portfolios/{part(portfolio)}/decomposition", how, Decomposition)

    def what_if(self, portfolio: str | int, **change: Any) -> WhatIf:
        """What ``trades`` or other ``positions`` would do to a portfolio; nothing is stored."""
        return self._computed(f"/portfolios/{part(portfolio)}/what-if", change, WhatIf)

    def calculate(self, **what: Any) -> Calculation:
        """Every figure of ``returns`` or ``positions``, as ``POST /api/v1/calculate`` takes them."""
        return self._computed("/calculate", what, Calculation)

    def currency_split(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None
    ) -> CurrencySplit:
        """What a portfolio's prices earned, and what its currencies did."""
        query = {"start": start, "end": end}
        return CurrencySplit.model_validate(self._get(f"/portfolios/{part(portfolio)}/currency", query))

    def covariance(
        self, symbols: Sequence[str] | None = None, *, estimator: str | None = None, session: Day | None = None
    ) -> Covariance:
        """Covariances of instruments, of all without `symbols`, at a session or the newest one."""
        query = {"symbols": symbols, "estimator": estimator, "session": session}
        return Covariance.model_validate(self._get("/covariance", query))

    def principal_factors(
        self,
        symbols: Sequence[str] | None = None,
        *,
        count: int | None = None,
        window_sessions: int | None = None,
        as_of: Day | None = None,
    ) -> PrincipalFactors:
        """What instruments have in common: the eigenvectors of their correlations that explain most."""
        query = {"symbols": symbols, "count": count, "window_sessions": window_sessions, "as_of": as_of}
        return PrincipalFactors.model_validate(self._get("/principal-factors", query))

    # Explained ---------------------------------------------------------------------------------------------

    def explainables(self, portfolio: str | int) -> Explainables:
        """The newest stored figures of a portfolio, and the address that explains each."""
        return Explainables.model_validate(self._get(f"/portfolios/{part(portfolio)}/explain"))

    def explain(self, portfolio: str | int, measure: str, session: Day | None = None) -> Explanation:
        """What a stored measure of a portfolio follows from, and the same computed again."""
        return self.explanation(f"/portfolios/{part(portfolio)}/risk/explain", measure=measure, session=session)

    def explain_instrument(self, symbol: str, measure: str, session: Day | None = None) -> Explanation:
        """The same of an instrument."""
        return self.explanation(f"/instruments/{part(symbol)}/risk/explain", measure=measure, session=session)

    def explanation(self, address: str, **which: Any) -> Explanation:
        """What the figure of an address follows from.

        Parameters
        ----------
        address
            One that an answer names in ``explain``, or any other path that ends so, such as
            ``/portfolios/core/tail/explain``.
        which
            Its query, such as ``method="historical", measure="var_99_1d"``.
        """
        return Explanation.model_validate(self._get(*_path_and_query(address, which)))

    def explain_computed(self, address: str, **which: Any) -> Explanation:
        """What a figure that is computed on request follows from.

        Parameters
        ----------
        address
            Path that ends in ``explain``, such as ``/calculate/explain`` or ``/portfolios/core/what-if/explain``.
        which
            What was computed, as the method for it takes it, and the ``figure``.
        """
        return self._computed(_path_and_query(address, {})[0], which, Explanation)


def _path_and_query(address: str, which: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The parts of an address, or of a template of addresses; the API and its machine are those of the client."""
    parts = urlsplit(address.partition("{")[0])
    return parts.path.removeprefix(API), dict(parse_qsl(parts.query)) | dict(which)
