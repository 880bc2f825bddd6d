"""The vocabulary of tables, and that every table is written in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import Date, Double, Integer, MetaData, Table, Text

from pipeline.store import tables as store_tables
from pipeline.store.schema import (
    METADATA,
    VOLATILITY,
    WRITER,
    Unit,
    column,
    key,
    session_column,
    session_key,
    unit_of,
    value_columns,
    writer,
)
from pipeline.store.tables import all_tables

TABLES = list(all_tables().tables.values())
EACH = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
SAMPLE = Table(
    "sample",
    MetaData(),
    key("subject", Integer(), "Subject."),
    session_key("as_of"),
    key("model", Text(), "Model."),
    column("volatility", Double(), "Volatility.", VOLATILITY),
    column("through", Date(), "Last session used.", nullable=False),
    writer(),
)
PLAIN = Table("plain", MetaData(), key("name", Text(), "Name."), column("since", Date(), "Since."))


def test_a_column_carries_its_meaning_and_unit() -> None:
    made = column("x", Double(), "What it is.", Unit("metres", minimum=0, maximum=9), nullable=False)
    assert (made.comment, made.nullable) == ("What it is.", False)
    assert unit_of(made) == Unit("metres", 0, 9)
    assert unit_of(column("x", Double(), "What it is.")) is None


def test_a_key_is_never_null_and_never_counted_up() -> None:
    made = key("x", Integer(), "Key.")
    assert (made.primary_key, made.nullable, made.autoincrement) == (True, False, False)


def test_the_session_is_the_date_of_the_key() -> None:
    assert session_column(SAMPLE) == "as_of"
    assert session_column(PLAIN) is None  # a date that is no key places no row in a month


def test_values_are_neither_key_nor_writer() -> None:
    assert value_columns(SAMPLE) == ["volatility", "through"]
    assert value_columns(PLAIN) == ["since"]


DECLARATION = re.compile(r"^[A-Z_]+ = (versioned\(|price_table\(|Table\()", re.MULTILINE)


def test_every_module_that_declares_a_table_is_part_of_the_schema() -> None:
    folder = Path(store_tables.__file__).parent
    declaring = {path.stem for path in folder.glob("*.py") if DECLARATION.search(path.read_text())}
    assert len(declaring) > 10
    assert declaring == {name for name in vars(store_tables) if name in declaring}
    assert all_tables() is METADATA


@EACH
def test_names_are_singular_snake_case(table: Table) -> None:
    for name in (table.name, *table.columns.keys()):
        assert name == name.lower()
        assert name.replace("_", "").isalnum()
    assert not table.name.endswith("s") or table.name.endswith("ss")


@EACH
def test_every_measured_number_has_a_unit(table: Table) -> None:
    """Without one, the generic asset check would let infinities pass."""
    assert [c.name for c in table.columns if isinstance(c.type, Double) and unit_of(c) is None] == []


@EACH
def test_bounds_leave_room(table: Table) -> None:
    for measured in table.columns:
        unit = unit_of(measured)
        if unit is not None and unit.minimum is not None and unit.maximum is not None:
            assert unit.minimum < unit.maximum, measured.name


@EACH
def test_a_series_names_the_write_behind_each_row(table: Table) -> None:
    if session_column(table) is not None and table.name not in {"asset_partition", "failed_partition"}:
        assert WRITER in table.columns
        assert not table.columns[WRITER].nullable


@EACH
def test_the_session_follows_the_subject_in_the_key(table: Table) -> None:
    """One subject's newest rows are then one walk through the index."""
    names = [c.name for c in table.primary_key]
    if session_column(table) is not None and table.name not in ("quarantine", "price_block"):
        assert names.index(session_column(table)) == (2 if "subject_kind" in names else 1)
