"""A user's own files: every convention that is documented, and every doubt that is refused."""

from __future__ import annotations

import codecs
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.market_data.providers import (
    FetchRequest,
    FetchResult,
    PayloadRefusedError,
    ProviderError,
    ProviderOptions,
)
from pipeline.market_data.providers.csv_folder import CsvFolderProvider
from pipeline.market_data.providers.csv_formats import days_of, decimal_mark
from pipeline.market_data.rules import Bars

EVERYTHING = FetchRequest("bars", (), date(1900, 1, 1), date(2100, 1, 1))


def write(folder: Path, **files: str) -> CsvFolderProvider:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return CsvFolderProvider(ProviderOptions(csv_dir=folder))


def bars_in(folder: Path, text: str, name: str = "AAPL.csv") -> Bars:
    (folder / name).write_text(text, encoding="utf-8")
    result = CsvFolderProvider(ProviderOptions(csv_dir=folder)).fetch(EVERYTHING)
    assert result.bars is not None
    return result.bars


# Conventions -----------------------------------------------------------------------------------------------

YAHOO = "Date,Open,High,Low,Close,Adj Close,Volume\n2024-06-03,99,102,98,100.5,99.25,1000\n"
STOOQ = "Date,Open,High,Low,Close,Volume\n2024-06-03,99,102,98,100.5,1000\n"
STOOQ_BULK = (
    "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
    "AAPL.US,D,20240603,000000,99,102,98,100.5,1000,0\n"
)
TIINGO = (
    "date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor\n"
    "2024-06-03T00:00:00+00:00,100.5,102,98,99,1000,99.25,101,97,98,1000,0.25,4.0\n"
)
BLOOMBERG = (
    "Dates,PX_LAST,PX_OPEN,PX_HIGH,PX_LOW,PX_VOLUME\n06/13/2024,100.5,99,102,98,1000\n06/03/2024,100.5,99,102,98,1000\n"
)
GERMAN = "Datum;Eröffnung;Hoch;Tief;Schluss;Volumen\n03.06.2024;99,00;102,00;98,00;100,50;1.000\n"
GERMAN_UNITS = (
    "Datum;Erster;Hoch;Tief;Schlusskurs;Stuecke;Volumen\n2024-06-03;99,00;102,00;98,00;100,50;1.000;100.500\n"
)


@pytest.mark.parametrize(
    ("text", "symbol", "adjusted"),
    [
        (YAHOO, "AAPL", 99.25),
        (STOOQ, "AAPL", np.nan),
        (STOOQ_BULK, "AAPL.US", np.nan),
        (TIINGO, "AAPL", 99.25),
        (BLOOMBERG, "AAPL", np.nan),
        (GERMAN, "AAPL", np.nan),
        (GERMAN_UNITS, "AAPL", np.nan),
    ],
    ids=["yahoo", "stooq", "stooq bulk", "tiingo", "bloomberg", "german", "german with units"],
)
def test_a_convention_is_read(text: str, symbol: str, adjusted: float, tmp_path: Path) -> None:
    bars = bars_in(tmp_path, text)
    assert bars.symbols == (symbol,)
    row = bars.take(bars.sessions == np.datetime64("2024-06-03")).values[0]
    np.testing.assert_array_equal(row, [99.0, 102.0, 98.0, 100.5, 1000.0, adjusted])


def test_the_tiingo_convention_has_actions(tmp_path: Path) -> None:
    result = write(tmp_path, AAPL__csv=TIINGO).fetch(EVERYTHING)
    assert result.actions is not None
    assert (result.actions.split_numerator[0], result.actions.dividend[0]) == (4, 0.25)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("cp1252"),
        lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: b"sep=;\r\n" + text.encode(),
        lambda text: b"\n\n" + text.encode() + b";;;;;\n\n",
    ],
    ids=["utf-8", "bom", "cp1252", "utf-16", "crlf", "excel", "blank lines"],
)
def test_files_come_from_anywhere(encode: object, tmp_path: Path) -> None:
    (tmp_path / "sap.csv").write_bytes(encode(GERMAN))  # type: ignore[operator]
    bars = CsvFolderProvider(ProviderOptions(csv_dir=tmp_path)).fetch(EVERYTHING).bars
    assert bars is not None
    assert bars.symbols == ("SAP",)
    assert bars.close.tolist() == [100.5]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(separator: str, tmp_path: Path) -> None:
    assert bars_in(tmp_path, f"Date,Close\n2024-06-03,{100.5}\n".replace(",", separator)).close.tolist() == [100.5]


def test_a_column_may_name_the_symbols(tmp_path: Path) -> None:
    text = "Symbol,Date,Close\nB,2024-06-03,2.5\nA,2024-06-03,1.5\nB,2024-06-04,2.75\n"
    bars = bars_in(tmp_path, text)
    assert bars.symbols == ("A", "B")
    assert bars.close.tolist() == [1.5, 2.5, 2.75]


