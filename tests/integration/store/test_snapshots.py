"""A reader that sees all tables as of one moment, while one of them is to be exchanged."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from threading import Event, Thread

import numpy as np
import pytest

from pipeline.store import prices as store_prices
from pipeline.store.engine import Database
from pipeline.store.prices import read_price_panel
from serving.deps import Connections
from tests.integration.store.test_rebuilding import DAYS, INSTRUMENTS, Offer, table_number, write

IDS = list(range(1, INSTRUMENTS + 1))
END = date(2022, 7, 1)


def closes(close: float) -> Offer:
    """Every instrument on every day at one price."""
    count = INSTRUMENTS * len(DAYS)
    ids = np.repeat(np.array(IDS, dtype=np.int32), len(DAYS))
    return Offer(ids, np.tile(DAYS, INSTRUMENTS), np.full(count, close))


@pytest.fixture
def loaded(database: Database) -> Database:
    assert len(IDS) > store_prices.MOST_INSTRUMENTS_BY_ROW  # or panels were made from rows alone
    write(database, closes(10.0).rows)
    return database


def test_rows_and_blocks_are_of_one_moment(loaded: Database) -> None:
    """A rebuild between two readings of a transaction is made in place, where the snapshot does not see it."""
    number = table_number(loaded)
    with closing(Connections(loaded.url)) as connections:
        connections.open()
        with connections.reading() as reader:
            blocks = read_price_panel(reader, IDS, None, END).close
            assert not write(loaded, closes(20.0).rows, anew=True).built_anew
            rows = read_price_panel(reader, IDS[:2], None, END).close
            assert (blocks[0, 0], rows[0, 0]) == (10.0, 10.0)
        with connections.reading() as reader:
            assert read_price_panel(reader, IDS[:2], None, END).close[0, 0] == 20.0
    assert table_number(loaded) == number


def test_an_exchange_waits_for_a_reader_that_ends(loaded: Database) -> None:
    began, built = Event(), []

    def rebuild() -> None:
        began.set()
        built.append(write(loaded, closes(20.0).rows, anew=True).built_anew)

    with closing(Connections(loaded.url)) as connections:
        connections.open()
        with connections.reading() as reader:
            thread = Thread(target=rebuild)
            thread.start()
            began.wait()
            assert read_price_panel(reader, IDS, None, END).close[0, 0] == 10.0
        thread.join()
    assert built == [True]
