"""`fintech models` and `fintech export` on a real database."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet
import pytest

from fintech.cli import run_command_line
from fintech.exporting import MEANINGS, SCHEMA
from fintech.host import Host
from pipeline.base.settings import load_settings
from pipeline.store.audit import read_audit
from pipeline.store.engine import Database
from tests.integration.serving.seeding import seed
from tests.integration.serving.test_models import register

NOTE = ("--note", "Because.")


@pytest.fixture(autouse=True)
def environment(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("FINTECH_DATA_DIR", str(tmp_path / "data"))

    @contextmanager
    def prepared(_: object) -> Iterator[Host]:
        """The host without Dagster's own database, which takes seconds and has no part here."""
        yield Host(load_settings(), database, {})

    for module in ("models", "exporting"):
        monkeypatch.setattr(f"fintech.{module}.prepared_host", prepared)


def fintech(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fintech", *arguments])
        code = run_command_line()
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_champion_is_promoted_and_withdrawn(capsys: pytest.CaptureFixture[str], database: Database) -> None:
    assert fintech(capsys, "models", "list")[1].startswith("No model is registered.")
    seed(database)
    register(database)
    listed = fintech(capsys, "models", "list")[1].splitlines()
    assert [line.split()[:4] for line in listed[1:3]] == [
        ["volatility", "ewma", "x", "yes"],
        ["volatility", "har", "x", "0.9000"],
    ]
    assert fintech(capsys, "models", "promote", "har", *NOTE)[1] == "har x is the champion of volatility now.\n"
    assert fintech(capsys, "models", "rollback", "har", *NOTE)[1] == "ewma x is the champion of volatility now.\n"
    code, _, error = fintech(capsys, "models", "promote", "oracle", *NOTE)
    assert (code, "There is no forecast model 'oracle'" in error) == (1, True)
    assert fintech(capsys, "models", "promote", "har")[0] == 2  # without a reason
    with database.connect() as connection:
        entries = read_audit(connection, None, 10)
    assert [entry.action for entry in entries] == ["model.rollback", "model.promote"]
    assert entries[0].actor.startswith("command line")


def read_back(form: str, file: Path) -> pa.Table:
    if form == "parquet":
        return pa.parquet.read_table(file)
    if form == "arrow":
        with pa.ipc.open_file(file) as opened:
            return opened.read_all()
    types = {"horizon": pa.int16(), "as_of": pa.date32(), "value": pa.float64()}
    return pa.csv.read_csv(file, convert_options=pa.csv.ConvertOptions(column_types=types))


@pytest.mark.parametrize("form", ["parquet", "csv", "arrow"])
def test_an_export_is_what_is_stored(
    form: str, capsys: pytest.CaptureFixture[str], database: Database, tmp_path: Path
) -> None:
    seed(database)
    file = tmp_path / f"forecasts.{form}"
    code, said, error = fintech(capsys, "export", "forecasts", "--format", form, "-o", str(file))
    assert (code, error) == (0, "")
    assert "Wrote 54 forecasts" in said  # 4 × 3 variances but 2, 2 × 2 × 11 of distributions
    table = read_back(form, file)
    assert table.column_names == ["instrument", "as_of", "horizon", "kind", "value", "model"]
    rows = {
        (row["instrument"], row["as_of"], row["horizon"], row["kind"], row["model"]): row["value"]
        for row in table.to_pylist()
    }
    assert len(rows) == table.num_rows == 54
    with database.connect() as connection:
        stored = connection.execute(
            "SELECT as_of, model, volatility_1d, volatility_5d, volatility_21d FROM volatility_forecast"
        ).fetchall()
        tails = connection.execute(
            "SELECT as_of, model, quantile_0010, es_0025, quantile_0950_5d, es_0010_5d FROM quantile_forecast"
        ).fetchall()
    for as_of, model, *volatilities in stored:
        for horizon, volatility in zip((1, 5, 21), volatilities, strict=True):
            key = ("AAPL", as_of, horizon, "variance", model)
            if volatility is None:
                assert key not in rows
            else:
                assert rows[key] == pytest.approx(volatility**2 * horizon / 252, rel=1e-12)
    for as_of, model, quantile, shortfall, high_quantile, longer_shortfall in tails:
        assert rows["AAPL", as_of, 5, "quantile_0.95", model] == high_quantile
        assert rows["AAPL", as_of, 5, "es_0.01", model] == longer_shortfall
        assert rows["AAPL", as_of, 1, "quantile_0.01", model] == quantile
        assert rows["AAPL", as_of, 1, "es_0.025", model] == shortfall
    assert [entry.name for entry in tmp_path.iterdir() if entry.name != "data"] == [file.name]


@pytest.mark.parametrize("wanted", [(), ("--model", "har")])
def test_a_stand_in_is_named(
    wanted: tuple[str, ...], capsys: pytest.CaptureFixture[str], database: Database, tmp_path: Path
) -> None:
    seed(database)
    with database.connect() as connection:
        (newest,) = connection.execute("SELECT max(as_of) FROM volatility_forecast").fetchone() or ()
        connection.execute(
            "UPDATE volatility_forecast SET model_version = '1+ewma' WHERE model = 'har' AND as_of = %s", (newest,)
        )
    file = tmp_path / "forecasts.parquet"
    assert fintech(capsys, "export", "forecasts", "-o", str(file), *wanted)[0] == 0
    table = pa.parquet.read_table(file)
    made = {(row["model"], row["as_of"] == newest) for row in table.to_pylist()}
    own = {("ewma", True), ("ewma", False)}
    assert made - own == {("har", False), ("har+ewma", True)}
    assert own <= made or wanted
    assert b"ewma" in table.schema.field("model").metadata[b"comment"]


def test_the_columns_say_what_they_mean(capsys: pytest.CaptureFixture[str], database: Database, tmp_path: Path) -> None:
    seed(database)
    file = tmp_path / "forecasts.parquet"
    fintech(capsys, "export", "forecasts", "-o", str(file), "--symbol", "AAPL", "--model", "ewma")
    schema = pa.parquet.read_schema(file)
    assert schema.field("value").metadata == {b"comment": MEANINGS["value"].encode()}
    assert pa.schema(SCHEMA).types == schema.types
    table = pa.parquet.read_table(file)
    assert set(table["model"].to_pylist()) == {"ewma"}
    newest = max(table["as_of"].to_pylist())
    fintech(capsys, "export", "forecasts", "-o", str(file), "--from", str(newest), "--to", str(newest))
    assert set(pa.parquet.read_table(file)["as_of"].to_pylist()) == {newest}
    assert isinstance(newest, date)
    assert np.isfinite(table["value"].to_numpy()).all()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--format", "xlsx"), 2, "There is no format 'xlsx'"),
        (("--symbol", "NOBODY"), 1, "NOBODY"),
        (("--model", "oracle"), 1, "No forecast was selected"),
        (("--from", "yesterday"), 2, "'yesterday' is not a date"),
        (("-o", "nowhere/x.csv"), 2, "There is no folder nowhere"),
    ],
)
def test_what_cannot_be_exported_says_why(
    arguments: tuple[str, ...],
    code: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
    database: Database,
    tmp_path: Path,
) -> None:
    seed(database)
    file = tmp_path / "kept.csv"
    file.write_text("before")
    found, _, error = fintech(capsys, "export", "forecasts", "-o", str(file), *arguments)
    assert (found, told in error) == (code, True), error
    assert file.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir() if entry.name != "data"] == ["kept.csv"]
