"""Provider ``csv``: a folder of a user's own files, one an instrument, or with a column that names it.

Every ``.csv`` and ``.txt`` file of the folder is read; its name without the ending is the symbol where no column
says it. The file ``instruments.csv`` may describe the instruments: symbol, name, kind, sector, currency, exchange,
price_scale. docs/providers.md lists the headers, dates and numbers that are understood.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np

from pipeline.base.errors import ConfigurationError
from pipeline.base.types import FloatArray
from pipeline.market_data.providers.csv_formats import AmbiguousError, days_of, numbers_of, table_of, text_of
from pipeline.market_data.providers.errors import PayloadRefusedError, ProviderError
from pipeline.market_data.providers.histories import History, actions_of, bars_of
from pipeline.market_data.providers.options import ProviderOptions
from pipeline.market_data.providers.protocol import FetchRequest, FetchResult, Offer, Payload, Security
from pipeline.market_data.rules.bars import VALUE_FIELDS
from pipeline.market_data.rules.html_payload import HTML_PAYLOAD, refuse_html_payload
from pipeline.market_data.rules.unparsable_payload import UNPARSABLE_PAYLOAD

DESCRIPTIONS = "instruments.csv"
CODES = {
    "exchange": (re.compile(r"[A-Z0-9]{4}"), "an ISO 10383 code of four capitals or digits, such as XLON"),
    "currency": (re.compile(r"[A-Z]{3}"), "an ISO 4217 code of three capitals, such as GBP"),
}
"""How the cells of `instruments.csv` must look that are codes; pence are GBP with a price_scale of 0.01."""

ENDINGS = frozenset({".csv", ".txt"})
AMBIGUOUS = "ambiguous_payload"
MAX_BYTES = 256 * 2**20


class CsvFolderProvider:
    """Bars of the files in FINTECH_CSV_DIR."""

    name = "csv"
    notice: str | None = None
    offers: frozenset[Offer] = frozenset({"bars"})

    def __init__(self, options: ProviderOptions) -> None:
        if options.csv_dir is None or not options.csv_dir.is_dir():
            found = "is not set" if options.csv_dir is None else f"names {options.csv_dir}, which is no folder"
            raise ConfigurationError(
                f"Provider 'csv' has no files: FINTECH_CSV_DIR {found}",
                "Set FINTECH_CSV_DIR to a folder of price files; docs/providers.md says how they look.",
                exit_code=2,
            )
        self._folder = options.csv_dir

    def securities(self) -> tuple[Security, ...]:
        """An instrument a symbol, as ``instruments.csv`` describes it, else a stock in US dollars.

        Raises
        ------
        ProviderError
            If a file cannot be read, or there is none.
        """
        described = read_descriptions(self._folder / DESCRIPTIONS)
        symbols = {history.symbol for _, histories in self._read() for history in histories}
        return tuple(described.get(symbol) or Security(symbol, symbol, "stock") for symbol in sorted(symbols))

    def fetch(self, request: FetchRequest) -> FetchResult:
        """Bars and actions of the symbols that are asked for, else of all; symbols without a file are `missing`.

        Raises
        ------
        ProviderError
            If a file cannot be read, or there is none.
        """
        if request.what != "bars" or request.as_of is not None:
            raise ProviderError("Provider 'csv' has bars as they stand today, and nothing else", "Ask for these.")
        payloads, found = [], defaultdict(list)
        for payload, histories in self._read():
            payloads.append(payload)
            for history in histories:
                found[history.symbol].append(history.inside(request.first, request.last))
        wanted = request.symbols or tuple(sorted(found))
        histories = [_joined(found[symbol]) for symbol in wanted if symbol in found]
        missing = {symbol: f"No file of {self._folder} has {symbol}" for symbol in wanted if symbol not in found}
        return FetchResult(
            payloads=tuple(payloads), bars=bars_of(histories), actions=actions_of(histories), missing=missing
        )

    def _read(self) -> Iterator[tuple[Payload, list[History]]]:
        files = sorted(path for path in self._folder.iterdir() if path.suffix.lower() in ENDINGS and path.is_file())
        files = [path for path in files if path.name != DESCRIPTIONS]
        if not files:
            raise ProviderError(
                f"FINTECH_CSV_DIR {self._folder} has no file that ends in {' or '.join(sorted(ENDINGS))}",
                "Put the files there: docs/providers.md says how they look.",
            )
        for path in files:
            payload = Payload(path.name, "text/csv", _content(path))
            yield payload, read_file(payload)


def read_file(payload: Payload) -> list[History]:
    """The histories of a file, by symbol.

    Raises
    ------
    PayloadRefusedError
        If it cannot be read, or in two ways.
    """
    page = refuse_html_payload(payload.content, payload.media_type)
    if page is not None:
        raise _refused(HTML_PAYLOAD, page, "Download the data again.", payload)
    try:
        return _histories(payload)
    except AmbiguousError as error:
        remedy = "Write dates as 2024-01-31 and numbers as 1234.5, or leave one of the two columns out."
        raise _refused(AMBIGUOUS, error, remedy, payload) from None
    except ValueError as error:
        remedy = "Correct the file, or take it out of FINTECH_CSV_DIR: docs/providers.md says how files look."
        raise _refused(UNPARSABLE_PAYLOAD, error, remedy, payload) from None


def _refused(rule: str, reason: str | Exception, remedy: str, payload: Payload) -> PayloadRefusedError:
    return PayloadRefusedError(rule, f"File {payload.name} is refused: {reason}", remedy, [payload])


def _histories(payload: Payload) -> list[History]:
    columns, separator = table_of(text_of(payload.content))
    sessions = days_of(columns.pop("date"))
    symbols = np.array(columns.pop("symbol", [Path(payload.name).stem.upper()] * len(sessions)), dtype=np.str_)
    numbers = numbers_of(columns, separator)
    values = np.column_stack([numbers.get(name, np.full(len(sessions), np.nan)) for name in VALUE_FIELDS])
    split_factor, dividend = _actions(numbers, len(sessions))
    return [
        History(str(symbol), sessions[rows], values[rows], split_factor[rows], dividend[rows])
        for symbol in np.unique(symbols)
        for rows in [symbols == symbol]
    ]


def _actions(numbers: dict[str, FloatArray], length: int) -> tuple[FloatArray, FloatArray]:
    split_factor = np.nan_to_num(numbers.get("split_factor", np.ones(length)), nan=1.0)
    if (split_factor <= 0).any():
        raise ValueError("a split factor is not above 0")
    return split_factor, np.nan_to_num(numbers.get("dividend", np.zeros(length)))


def _joined(parts: list[History]) -> History:
    return History(
        parts[0].symbol,
        np.concatenate([part.sessions for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.split_factor for part in parts]),
        np.concatenate([part.dividend for part in parts]),
    )


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ProviderError(f"File {path.name} is longer than {MAX_BYTES:,} bytes", "Split it, one a symbol.")
        return path.read_bytes()
    except OSError as error:
        raise ProviderError(f"File {path.name} cannot be read: {error.strerror}", "Let this user read it.") from None


def read_descriptions(path: Path) -> dict[str, Security]:
    """What ``instruments.csv`` says of each symbol; nothing if there is no such file.

    Raises
    ------
    PayloadRefusedError
        If it has a column that describes nothing, a price scale that is no positive number, or an exchange or a
        currency that is not written as its standard writes it.
    """
    if not path.is_file():
        return {}
    payload = Payload(path.name, "text/csv", _content(path))
    try:
        lines = text_of(payload.content).splitlines()
        separator = ";" if lines and ";" in lines[0] else ","
        described = [_security(row) for row in csv.DictReader(lines, delimiter=separator)]
    except (ValueError, KeyError) as error:
        remedy = "Correct the file: docs/providers.md says what it may hold."
        raise _refused(UNPARSABLE_PAYLOAD, error, remedy, payload) from None
    return {security.symbol: security for security in described}


def _security(row: dict[str, str]) -> Security:
    known = {column.name for column in fields(Security)}
    if "symbol" not in row or set(row) - known:
        raise ValueError(f"its columns are {', '.join(map(str, row))}, not some of {', '.join(sorted(known))}")
    given = {name: cell.strip() for name, cell in row.items() if cell and cell.strip()}
    scale = float(given.pop("price_scale", "1"))
    if not 0 < scale < float("inf"):
        raise ValueError(f"price_scale {scale} is not above 0")
    for name, (code, meaning) in CODES.items():
        if name in given and not code.fullmatch(given[name]):
            raise ValueError(f"{name} {given[name]!r:.40} of {given['symbol']} is not {meaning}")
    return Security(**{"name": given["symbol"], "kind": "stock"} | given, price_scale=scale)
