"""The sample portfolios, as far as no database is needed."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from fintech.samples import Sample, sample_portfolios
from pipeline.base.types import REBALANCING_POLICIES
from pipeline.market_data.providers import provider_named
from pipeline.store.instruments import Instrument


@pytest.fixture(scope="module")
def instruments() -> dict[str, Instrument]:
    """What the bundled provider lists, numbered."""
    return {
        security.symbol: Instrument(**asdict(security), provider="bundled", id=number)
        for number, security in enumerate(provider_named("bundled").securities(), start=1)
    }


@pytest.fixture(scope="module")
def samples(instruments: dict[str, Instrument]) -> tuple[Sample, ...]:
    return sample_portfolios(instruments)


def test_there_is_one_sample_of_each_way_to_hold(samples: tuple[Sample, ...]) -> None:
    assert sorted(sample.rebalancing for sample in samples) == ["buy_and_hold", "daily", "monthly"]
    assert {sample.rebalancing for sample in samples} <= set(REBALANCING_POLICIES)
    assert len({sample.slug for sample in samples}) == len(samples)


def test_weights_sum_to_one(samples: tuple[Sample, ...]) -> None:
    weighted = [sample for sample in samples if sample.rebalancing != "buy_and_hold"]
    assert weighted
    for sample in weighted:
        assert sum(amount for _, amount in sample.amounts) == pytest.approx(1.0, abs=1e-12), sample.slug


def test_the_title_of_technology_tells_its_weights(samples: tuple[Sample, ...]) -> None:
    (technology,) = (sample for sample in samples if sample.slug == "tech")
    told = [int(part) for part in technology.name.rpartition(" ")[2].split("/")]
    assert sorted(told) == sorted(round(100 * amount) for _, amount in technology.amounts)


def test_the_core_holds_every_stock_and_nothing_else(
    samples: tuple[Sample, ...], instruments: dict[str, Instrument]
) -> None:
    (core,) = (sample for sample in samples if sample.slug == "core")
    stocks = {symbol for symbol, instrument in instruments.items() if instrument.kind == "stock"}
    assert {symbol for symbol, _ in core.amounts} == stocks
    assert len({amount for _, amount in core.amounts}) == 1


def test_quantities_are_held_and_weights_are_returned_to(
    samples: tuple[Sample, ...], instruments: dict[str, Instrument]
) -> None:
    for sample in samples:
        portfolio = sample.new_portfolio(instruments)
        held = sample.rebalancing == "buy_and_hold"
        assert all((position.quantity is not None) == held for position in portfolio.positions)
        assert all((position.target_weight is not None) == (not held) for position in portfolio.positions)
        assert [position.instrument_id for position in portfolio.positions] == [
            instruments[symbol].id for symbol, _ in sample.amounts
        ]


def test_a_sample_with_an_unknown_symbol_is_left_out(instruments: dict[str, Instrument]) -> None:
    without_apple = {symbol: instrument for symbol, instrument in instruments.items() if symbol != "AAPL"}
    assert "tech" not in [sample.slug for sample in sample_portfolios(without_apple)]
    assert "defensive" in [sample.slug for sample in sample_portfolios(without_apple)]


def test_no_instrument_makes_no_sample() -> None:
    assert sample_portfolios({}) == ()
