"""The error that a user reads: cause, remedy and exit code."""

from __future__ import annotations

import pytest

from pipeline.base import errors
from pipeline.base.errors import PlatformError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PlatformError)]


@pytest.mark.parametrize("cause", ["No server answers", "No server answers."])
def test_the_message_is_the_cause_and_the_remedy(cause: str) -> None:
    error = PlatformError(cause, "Start it.")
    assert str(error) == "No server answers. Start it."
    assert (error.remedy, error.exit_code) == ("Start it.", 1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_one_family(kind: type[PlatformError]) -> None:
    error = kind("Something is wrong", "Do this.", exit_code=3)
    assert isinstance(error, PlatformError)
    assert error.exit_code == 3
    assert kind.__doc__
