"""The API as it was last reviewed: nothing that callers depend on goes unseen.

``docs/openapi.txt`` is written by `make docs` (`tests.docs.openapi`).
"""

from __future__ import annotations

import pytest

from tests.docs.openapi import PAGE, openapi_page, removed


@pytest.fixture(scope="module")
def page() -> str:
    """Of the code."""
    return openapi_page()


def test_nothing_that_callers_depend_on_is_gone(page: str) -> None:
    gone = removed(PAGE.read_text(), page)
    listed = "\n".join(gone)
    assert not gone, (
        f"callers may depend on what the API has no more:\n{listed}\n"
        "Bring it back; or, where it has to go, name it under Removed in CHANGELOG.md and run `make docs`."
    )


def test_what_is_new_is_reviewed(page: str) -> None:
    new = removed(page, PAGE.read_text())
    listed = "\n".join(new)
    assert not new, f"not in docs/openapi.txt:\n{listed}\nRun `make docs`, and read the difference."


def test_a_removed_field_is_found(page: str) -> None:
    line = next(line for line in page.splitlines() if line.startswith("BarOut.close_adjusted:"))
    assert removed(page, page.replace(f"\n{line}\n", "\n")) == [line]
    assert removed(page, page + "BarOut.more: optional number\n") == []
