"""Methods of the client that keep portfolios: what they hold, their transactions, and their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from fintech.answers.portfolios import (
    LIMIT_EVENTS,
    LIMITS,
    PORTFOLIOS,
    TRANSACTIONS,
    VALUES,
    Holdings,
    NewTransaction,
    Portfolio,
    PortfolioValue,
    Position,
    Recorded,
    StoredLimit,
    Transaction,
)
from fintech.answers.portfolios import Limit as PortfolioLimit
from fintech.answers.records import Listing
from fintech.asking import success_of
from fintech.client.requests import Day, Limit, Requests, given, part, window
from fintech.series import Series, Told
from pipeline.base.types import Rebalancing

Positions = Sequence[Position | Mapping[str, object]]


class Portfolios(Requests):
    """What is held.

    A change takes a portfolio as it was read in `known`: then it is refused with 412 if another change came before it.
    """

    def portfolios(self) -> Listing[Holdings]:
        """Every portfolio, by id."""
        return self._listing("/portfolios", Holdings, PORTFOLIOS)

    def portfolio(self, reference: str | int) -> Portfolio:
        """The portfolio of an id or slug."""
        return _portfolio(self._ask("GET", _path(reference)))

    def create_portfolio(  # noqa: PLR0913 - a field each
        self,
        name: str,
        positions: Positions | None = None,
        *,
        slug: str | None = None,
        rebalancing: Rebalancing | None = None,
        drift_band: float | None = None,
        base_currency: str | None = None,
        benchmark: str | None = None,
        shared: bool | None = None,
    ) -> Portfolio:
        """Store a portfolio of quantities, which are held, or of target weights, which `rebalancing` restores.

        ``drift_band`` restores them at a close at which a weight is further than `drift_band` from its target. A
        portfolio without `positions` keeps a book: `record_transactions` says what it holds.
        """
        fields = {
            "name": name,
            "slug": slug,
            "rebalancing": rebalancing,
            "drift_band": drift_band,
            "base_currency": base_currency,
            "benchmark": benchmark,
            "shared": shared,
            "positions": None if positions is None else _parts(positions),
        }
        return _portfolio(self._posted("/portfolios", given(fields)))

    def change_portfolio(
        self, reference: str | int, *, known: Portfolio | None = None, **changes: str | float | None
    ) -> Portfolio:
        """Set ``name``, ``slug``, ``benchmark``, ``rebalancing`` or ``drift_band``.

        None takes a slug or a benchmark away.
        """
        return _portfolio(self._ask("PATCH", _path(reference), body=changes, headers=_if_match(known)))

    def replace_positions(
        self,
        reference: str | int,
        positions: Positions,
        *,
        rebalancing: Rebalancing | None = None,
        drift_band: float | None = None,
        known: Portfolio | None = None,
    ) -> Portfolio:
        """Replace all positions of a portfolio that keeps no book."""
        body = given({"positions": _parts(positions), "rebalancing": rebalancing, "drift_band": drift_band})
        path = f"{_path(reference)}/positions"
        return _portfolio(self._ask("PUT", path, body=body, headers=_if_match(known)))

    def delete_portfolio(self, reference: str | int, *, known: Portfolio | None = None) -> None:
        """Delete a portfolio for good, with its transactions and limits."""
        self._delete(_path(reference), _if_match(known))

    # Books -------------------------------------------------------------------------------------------------

    def transactions(self, portfolio: str | int) -> Listing[Transaction]:
        """The transactions of a portfolio, by day."""
        return self._listing(f"{_path(portfolio)}/transactions", Transaction, TRANSACTIONS)

    def record_transactions(
        self,
        portfolio: str | int,
        transactions: Sequence[NewTransaction | Mapping[str, object]],
        *,
        known: Portfolio | None = None,
    ) -> Recorded:
        """Record transactions: all of them, or none where one is refused."""
        body = {"transactions": _parts(transactions)}
        answer = self._posted(f"{_path(portfolio)}/transactions", body, _if_match(known))
        return Recorded.model_validate(success_of(answer))

    def delete_transaction(self, portfolio: str | int, number: int, *, known: Portfolio | None = None) -> None:
        """Take a transaction back that was recorded by mistake."""
        path = f"{_path(portfolio)}/transactions/{part(number)}"
        self._delete(path, _if_match(known))

    def value(
        self,
        portfolio: str | int,
        *,
        start: Day | None = None,
        end: Day | None = None,
        as_of: Day | None = None,
        limit: int | None = None,
    ) -> PortfolioValue:
        """What a portfolio that keeps a book is worth and has earned, with the newest of its history."""
        body = self._get(f"{_path(portfolio)}/value", window(start, end, limit) | {"as_of": as_of})
        history = Series.of(body["history"], VALUES, Told.of(body))
        return PortfolioValue.model_validate(body | {"history": history})

    def value_history(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """What it was worth by session, and what was paid in and taken out."""
        return self._series(f"{_path(portfolio)}/value/history", VALUES, window(start, end, limit))

    # Limits ------------------------------------------------------------------------------------------------

    def limits(self, portfolio: str | int) -> Listing[StoredLimit]:
        """The limits of a portfolio, by measure."""
        return self._listing(f"{_path(portfolio)}/limits", StoredLimit, LIMITS)

    def set_limits(
        self, portfolio: str | int, limits: Sequence[PortfolioLimit | Mapping[str, object]]
    ) -> Listing[StoredLimit]:
        """Set all limits of a portfolio, in the place of those before."""
        body = success_of(self._ask("PUT", f"{_path(portfolio)}/limits", body={"limits": _parts(limits)}))
        return Listing(tuple(map(StoredLimit.model_validate, body["data"])), LIMITS, Told.of(body))

    def delete_limits(self, portfolio: str | int) -> None:
        """Take all limits of a portfolio away."""
        self._delete(f"{_path(portfolio)}/limits")

    def limit_events(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """What was told about a portfolio's limits."""
        return self._series(f"{_path(portfolio)}/limit-events", LIMIT_EVENTS, window(start, end, limit))


def _path(reference: str | int) -> str:
    return f"/portfolios/{part(reference)}"


def _portfolio(answer: httpx.Response) -> Portfolio:
    return Portfolio.model_validate(success_of(answer) | {"etag": answer.headers.get("etag")})


def _if_match(known: Portfolio | None) -> dict[str, str]:
    return {"If-Match": known.etag} if known is not None and known.etag is not None else {}


def _parts(given_parts: Sequence[Any]) -> list[Any]:
    """Positions, transactions or limits as the API takes them: what is None is left out."""
    return [given(dict(one)) for one in given_parts]
