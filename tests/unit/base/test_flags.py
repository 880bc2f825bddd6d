"""Flags have an owner and an end, and one that is past its end fails here."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.base.errors import NotFoundError
from pipeline.base.flags import DEFAULTS, FLAGS, Flag, flag_named
from pipeline.base.settings import PROJECT_ROOT


def test_every_flag_is_described() -> None:
    assert set(FLAGS) == set(Flag) == set(DEFAULTS)
    for spec in FLAGS.values():
        assert "; off: " in spec.meaning
        assert (PROJECT_ROOT / spec.owner).is_dir()


@pytest.mark.parametrize("flag", Flag)
def test_a_flag_ends(flag: Flag) -> None:
    assert FLAGS[flag].remove_after > datetime.now(UTC).date(), (
        f"{flag}: its day is past; delete the flag and the path that lost, or move the day with a reason"
    )


@pytest.mark.parametrize("flag", Flag)
def test_a_flag_switches_something(flag: Flag) -> None:
    """Outside of its definition somebody asks for it."""
    rooms = [PROJECT_ROOT / room for room in ("pipeline", "serving")]
    sources = [path for room in rooms for path in room.rglob("*.py") if path != Path(PROJECT_ROOT, FLAGS_MODULE)]
    assert any(f"Flag.{flag.name}" in path.read_text() for path in sources)


FLAGS_MODULE = "pipeline/base/flags.py"


def test_an_unknown_flag_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match=r"There is no flag 'fast'. Choose one of stored_series, "):
        flag_named("fast")
