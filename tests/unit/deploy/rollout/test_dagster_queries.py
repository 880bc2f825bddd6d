"""The gates' queries are valid in the schema of the Dagster that is installed, and so are the fake's answers."""

from __future__ import annotations

import pytest
from dagster_graphql.schema import create_schema
from graphql import parse, validate

from deploy.rollout import dagster_api

QUERIES = ["_WORKSPACE", "_RELOAD", "_DAEMONS", "_LAUNCH", "_RUN"]


@pytest.mark.parametrize("name", QUERIES)
def test_query_is_valid(name: str) -> None:
    errors = validate(create_schema().graphql_schema, parse(getattr(dagster_api, name)))
    assert errors == []


def test_every_query_is_tested() -> None:
    assert [name for name, value in vars(dagster_api).items() if name.isupper() and "{" in str(value)] == [
        "_ENTRY",
        *QUERIES,
    ]
