"""Dagster's GraphQL API, as a release gate or a smoke test would ask it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from pipeline.base.types import MonthRange
from pipeline.orchestration.partitions import range_tags

RUN_SECONDS = 600

_LOCATIONS = """
{ workspaceOrError { __typename ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename ... on PythonError { message causes { message } } } } } } }
"""
_LAUNCH = """
mutation($parameters: ExecutionParams!) { launchRun(executionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
_RUN = """
query($id: ID!) { runOrError(runId: $id) { ... on Run { status
    eventConnection { events { ... on ErrorEvent { error { message causes { message } } } } } } } }
"""
_BACKFILL = """
mutation($parameters: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $parameters) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
_BACKFILLED = """
query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill {
    status runs(limit: 20) { id status } } } }
"""
_EVENTS = """
query($id: ID!) { runOrError(runId: $id) { ... on Run { eventConnection { events {
    __typename ... on MessageEvent { timestamp message } } } } } }
"""


class DagsterApi:
    """A client of one webserver."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._url = f"{url}/graphql"
        self._headers = headers

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """The data of one query."""
        answer = httpx.post(
            self._url,
            json={"query": query, "variables": variables},
            headers=self._headers,
            timeout=180,
            trust_env=False,
        ).raise_for_status()
        body = answer.json()
        assert "errors" not in body, body["errors"]
        return dict(body["data"])

    def locations(self) -> dict[str, str | None]:
        """The code locations, each with the messages of its PythonError, or None if it was loaded."""
        workspace = self.ask(_LOCATIONS)["workspaceOrError"]
        assert workspace["__typename"] == "Workspace", workspace
        return {entry["name"]: _load_error(entry) for entry in workspace["locationEntries"]}

    def materialize(self, location: str, assets: Sequence[str], months: MonthRange | None = None) -> str:
        """Ask for a run; its id."""
        selector = {
            "repositoryLocationName": location,
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": [asset]} for asset in assets],
        }
        tags = [{"key": key, "value": value} for key, value in (range_tags(months) if months else {}).items()]
        launched = self.ask(_LAUNCH, parameters={"selector": selector, "executionMetadata": {"tags": tags}})[
            "launchRun"
        ]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def wait_for_success(self, run_id: str) -> None:
        """Wait until the run has succeeded."""
        deadline = time.monotonic() + RUN_SECONDS
        while (run := self.ask(_RUN, id=run_id)["runOrError"])["status"] != "SUCCESS":
            failures = [event for event in run["eventConnection"]["events"] if event.get("error")]
            assert run["status"] not in ("FAILURE", "CANCELED"), failures
            assert time.monotonic() < deadline, (run["status"], failures)
            time.sleep(0.5)

    def backfill(self, assets: Sequence[str], months: Sequence[str]) -> list[str]:
        """Ask for a backfill and wait until all of it has succeeded; its runs."""
        parameters = {"assetSelection": [{"path": [asset]} for asset in assets], "partitionNames": list(months)}
        launched = self.ask(_BACKFILL, parameters=parameters)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        deadline = time.monotonic() + RUN_SECONDS
        while True:
            found = self.ask(_BACKFILLED, id=launched["backfillId"])["partitionBackfillOrError"]
            if found["status"].startswith("COMPLETED"):
                assert {run["status"] for run in found["runs"]} == {"SUCCESS"}, found
                return [run["id"] for run in found["runs"]]
            assert found["status"] not in ("FAILED", "CANCELED"), found
            assert time.monotonic() < deadline, found
            time.sleep(0.5)

    def status(self, run_id: str) -> str:
        """How a run is."""
        return str(self.ask(_RUN, id=run_id)["runOrError"]["status"])

    def messages(self, run_id: str) -> list[str]:
        """What a run has said, the first first."""
        events = self.ask(_EVENTS, id=run_id)["runOrError"]["eventConnection"]["events"]
        return [event["message"] for event in events if event.get("message")]

    def moments(self, run_id: str) -> dict[str, float]:
        """The first event of each kind of a run, in seconds since 1970."""
        events = self.ask(_EVENTS, id=run_id)["runOrError"]["eventConnection"]["events"]
        return {event["__typename"]: float(event["timestamp"]) / 1000 for event in reversed(events)}


def _load_error(entry: dict[str, Any]) -> str | None:
    found = entry["locationOrLoadError"]
    if found["__typename"] == "PythonError":
        return "\n".join(error["message"] for error in (found, *found["causes"]))
    assert (found["__typename"], entry["loadStatus"]) == ("RepositoryLocation", "LOADED"), entry
    return None
