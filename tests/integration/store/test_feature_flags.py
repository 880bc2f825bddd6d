"""Overrides of flags: what counts, what is noted, and that a load obeys."""

from __future__ import annotations

import pytest

from pipeline.base.errors import InvalidInputError, NotFoundError
from pipeline.base.flags import DEFAULTS, Flag
from pipeline.store.audit import Actor, read_audit
from pipeline.store.engine import Database
from pipeline.store.feature_flags import is_on, read_flags, read_overrides, set_flag, unset_flag

ACTOR = Actor("command line (test)")


def test_without_overrides_flags_are_their_defaults(database: Database) -> None:
    with database.connect() as connection:
        assert read_flags(connection) == DEFAULTS


def test_a_flag_is_set_changed_and_unset_and_each_is_noted(database: Database) -> None:
    with database.connect() as connection:
        set_flag(connection, Flag.BUILD_ANEW, False, " wrong rows ", ACTOR)
        assert not is_on(connection, Flag.BUILD_ANEW)
        assert is_on(connection, Flag.STORED_SERIES)
        set_flag(connection, Flag.BUILD_ANEW, True, "repaired", ACTOR)
        [override] = read_overrides(connection)
        assert (override.name, override.is_on, override.reason, override.set_by) == (
            "build_anew",
            True,
            "repaired",
            ACTOR.name,
        )
        unset_flag(connection, "build_anew", ACTOR)
        assert read_overrides(connection) == []
        entries = [(entry.action, entry.subject, entry.detail) for entry in read_audit(connection, None, 10)]
    assert entries == [
        ("flag.unset", "flag:build_anew", {"was": True}),
        ("flag.set", "flag:build_anew", {"is_on": True, "was": False, "reason": "repaired"}),
        ("flag.set", "flag:build_anew", {"is_on": False, "was": True, "reason": "wrong rows"}),
    ]


def test_a_flag_of_another_version_is_listed_and_can_be_unset(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("INSERT INTO feature_flag VALUES ('gone', false, 'why', 'somebody')")
        assert read_flags(connection) == DEFAULTS
        unset_flag(connection, "gone", ACTOR)
        with pytest.raises(NotFoundError, match="'gone' is not set"):
            unset_flag(connection, "gone", ACTOR)


def test_a_reason_is_needed(database: Database) -> None:
    with database.connect() as connection, pytest.raises(InvalidInputError, match="reason: is empty"):
        set_flag(connection, Flag.STORED_SERIES, False, "  ", ACTOR)
