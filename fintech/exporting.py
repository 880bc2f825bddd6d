"""`fintech export forecasts`: every stored forecast as one file, a row a forecast."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema
from arro3.io import write_csv, write_ipc, write_parquet
from psycopg import Connection
from rich.console import Console
from sqlalchemy import Table

from fintech.host import prepared_host
from pipeline.base.errors import ConfigurationError, InvalidInputError
from pipeline.base.settings import Settings
from pipeline.base.types import DateArray, FloatArray
from pipeline.forecast.backtest import ForecastSpec
from pipeline.forecast.models.kinds import PROBABILITY_POSITIVE, VARIANCE, quantile_kind, quintile_kind, shortfall_kind
from pipeline.forecast.models.probability import HORIZON_SESSIONS
from pipeline.forecast.models.protocol import marked_model
from pipeline.store.instruments import Instrument, read_instrument, read_instruments
from pipeline.store.packed_series import Series, read_series
from pipeline.store.probability_forecasts import PROBABILITY_FORECAST, QUINTILE_NUMBERS
from pipeline.store.quantile_forecasts import QUANTILE_FORECAST, quantile_name, shortfall_name
from pipeline.store.volatility_forecasts import VOLATILITY_FORECAST

Format = Literal["parquet", "csv", "arrow"]
FORMATS: tuple[Format, ...] = get_args(Format)

EARLIEST, LATEST = date(1, 1, 1), date(9999, 1, 1)

MEANINGS: Mapping[str, str] = {
    "instrument": "Symbol of the instrument.",
    "as_of": "Last session that the forecast could know.",
    "horizon": "Sessions ahead.",
    "kind": "variance: of the return over the horizon, the sum of its sessions' expected squared returns;"
    " quantile_q: of the return over the horizon; es_q: expected shortfall below that quantile, a positive loss;"
    " probability_positive: of a return above 0; rank_quintile_n: of a return in that fifth of all"
    " instruments', 1 the lowest.",
    "value": "Fraction (of variances, squared), not annualised; or a probability.",
    "model": "Forecast model; frequency is the constant forecast of probabilities. gjr_garch+ewma is made by ewma,"
    " which stood in for gjr_garch where its history was short or its fit did not converge; so with others.",
}
_TYPES = {
    "instrument": DataType.utf8(),
    "as_of": DataType.date32(),
    "horizon": DataType.int16(),
    "kind": DataType.utf8(),
    "value": DataType.float64(),
    "model": DataType.utf8(),
}
SCHEMA = Schema(
    [Field(name, kind, nullable=False, metadata={"comment": MEANINGS[name]}) for name, kind in _TYPES.items()]
)


@dataclass(frozen=True, slots=True)
class ForecastSelection:
    """Which forecasts to write; None for all.

    Parameters
    ----------
    model
        Also where another stood in for it.
    start, end
        First and last day as of which they were made.
    """

    symbols: tuple[str, ...] | None = None
    model: str | None = None
    start: date | None = None
    end: date | None = None


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a table of forecasts, and what it is in the file: `factor` × its value to the power of `power`."""

    name: str
    kind: str
    horizon: int
    power: int = 1
    factor: float = 1.0


def _columns() -> dict[str, tuple[Table, tuple[_Column, ...]]]:
    spec = ForecastSpec()
    variances = tuple(
        _Column(f"volatility_{horizon}d", VARIANCE, horizon, 2, horizon / spec.periods_per_year)
        for horizon in spec.horizons_sessions
    )
    distribution = tuple(
        _Column(name(level, horizon), kind(level), horizon)
        for horizon in spec.quantile_horizons_sessions
        for name, kind, levels in (
            (quantile_name, quantile_kind, spec.levels),
            (shortfall_name, shortfall_kind, spec.shortfall_levels),
        )
        for level in levels
    )
    chances = (
        _Column("probability_positive", PROBABILITY_POSITIVE, HORIZON_SESSIONS),
        *(_Column(f"rank_quintile_{n}", quintile_kind(n), HORIZON_SESSIONS) for n in QUINTILE_NUMBERS),
    )
    return {
        "volatility": (VOLATILITY_FORECAST, variances),
        "distribution": (QUANTILE_FORECAST, distribution),
        "probability": (PROBABILITY_FORECAST, chances),
    }