def test_a_symbol_may_lie_in_several_files(tmp_path: Path) -> None:
    one, two = "Symbol,Date,Close\nA,2023-06-05,1.5\n", "Symbol,Date,Close\nA,2024-06-03,2.5\n"
    bars = write(tmp_path, y2023__csv=one, y2024__csv=two).fetch(EVERYTHING).bars
    assert bars is not None
    assert bars.symbols == ("A",)
    assert bars.close.tolist() == [1.5, 2.5]


@pytest.mark.parametrize("word", ["", ".", "-", "null", "NaN", "n/a", "#N/A N/A"])
def test_words_for_a_missing_number(word: str, tmp_path: Path) -> None:
    bars = bars_in(tmp_path, f"Date,Open,Close\n2024-06-03,{word},100.5\n2024-06-04,{word},{word}\n")
    assert np.isnan(bars.open).all()
    assert bars.close.tolist() == [100.5]


# Dates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        "2024-06-03",
        "20240603",
        "2024/06/03",
        "2024-06-03T00:00:00.000Z",
        "2024-06-03 00:00:00-04:00",
        "03.06.2024",
        "3.6.2024",
        "03-Jun-2024",
        "3 June 2024",
        "Jun 3, 2024",
        "June 3, 2024",
    ],
)
def test_a_date_with_one_reading(cell: str) -> None:
    assert days_of([cell]).astype(str).tolist() == ["2024-06-03"]


@pytest.mark.parametrize("mark", ["/", "-"])
def test_day_or_month_first_is_told_by_a_date_of_the_file(mark: str) -> None:
    assert days_of([f"06{mark}03{mark}2024", f"13{mark}06{mark}2024"]).astype(str).tolist() == [
        "2024-03-06",
        "2024-06-13",
    ]
    assert days_of([f"06{mark}03{mark}2024", f"06{mark}13{mark}2024"]).astype(str).tolist() == [
        "2024-06-03",
        "2024-06-13",
    ]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["06/03/2024", "05/03/2024"], "06/03/2024 may be day/month or month/day"),
        (["06/13/2024", "13/06/2024"], "the day first in some rows and the month first in others"),
        (["06/13/2024", "2024-06-14"], "several forms"),
        (["03.06.24"], "no date with a year of four digits"),
        (["6/3/24"], "no date"),
        (["yesterday"], "no date"),
        (["2024-06-31"], "day is out of range|must be in range"),
        (["45446"], "no date"),
        ([""], "no date"),
    ],
)
def test_a_date_with_several_readings_or_none_is_refused(cells: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        days_of(cells)


# Numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "separator", "mark"),
    [
        (["100", "1000"], ";", "."),
        (["100.5"], ";", "."),
        (["100,5"], ";", ","),
        (["1.234,5"], ";", ","),
        (["1,234.5"], ",", "."),
        (["1.234.567", "12.345"], ";", ","),
        (["1,234,567", "12,345"], ",", "."),
        (["101.250"], ",", "."),
        (["101.250", "7.5"], ";", "."),
        (["0.125"], ";", "."),
        (["1234.567"], ";", "."),
        ([".", "-", "#N/A N/A"], ";", "."),
    ],
)
def test_the_decimal_mark_is_what_the_file_shows(cells: list[str], separator: str, mark: str) -> None:
    assert decimal_mark(cells, separator) == mark


@pytest.mark.parametrize(
    ("cells", "separator", "said"),
    [
        (["101.250", "99.125"], ";", "'101.250' may have a decimal mark or a mark of thousands"),
        (["1,234"], ",", "'1,234' may have"),
        (["1,5", "1.5"], ";", "some a decimal comma"),
    ],
)
def test_a_mark_that_no_number_tells_is_refused(cells: list[str], separator: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decimal_mark(cells, separator)


def test_numbers_with_marks_of_thousands(tmp_path: Path) -> None:
    bars = bars_in(tmp_path, 'Date,Close,Volume\n2024-06-03,"1,234.5","1,000,000"\n2024-06-04,999,1e3\n')
    assert bars.close.tolist() == [1234.5, 999.0]
    assert bars.volume.tolist() == [1_000_000.0, 1_000.0]


# Refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule", "said"),
    [
        ("", "unparsable_payload", "names no date and close"),
        ("Hello\n", "unparsable_payload", "'Hello' names no date and close"),
        ("Date,Price\n2024-06-03,1\n", "unparsable_payload", "names no date and close"),
        ("Date,Close,Last\n2024-06-03,1,1\n", "ambiguous_payload", "'Close' and 'Last' both mean close"),
        ("Date,Close\n06/03/2024,1\n", "ambiguous_payload", "day/month or month/day"),
        ("Date;Close\n2024-06-03;101.250\n", "ambiguous_payload", "mark of thousands"),
        ("Date,Close\n2024-06-03,1\n2024-06-04\n", "unparsable_payload", "line 3 has 1 cells of 2"),
        ("Date,Close\n2024-06-03,1,2\n", "unparsable_payload", "line 2 has 3 cells of 2"),
        ("Date,Close\n2024-06-03,many\n", "unparsable_payload", "'many' is no number"),
        ("Date,Close\n2024-06-03,$1.5\n", "unparsable_payload", "no number"),
        ("Date,Close\n2024-06-03,inf\n", "unparsable_payload", "no number"),
        ('Date,Close\n2024-06-03,"12,34,5.6"\n', "unparsable_payload", "no number"),
        ("Date,Close\nsoon,1\n", "unparsable_payload", "'soon' is no date"),
        ("date,close,splitFactor\n2024-06-03,1,0\n", "unparsable_payload", "split factor is not above 0"),
        ("<!DOCTYPE html><html>", "html_payload", "it is a web page"),
        ("Date,Close\n2024-06-03,1\0\n", "unparsable_payload", "NUL"),
    ],
)
def test_a_file_with_another_or_no_reading_is_refused_by_name(text: str, rule: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(PayloadRefusedError) as caught:
        bars_in(tmp_path, text)
    assert caught.value.rule == rule
    assert caught.value.cause.startswith("File AAPL.csv is refused: ")
    assert said in caught.value.cause
    assert caught.value.remedy


def test_no_folder_is_refused_by_its_setting(tmp_path: Path) -> None:
    for folder, said in ((None, "is not set"), (tmp_path / "gone", "is no folder")):
        with pytest.raises(ConfigurationError, match=f"FINTECH_CSV_DIR .*{said}") as caught:
            CsvFolderProvider(ProviderOptions(csv_dir=folder))
        assert caught.value.exit_code == 2


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"has no file that ends in \.csv or \.txt"):
        write(tmp_path, notes__md="nothing").fetch(EVERYTHING)


