"""Methods of the client for instruments, prices, rates and the quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fintech.answers.market_data import (
    DECISIONS,
    FX_CURRENCIES,
    FX_RATES,
    INSTRUMENTS,
    INTEREST_RATES,
    PRICES,
    QUARANTINED,
    RATE_SERIES,
    SYMBOL,
    Decision,
    FxCurrency,
    Instrument,
    InstrumentAnswer,
    Quarantined,
    RateSeries,
)
from fintech.answers.records import Listing
from fintech.asking import success_of
from fintech.client.requests import Day, Limit, Requests, part, window
from fintech.series import Series, Told


class MarketData(Requests):
    """What is known of markets."""

    def instruments(self) -> Listing[Instrument]:
        """Every instrument, by symbol."""
        return self._listing("/instruments", Instrument, INSTRUMENTS)

    def instrument(self, symbol: str) -> InstrumentAnswer:
        """The instrument of a symbol."""
        return InstrumentAnswer.model_validate(self._get(f"/instruments/{part(symbol)}"))

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
        query = window(start, end, limit) | {"known_at": known_at}
        return self._series(f"/instruments/{part(symbol)}/prices", PRICES, query)

    def prices_of(
        self,
        symbols: Sequence[str],
        *,
        start: Day | None = None,
        end: Day | None = None,
        known_at: datetime | None = None,
    ) -> Series:
        """Daily bars of up to 500 instruments, one after the other; the newest year without `start`."""
        query = window(start, end, "all") | {"known_at": known_at, "symbols": ",".join(symbols)}
        return self._series("/prices", {**SYMBOL, **PRICES}, query, is_forward=True)

    def fx_currencies(self) -> Listing[FxCurrency]:
        """Every currency that has reference rates."""
        return self._listing("/fx-rates", FxCurrency, FX_CURRENCIES)

    def fx_rates(
        self, currency: str, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Reference rates of a currency against the euro."""
        return self._series(f"/fx-rates/{part(currency)}", FX_RATES, window(start, end, limit))

    def interest_rate_series(self) -> Listing[RateSeries]:
        """Every series of risk-free rates."""
        return self._listing("/interest-rates", RateSeries, RATE_SERIES)

    def interest_rates(
        self, series: str, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Risk-free rates of a provider's series, such as DTB3."""
        return self._series(f"/interest-rates/{part(series)}", INTEREST_RATES, window(start, end, limit))

    def quarantine(self, state: str | None = None) -> Listing[Quarantined]:
        """Rows that rules refused, the newest session first: held, released, rejected, or of every state."""
        return self._listing("/quarantine", Quarantined, QUARANTINED, {"state": state})

    def release(self, symbol: str, session: Day, *, decided_by: str, note: str) -> Listing[Decision]:
        """Accept what was refused of a symbol and session; the pipeline loads that month again."""
        return self._decided(symbol, session, "release", decided_by, note)

    def reject(self, symbol: str, session: Day, *, decided_by: str, note: str) -> Listing[Decision]:
        """Keep out what was refused of a symbol and session."""
        return self._decided(symbol, session, "reject", decided_by, note)

    def _decided(self, symbol: str, session: Day, decision: str, decided_by: str, note: str) -> Listing[Decision]:
        path = f"/quarantine/{part(symbol)}/{part(session)}/{decision}"
        body = success_of(self._posted(path, {"decided_by": decided_by, "note": note}))
        return Listing(tuple(map(Decision.model_validate, body["data"])), DECISIONS, Told.of(body))
