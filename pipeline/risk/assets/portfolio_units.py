"""Asset ``portfolio_units``: what each portfolio with a drift band holds, walked from its first session on.

Other assets read a stated number of months. What they need of the band's past is the units with which these begin, and
they are here: a row of any month changes where those change, and not with every price of the past (ADR 0021).
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np

from pipeline.base.types import FloatArray, IntArray, MonthRange
from pipeline.orchestration.checks import Columns
from pipeline.orchestration.each_portfolio import COMPUTED_SPEC, each_portfolio
from pipeline.orchestration.table_assets import Produced, TableAsset
from pipeline.risk.measures.errors import MeasureInputError
from pipeline.risk.measures.holdings import Holdings
from pipeline.store.fx_rates import FX_RATES
from pipeline.store.portfolio_units import PORTFOLIO_UNIT
from pipeline.store.portfolios import PORTFOLIOS_INPUT, Portfolio, read_portfolios
from pipeline.store.prices import PricePanel, read_price_panel
from pipeline.store.writing import Write, concatenated

WHOLE_HISTORY_MONTHS = 1_200
"""What is held today follows from every close since the portfolio's first session."""


def units_figures(rows: Columns) -> dict[str, float]:
    """How often portfolios traded in a month, and how much of their value."""
    trades = rows["set_on"] == rows["session"]
    if not trades.any():
        return {"trades_count": 0.0}
    keys = np.stack([rows["portfolio_id"][trades].astype(np.int64), rows["session"][trades].astype(np.int64)])
    _, trade_of = np.unique(keys, axis=1, return_inverse=True)
    turnover = np.bincount(trade_of.ravel(), weights=np.abs(rows["traded"][trades]))
    return {
        "trades_count": float(len(turnover)),
        "mean_turnover_fraction": float(turnover.mean()),
        "largest_turnover_fraction": float(turnover.max()),
    }


def units_version(rows: Columns) -> str:
    """Digest of a run's rows. Without a drift band it is always the same, so that no price asks for more than it did.

    With one, months are computed again where an old price was corrected, whether or not it changed units: Dagster has
    one version for all months of a run. Our own record of what is out of date is exact.
    """
    digest = blake2b(digest_size=16)
    for name in sorted(rows):
        digest.update(np.ascontiguousarray(rows[name]).tobytes())
    return digest.hexdigest()


@TableAsset(
    table=PORTFOLIO_UNIT,
    location="risk",
    inputs={PORTFOLIOS_INPUT: None, "prices": WHOLE_HISTORY_MONTHS, FX_RATES: WHOLE_HISTORY_MONTHS},
    figures=units_figures,
    headline="traded",
    kinds=frozenset({"postgres", "numba"}),
    check_specs=(COMPUTED_SPEC,),
    data_version=units_version,
)
def portfolio_units(write: Write, months: MonthRange) -> Produced:
    """Units that portfolios with a drift band hold from each trade and from each month's first session on."""
    portfolios = [one for one in read_portfolios(write.connection) if one.rebalancing == "drift_band"]
    ids = sorted({position.instrument_id for portfolio in portfolios for position in portfolio.positions})
    panel = read_price_panel(write.connection, ids, None if ids else months.first, months.end)
    blocks, computed = each_portfolio(
        portfolios, lambda portfolio: unit_rows(panel, portfolio, months), MeasureInputError
    )
    return Produced(
        concatenated(PORTFOLIO_UNIT, blocks),
        checks=[computed],
        empty_because="no portfolio has a drift band and a price for each position in this month",
    )


def unit_rows(panel: PricePanel, portfolio: Portfolio, months: MonthRange) -> Iterator[Columns]:
    """The rows of a portfolio: its positions at each trade, and at the first session of each month.

    Parameters
    ----------
    panel
        From the first session on which each position has a price, or earlier.

    Raises
    ------
    MeasureInputError
        If its holdings are no portfolio.
    NotFoundError
        If there is no exchange rate of a currency.
    """
    holdings = Holdings(portfolio.amounts, *portfolio.policy)
    ids = np.array([position.instrument_id for position in portfolio.positions], dtype=np.int32)
    close = panel.columns(ids.tolist(), portfolio.base_currency)
    complete = np.isfinite(close).all(axis=1)
    close, sessions = np.ascontiguousarray(close[complete]), panel.sessions[complete]
    rows = months.rows_of(sessions)
    if rows.start == rows.stop:
        return
    setting = _walked(close, holdings)
    is_first = np.diff(sessions.astype("datetime64[M]").astype(np.int64), prepend=-1) != 0
    kept = rows.start + np.flatnonzero(is_first[rows] | (setting[rows] == np.arange(rows.start, rows.stop)))
    units, shape = holdings.targets / close[setting[kept]], (len(kept), len(ids))
    yield {
        "portfolio_id": np.full(units.size, portfolio.id, dtype=np.int32),
        "session": np.repeat(sessions[kept], len(ids)),
        "instrument_id": np.broadcast_to(ids, shape).ravel(),
        "units": units.ravel(),
        "set_on": np.repeat(sessions[setting[kept]], len(ids)),
        "traded": _traded(close, holdings.targets, setting, kept).ravel(),
    }


def _walked(close: FloatArray, holdings: Holdings) -> IntArray:
    """As `Holdings.setting_rows`, compiled."""
    # Here and not above: definitions load without numba.
    from pipeline.risk.measures.kernels.drift_band import setting_rows  # noqa: PLC0415

    assert holdings.drift_band is not None  # of that policy alone
    rows = np.empty(len(close), dtype=np.int64)
    setting_rows(close, holdings.targets, holdings.drift_band, np.empty(close.shape[1]), rows)
    return rows


def _traded(close: FloatArray, targets: FloatArray, setting: IntArray, kept: IntArray) -> FloatArray:
    """(m, n) what trades at the kept rows changed; the first purchase is a trade from nothing."""
    before = setting[np.maximum(kept - 1, 0)]
    values = targets / close[before] * close[kept]
    drifted = values / values.sum(axis=1)[:, None]
    drifted[kept == 0] = 0.0
    return np.where((setting[kept] == kept)[:, None], targets - drifted, 0.0)