# What is asked for -----------------------------------------------------------------------------------------


def fetched(provider: CsvFolderProvider, *symbols: str) -> FetchResult:
    return provider.fetch(FetchRequest("bars", symbols, date(2024, 6, 4), date(2024, 6, 5)))


def test_symbols_and_days_are_selected_and_what_is_missing_is_named(tmp_path: Path) -> None:
    text = "Date,Close\n" + "".join(f"2024-06-0{day},{day}.5\n" for day in range(3, 8))
    result = fetched(write(tmp_path, A__csv=text, B__TXT=text), "B", "C")
    assert result.bars is not None
    assert result.bars.symbols == ("B",)
    assert result.bars.close.tolist() == [4.5, 5.5]
    assert list(result.missing) == ["C"]
    assert [payload.name for payload in result.payloads] == ["A.csv", "B.TXT"]


def test_other_things_than_bars_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="has bars"):
        write(tmp_path, A__csv=STOOQ).fetch(FetchRequest("fx_rates", (), date(2024, 6, 4), date(2024, 6, 5)))


# Descriptions ----------------------------------------------------------------------------------------------


def test_instruments_are_described_by_a_file_of_their_own(tmp_path: Path) -> None:
    described = "symbol;name;kind;currency;exchange;price_scale\nVOD;Vodafone;stock;GBP;XLON;0.01\nNONE;Unused;;;;\n"
    provider = write(tmp_path, VOD__csv=STOOQ, AAPL__csv=STOOQ, instruments__csv=described)
    apple, vodafone = provider.securities()
    assert (apple.name, apple.kind, apple.currency, apple.price_scale) == ("AAPL", "stock", "USD", 1.0)
    assert (vodafone.name, vodafone.currency, vodafone.exchange, vodafone.price_scale) == (
        "Vodafone",
        "GBP",
        "XLON",
        0.01,
    )


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("exchange;LSE", "exchange 'LSE' of VOD is not an ISO 10383 code"),
        ("exchange;London", "exchange 'London' of VOD is not an ISO 10383 code"),
        ("exchange;xlon", "exchange 'xlon' of VOD"),
        ("currency;GBp", "currency 'GBp' of VOD is not an ISO 4217 code"),
        ("currency;pence", "currency 'pence' of VOD"),
        ("currency;£", "currency '£' of VOD"),
    ],
)
def test_a_code_that_its_standard_does_not_write_like_this_is_refused(cell: str, said: str, tmp_path: Path) -> None:
    name, value = cell.split(";")
    with pytest.raises(PayloadRefusedError) as caught:
        write(tmp_path, VOD__csv=STOOQ, instruments__csv=f"symbol;{name}\nVOD;{value}\n").securities()
    assert caught.value.cause.startswith(f"File instruments.csv is refused: {said}")
    assert "docs/providers.md" in caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "name\nVodafone\n",
        "symbol,color\nVOD,red\n",
        "symbol,price_scale\nVOD,0\n",
        "symbol,price_scale\nVOD,pence\n",
        "symbol,name\nVOD,Vodafone,extra\n",
        "symbol,name\n,Vodafone\n",
    ],
)
def test_a_description_that_describes_nothing_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(PayloadRefusedError, match=r"File instruments\.csv is refused"):
        write(tmp_path, VOD__csv=STOOQ, instruments__csv=text).securities()
