"""Covariance of every pair of instruments at the last session of each month, a matrix a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection
from sqlalchemy import Double, LargeBinary, SmallInteger, Table, Text

from pipeline.base.types import FloatArray, IntArray
from pipeline.store.reading import Window, read_newest
from pipeline.store.schema import METADATA, SESSIONS, Unit, column, key, session_key, writer

CORRELATION = Unit("correlation", minimum=-1, maximum=1)
INSTRUMENTS = Unit("instruments", minimum=1)

COVARIANCE = Table(
    "covariance",
    METADATA,
    key("estimator", Text(), "Estimator, such as ledoit_wolf."),
    session_key(),
    column("window_sessions", SmallInteger(), "Returns that were used.", SESSIONS, nullable=False),
    column("instrument_count", SmallInteger(), "Rows and columns of the matrix.", INSTRUMENTS, nullable=False),
    column("instrument_ids", LargeBinary(), "Instruments, ascending, as int32; then a byte of 1.", nullable=False),
    column(
        "covariance",
        LargeBinary(),
        "Covariances of daily returns, per session: the lower triangle row by row as float64; then a byte of 1.",
        nullable=False,
    ),
    column("mean_correlation", Double(), "Mean correlation of two different instruments.", CORRELATION),
    column("largest_correlation", Double(), "Largest correlation of two different instruments.", CORRELATION),
    column("reason", Text(), "Why there is no correlation: no two instruments that vary."),
    writer(),
    comment="Covariance of daily returns of every pair of instruments, at the last session of each month.",
)

_END = b"\x01"
"""Byte strings of numpy, as columns are written from, lose their trailing zeros."""


@dataclass(frozen=True, slots=True)
class CovarianceRow:
    """The matrix of one session, packed."""

    session: date
    window_sessions: int
    instrument_ids: bytes
    covariance: bytes
    materialization_id: int

    @property
    def ids(self) -> list[int]:
        """The k instruments, ascending."""
        found: list[int] = np.frombuffer(self.instrument_ids[: -len(_END)], dtype="<i4").tolist()
        return found

    @property
    def matrix(self) -> FloatArray:
        """(k, k) covariances of daily returns."""
        return unpacked(self.covariance)


def packed_ids(instrument_ids: IntArray) -> bytes:
    """Instruments as they are stored."""
    return instrument_ids.astype("<i4").tobytes() + _END


def packed(matrix: FloatArray) -> bytes:
    """The lower triangle of a symmetric matrix as it is stored: 1 MB for 500 instruments."""
    return matrix[np.tril_indices(len(matrix))].astype("<f8").tobytes() + _END


def unpacked(stored: bytes) -> FloatArray:
    """(k, k) symmetric matrix of a stored lower triangle."""
    values = np.frombuffer(stored[: -len(_END)], dtype="<f8")
    size = int((np.sqrt(8 * len(values) + 1) - 1) / 2 + 0.5)
    matrix = np.empty((size, size))
    rows, columns = np.tril_indices(size)
    matrix[rows, columns] = matrix[columns, rows] = values
    return matrix


def covariance_columns(
    estimator: str,
    session: np.datetime64,
    window_sessions: int,
    instrument_ids: IntArray,
    matrix: FloatArray,
    correlations: FloatArray,
) -> Mapping[str, NDArray[Any]]:
    """The row of one matrix.

    Parameters
    ----------
    instrument_ids
        (k,) ascending.
    matrix
        (k, k).
    correlations
        (m,) known ones of two different instruments; may be empty.
    """
    known = len(correlations) > 0
    return {
        "estimator": np.array([estimator.encode()]),
        "session": np.array([session], dtype="datetime64[D]"),
        "window_sessions": np.array([window_sessions], dtype=np.int16),
        "instrument_count": np.array([len(instrument_ids)], dtype=np.int16),
        "instrument_ids": np.array([packed_ids(instrument_ids)]),
        "covariance": np.array([packed(matrix)]),
        "mean_correlation": np.array([correlations.mean() if known else np.nan]),
        "largest_correlation": np.array([correlations.max() if known else np.nan]),
        "reason": np.array([b"" if known else b"no_variation"]),
    }


def read_newest_covariance(connection: Connection, estimator: str, last: date | None) -> CovarianceRow | None:
    """The matrix of the newest session up to `last`; None while there is none."""
    found = read_newest(connection, COVARIANCE, {"estimator": estimator}, Window(end=last, limit=1), CovarianceRow)
    return found[0] if found else None