def export_forecasts(
    settings: Settings, selection: ForecastSelection, form: str, output: Path, console: Console
) -> None:
    """Write forecasts to a file, which is there only once it is whole.

    Raises
    ------
    ConfigurationError
        If there is no such format, the folder is not there, or nothing was selected.
    NotFoundError
        If there is no such instrument.
    """
    if form not in FORMATS:
        raise ConfigurationError(f"There is no format {form!r}", f"Use one of {', '.join(FORMATS)}.", exit_code=2)
    if not output.resolve().parent.is_dir():
        raise ConfigurationError(f"There is no folder {output.parent}", "Make it, or name another file.", exit_code=2)
    with prepared_host(settings) as host, host.database.connect() as connection:
        rows = write_forecasts(connection, selection, form, output)
    console.print(f"Wrote {rows:,} forecasts to {output}.", highlight=False, soft_wrap=True)


def write_forecasts(connection: Connection, selection: ForecastSelection, form: str, output: Path) -> int:
    """Write forecasts to a file, one instrument in memory at a time; errors as in `export_forecasts`.

    Returns
    -------
    int
        Rows.
    """
    instruments = _instruments(connection, selection.symbols)
    rows = 0

    def counted() -> Iterator[RecordBatch]:
        nonlocal rows
        for batch in _batches(connection, instruments, selection):
            rows += batch.num_rows
            yield batch

    handle, draft = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.resolve().parent)
    os.close(handle)
    try:
        _write(RecordBatchReader.from_batches(SCHEMA, counted()), form, Path(draft))
        if rows == 0:
            raise InvalidInputError("No forecast was selected", "Ask for other instruments, models or days.")
        Path(draft).chmod(0o666 & ~_umask())
        Path(draft).replace(output)
    finally:
        Path(draft).unlink(missing_ok=True)
    return rows


def _umask() -> int:
    """What new files may not; a draft of `mkstemp` is its owner's alone."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(reader: RecordBatchReader, form: str, draft: Path) -> None:
    if form == "parquet":
        write_parquet(reader, draft, compression="zstd(3)", key_value_metadata=dict(MEANINGS))
    elif form == "csv":
        write_csv(reader, draft)
    else:
        write_ipc(reader, draft)


def _batches(
    connection: Connection, instruments: Sequence[Instrument], selection: ForecastSelection
) -> Iterator[RecordBatch]:
    """A batch an instrument, model and version, instruments by symbol, oldest forecast of each kind first."""
    start = selection.start or EARLIEST
    end = LATEST if selection.end is None else selection.end + timedelta(days=1)
    for instrument in instruments:
        only: dict[str, int | str] = {"instrument_id": instrument.id}
        if selection.model is not None:
            only["model"] = selection.model
        for table, columns in _columns().values():
            names = [column.name for column in columns]
            # The version says whether the model itself made a forecast.
            for (model, version), series in sorted(
                read_series(connection, table, ("model", "model_version"), names, start, end, only=only).items()
            ):
                yield _batch(instrument.symbol, marked_model(model, version), series, columns)


def _instruments(connection: Connection, symbols: Sequence[str] | None) -> list[Instrument]:
    if symbols is None:
        return sorted(read_instruments(connection), key=lambda instrument: (instrument.symbol, instrument.id))
    return [read_instrument(connection, symbol) for symbol in symbols]


def _batch(symbol: str, model: str, series: Series, columns: Sequence[_Column]) -> RecordBatch:
    days: list[DateArray] = []
    values: list[FloatArray] = []
    kinds: list[str] = []
    for column in columns:
        stored = series.values[column.name]
        known = np.isfinite(stored)
        days.append(series.sessions[known])
        values.append(column.factor * stored[known] ** column.power)
        kinds += [column.kind] * int(known.sum())
    horizons = np.repeat([column.horizon for column in columns], [len(part) for part in values]).astype(np.int16)
    as_of = np.concatenate(days).astype("datetime64[D]").astype(np.int64).astype(np.int32)
    count = len(as_of)
    arrays = [
        Array([symbol] * count, type=DataType.utf8()),
        Array.from_numpy(as_of).cast(DataType.date32()),
        Array.from_numpy(horizons),
        Array(kinds, type=DataType.utf8()),
        Array.from_numpy(np.concatenate(values)),
        Array([model] * count, type=DataType.utf8()),
    ]
    return RecordBatch.from_arrays(arrays, schema=SCHEMA)
