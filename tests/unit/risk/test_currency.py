"""Returns in the base currency against valuation at the exchange rates, and rates that are missing."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.types import DateArray, FloatArray
from pipeline.risk.measures.currency import (
    CurrencyContributions,
    CurrencyReturns,
    ExchangeRateError,
    ExchangeRates,
    base_values,
    compounded_contributions,
    currency_contributions,
    currency_returns,
    split_returns,
)
from pipeline.risk.measures.errors import MeasureInputError
from tests.bundled import bundled_rates
from tests.unit.risk.market import close_of
from tests.unit.risk.series import PROPERTY, drawn_close, same, weekdays

SYMBOLS = ("AAPL", "JPM", "XOM")
CURRENCIES = ("USD", "GBP", "EUR")


def known_rates() -> ExchangeRates:
    """Four days; the pound stays at half a euro's worth of the dollar's 1.0, 1.1, 1.21, 1.21."""
    days = np.array(["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"], dtype="datetime64[D]")
    return ExchangeRates(("USD", "GBP"), days, np.array([[1.0, 0.8], [1.1, 0.8], [1.21, 0.88], [1.21, 0.88]]))


@cache
def ecb_rates() -> ExchangeRates:
    """Reference rates of the ECB, a column a currency, NaN where none was published."""
    rates = bundled_rates()
    codes = ("USD", "GBP", "JPY")
    days = np.unique(rates.sessions)
    table = np.full((len(days), len(codes)), np.nan)
    for column, code in enumerate(codes):
        own = rates.currencies == code.encode()
        table[np.searchsorted(days, rates.sessions[own]), column] = rates.units_per_euro[own]
    return ExchangeRates(codes, days, table)


@cache
def real_panel() -> tuple[FloatArray, DateArray]:
    """Closes of three stocks, on sessions since 2015."""
    sessions = close_of("AAPL")[0]
    since = sessions >= np.datetime64("2015-01-01")
    return np.column_stack([close_of(symbol)[1][since] for symbol in SYMBOLS]), sessions[since]


def test_values_of_currencies_are_crossed_through_the_euro() -> None:
    rates = known_rates()
    in_dollars = base_values(rates, rates.days, ("EUR", "USD", "GBP"), "USD")
    np.testing.assert_allclose(in_dollars[:, 0], [1.0, 1.1, 1.21, 1.21], rtol=1e-12)
    assert (in_dollars[:, 1] == 1.0).all()
    np.testing.assert_allclose(in_dollars[:, 2], [1.25, 1.375, 1.375, 1.375], rtol=1e-12)
    in_euros = base_values(rates, rates.days, ("USD",), "EUR")
    np.testing.assert_allclose(in_euros[:, 0], [1.0, 1.0 / 1.1, 1.0 / 1.21, 1.0 / 1.21], rtol=1e-12)


def test_known_returns_are_split() -> None:
    """A euro stock that gains 20 % while the euro gains 10 %: 32 % in dollars, of which 2 % are the product."""
    rates = known_rates()
    made = currency_returns(np.array([[10.0], [12.0]]), rates.days[:2], ("EUR",), rates, "USD")
    parts = (made.local, made.fx, made.cross, made.total)
    np.testing.assert_allclose(np.ravel(parts), [0.2, 0.1, 0.02, 0.32], rtol=1e-12)


def test_real_returns_equal_those_of_the_values_in_the_base_currency() -> None:
    close, sessions = real_panel()
    for base in ("USD", "EUR", "GBP", "JPY"):
        made = currency_returns(close, sessions, CURRENCIES, ecb_rates(), base, max_age_days=5)
        values = close * base_values(ecb_rates(), sessions, CURRENCIES, base, max_age_days=5)
        np.testing.assert_allclose(made.total, values[1:] / values[:-1] - 1.0, atol=1e-15)
        assert (made.total == made.local + made.fx + made.cross).all()
        np.testing.assert_allclose((1.0 + made.local) * (1.0 + made.fx) - 1.0, made.total, atol=1e-15)
        assert made.local.shape == (len(sessions) - 1, 3)


def test_the_base_currency_earns_nothing_of_itself() -> None:
    close, sessions = real_panel()
    for column, base in enumerate(CURRENCIES):
        made = currency_returns(close, sessions, CURRENCIES, ecb_rates(), base, max_age_days=5)
        assert (made.fx[:, column] == 0.0).all()
        assert (made.cross[:, column] == 0.0).all()
        assert same(made.total[:, column].copy(), made.local[:, column].copy())


def test_a_unit_of_account_does_not_matter() -> None:
    """Prices in pence, and a currency renamed at another parity, have the same returns."""
    rates, (close, sessions) = ecb_rates(), real_panel()
    parity = ExchangeRates(rates.currencies, rates.days, rates.units_per_euro * np.array([100.0, 1.0, 1.0]))
    plain = currency_returns(close, sessions, CURRENCIES, rates, "EUR", max_age_days=5)
    other = currency_returns(close * 100.0, sessions, CURRENCIES, parity, "EUR", max_age_days=5)
    np.testing.assert_allclose(other.fx, plain.fx, atol=1e-14)
    np.testing.assert_allclose(other.total, plain.total, atol=1e-14)


def test_a_session_without_publication_is_refused_by_currency_and_date() -> None:
    """New York trades on Easter Monday, when the ECB publishes nothing."""
    close, sessions = real_panel()
    with pytest.raises(ExchangeRateError, match=r"none of USD for 2015-04-06 within 0 days; load it"):
        currency_returns(close[:, :1], sessions, ("USD",), ecb_rates(), "EUR")
    made = base_values(ecb_rates(), np.array(["2015-04-06"], dtype="datetime64[D]"), ("USD",), "EUR", max_age_days=4)
    before = base_values(ecb_rates(), np.array(["2015-04-02"], dtype="datetime64[D]"), ("USD",), "EUR")
    assert made == before
    with pytest.raises(ExchangeRateError, match="within 3 days"):
        base_values(ecb_rates(), np.array(["2015-04-06"], dtype="datetime64[D]"), ("USD",), "EUR", max_age_days=3)


def test_a_rate_never_comes_from_a_later_day() -> None:
    rates = known_rates()
    with pytest.raises(ExchangeRateError, match="none of USD for 2024-01-01 within 30 days"):
        base_values(rates, np.array(["2024-01-01"], dtype="datetime64[D]"), ("USD",), "EUR", max_age_days=30)


def test_a_hole_in_a_series_is_named() -> None:
    rates = known_rates()
    table = rates.units_per_euro.copy()
    table[2, 1] = np.nan
    holed = ExchangeRates(rates.currencies, rates.days, table)
    with pytest.raises(ExchangeRateError, match="none of GBP for 2024-01-04"):
        base_values(holed, rates.days, ("USD", "GBP"), "EUR")
    assert base_values(holed, rates.days, ("GBP",), "EUR", max_age_days=1)[2, 0] == 1.0 / 0.8
    assert np.isfinite(base_values(holed, rates.days, ("USD",), "EUR")).all()


def test_a_series_without_any_rate_is_named() -> None:
    rates = known_rates()
    empty = ExchangeRates(("USD",), rates.days, np.full((4, 1), np.nan))
    with pytest.raises(ExchangeRateError, match="none of USD for 2024-01-02"):
        base_values(empty, rates.days, ("USD",), "EUR", max_age_days=9)


@pytest.mark.parametrize(("currencies", "base"), [(("JPY",), "EUR"), (("EUR",), "JPY")])
def test_an_unknown_currency_is_named(currencies: tuple[str, ...], base: str) -> None:
    with pytest.raises(ExchangeRateError, match="none of JPY; load its series"):
        base_values(known_rates(), known_rates().days, currencies, base)


def test_rates_that_cannot_be_used_are_refused() -> None:
    days = known_rates().days
    with pytest.raises(MeasureInputError, match="finite and above 0"):
        ExchangeRates(("USD",), days[:1], np.array([[0.0]]))
    with pytest.raises(MeasureInputError, match="finite and above 0"):
        ExchangeRates(("USD",), days[:1], np.array([[np.inf]]))
    with pytest.raises(MeasureInputError, match="days not ascending"):
        ExchangeRates(("USD",), days[[1, 0]], np.ones((2, 1)))
    with pytest.raises(MeasureInputError, match="expected"):
        ExchangeRates(("USD",), days, np.ones((4, 2)))


def test_input_that_does_not_fit_is_refused() -> None:
    rates = known_rates()
    with pytest.raises(MeasureInputError, match=r"close: shape \(4, 1\), expected \(4, 2\)"):
        currency_returns(np.ones((4, 1)), rates.days, ("USD", "GBP"), rates, "EUR")
    with pytest.raises(MeasureInputError, match="close: prices must be finite"):
        currency_returns(np.array([[1.0], [np.nan], [1.0], [1.0]]), rates.days, ("USD",), rates, "EUR")
    with pytest.raises(MeasureInputError, match="max_age_days=-1"):
        base_values(rates, rates.days, ("USD",), "EUR", max_age_days=-1)
    with pytest.raises(MeasureInputError, match=r"fx returns: shape \(2, 1\) against \(3, 1\)"):
        split_returns(np.zeros((3, 1)), np.zeros((2, 1)))
    with pytest.raises(MeasureInputError, match="returns: NaN or infinite"):
        split_returns(np.array([[np.nan]]), np.array([[0.0]]))


def test_contributions_of_real_positions_sum_to_what_the_portfolio_earned() -> None:
    close, sessions = real_panel()
    made = currency_returns(close, sessions, CURRENCIES, ecb_rates(), "USD", max_age_days=5)
    units = np.array([3.0, 10.0, -2.0])
    values = close * base_values(ecb_rates(), sessions, CURRENCIES, "USD", max_age_days=5) * units
    worth = values.sum(axis=1)
    parts = currency_contributions(values[:-1] / worth[:-1, None], made)
    np.testing.assert_allclose(parts.total, worth[1:] / worth[:-1] - 1.0, atol=1e-14)
    assert (parts.total == parts.local + parts.fx + parts.cross).all()
    assert (parts.fx != 0.0).any()


def test_constant_weights_are_those_of_daily_rebalancing() -> None:
    close, sessions = real_panel()
    made = currency_returns(close, sessions, CURRENCIES, ecb_rates(), "USD", max_age_days=5)
    weights = np.array([0.5, 0.3, 0.2])
    one, each = (currency_contributions(given, made) for given in (weights, np.tile(weights, (len(sessions) - 1, 1))))
    assert same(one.total, each.total)
    np.testing.assert_allclose(one.total, made.total @ weights, atol=1e-15)


@pytest.mark.parametrize("weights", [np.ones(2), np.ones((2, 3)), np.ones((3, 1))])
def test_weights_that_do_not_fit_are_refused(weights: FloatArray) -> None:
    made = split_returns(np.zeros((4, 3)), np.zeros((4, 3)))
    with pytest.raises(MeasureInputError, match="weights: shape"):
        currency_contributions(weights, made)
    with pytest.raises(MeasureInputError, match="weights: NaN or infinite"):
        currency_contributions(np.array([0.5, np.nan, 0.5]), made)


CELLS = st.integers(-9_000, 12_000).map(lambda points: points / 10_000)


@PROPERTY
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8))
def test_parts_always_sum_exactly(cells: list[tuple[float, float, float]]) -> None:
    local, fx, weights = (np.array([column]) for column in zip(*cells, strict=True))
    made: CurrencyReturns = split_returns(local, fx)
    np.testing.assert_allclose(made.total, (1.0 + local) * (1.0 + fx) - 1.0, rtol=1e-12, atol=1e-14)
    parts = currency_contributions(weights, made)
    assert (parts.total == parts.local + parts.fx + parts.cross).all()
    assert parts.total[0] == pytest.approx(float((weights * made.total).sum()), rel=1e-12, abs=1e-13)


def test_inputs_are_left_as_they_were() -> None:
    close, sessions = drawn_close(30, 3), weekdays("2024-01-01", 30)
    table = np.abs(drawn_close(30, 2, seed=9))
    rates = ExchangeRates(("USD", "GBP"), sessions, table)
    copies = close.copy(), sessions.copy(), table.copy()
    made = currency_returns(close, sessions, CURRENCIES, rates, "USD")
    currency_contributions(np.full(3, 1 / 3), made)
    assert all(same(one, other) for one, other in zip((close, sessions, table), copies, strict=True))


# Several sessions ------------------------------------------------------------------------------------------


def test_of_one_position_the_parts_compound_to_those_of_one_long_session() -> None:
    """By hand: the price gains 10 % and 20 %, the currency loses 5 % and gains 4 %."""
    price, rate = 1.1 * 1.2, 0.95 * 1.04
    returns = split_returns(np.array([[0.1], [0.2]]), np.array([[-0.05], [0.04]]))
    whole = compounded_contributions(currency_contributions(np.array([1.0]), returns))
    found = (whole.local, whole.fx, whole.cross, whole.total)
    assert found == pytest.approx((price - 1, rate - 1, (price - 1) * (rate - 1), price * rate - 1), abs=1e-15)


def test_of_no_session_nothing_was_earned() -> None:
    nothing = np.empty(0)
    whole = compounded_contributions(CurrencyContributions(nothing, nothing, nothing, nothing))
    assert (whole.local, whole.fx, whole.cross, whole.total) == (0.0, 0.0, 0.0, 0.0)
