"""Names of requests."""

from __future__ import annotations

import pytest

from serving.observability.request_ids import request_id_of


def test_new_names_differ_and_are_of_one_length() -> None:
    names = [request_id_of(None) for _ in range(1_000)]
    assert len(set(names)) == len(names)
    assert {len(name) for name in names} == {32}


@pytest.mark.parametrize("given", [b"", b"a b", b"x" * 129, "é".encode(), b"a\r\nb"])
def test_a_name_that_cannot_be_written_is_replaced(given: bytes) -> None:
    assert len(request_id_of(given)) == 32


@pytest.mark.parametrize("given", ["mine-1", "a/b:c", "x" * 128])
def test_a_caller_keeps_its_own(given: str) -> None:
    assert request_id_of(given.encode()) == given
