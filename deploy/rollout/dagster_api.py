"""What a gate asks Dagster's webserver through GraphQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from deploy.rollout.errors import GateError

UNREACHABLE = "DagsterUserCodeUnreachableError"
"""What Dagster calls a code server that does not answer; it may yet."""

_ENTRY = """
name loadStatus displayMetadata { key value }
locationOrLoadError { __typename ... on PythonError { className message causes { className message } } }
"""
_WORKSPACE = f"""
{{ workspaceOrError {{ __typename
    ... on Workspace {{ locationEntries {{ {_ENTRY} }} }} ... on PythonError {{ className message }} }} }}
"""
_RELOAD = f"""
mutation($name: String!) {{ reloadRepositoryLocation(repositoryLocationName: $name) {{ __typename
    ... on WorkspaceLocationEntry {{ {_ENTRY} }} ... on PythonError {{ className message }}
    ... on RepositoryLocationNotFound {{ message }} ... on ReloadNotSupported {{ message }}
    ... on UnauthorizedError {{ message }} }} }}
"""
_DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy lastHeartbeatTime } } } }"
_LAUNCH = """
mutation($parameters: ExecutionParams!) { launchRun(executionParams: $parameters) { __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PipelineNotFoundError { message } ... on InvalidSubsetError { message }
    ... on PythonError { className message } } }
"""
_RUN = """
query($id: ID!) { runOrError(runId: $id) { __typename ... on Run { status } } }
"""


@dataclass(frozen=True, slots=True)
class Location:
    """A code location as the workspace shows it.

    Parameters
    ----------
    name
        Its name.
    image
        What its server says that it runs in (``DAGSTER_CURRENT_IMAGE``); None if it was not loaded, or does not say.
    error
        Class and messages of the error that kept it from being loaded; None if it was loaded.
    """

    name: str
    image: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Daemon:
    """One of the daemon's loops; `beat` is the moment (Unix seconds) of its last heartbeat, 0 if there was none."""

    kind: str
    healthy: bool
    beat: float


class DagsterApi:
    """A client of one webserver; every method raises `GateError` if it does not answer as Dagster does."""

    def __init__(self, client: httpx.Client, address: str) -> None:
        self._client = client
        self._url = f"{address.rstrip('/')}/graphql"

    def locations(self) -> dict[str, Location]:
        """Every code location of the workspace."""
        workspace = self._ask(_WORKSPACE)["workspaceOrError"]
        if workspace["__typename"] != "Workspace":
            raise GateError(f"Dagster has no workspace: {_messages(workspace)}")
        return {entry["name"]: _location(entry) for entry in workspace["locationEntries"]}

    def reload(self, name: str) -> Location:
        """Load a code location anew, and say what came of it."""
        answer = self._ask(_RELOAD, name=name)["reloadRepositoryLocation"]
        if answer["__typename"] != "WorkspaceLocationEntry":
            raise GateError(f"Dagster does not load {name}: {answer['__typename']}: {answer.get('message', '')}")
        return _location(answer)

    def daemons(self) -> list[Daemon]:
        """The daemon's loops that the instance needs."""
        health = self._ask(_DAEMONS)["instance"]["daemonHealth"]
        return [
            Daemon(status["daemonType"], bool(status["healthy"]), status["lastHeartbeatTime"] or 0.0)
            for status in health["allDaemonStatuses"]
            if status["required"]
        ]

    def launch(self, location: str, assets: tuple[str, ...], partition: str | None) -> str:
        """Ask for a run that materialises the assets; its id."""
        selector = {
            "repositoryLocationName": location,
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": asset.split("/")} for asset in assets],
        }
        tags = {"fintech/rollout": "smoke", **({"dagster/partition": partition} if partition else {})}
        parameters = {
            "selector": selector,
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = self._ask(_LAUNCH, parameters=parameters)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise GateError(f"Dagster does not launch {location}:{','.join(assets)}: {_messages(answer)}")
        return str(answer["run"]["runId"])

    def run_status(self, run_id: str) -> str:
        """Status of a run, such as ``STARTED``."""
        run = self._ask(_RUN, id=run_id)["runOrError"]
        return str(run.get("status", run["__typename"]))

    def _ask(self, query: str, **variables: object) -> Any:
        try:
            answer = self._client.post(self._url, json={"query": query, "variables": variables})
        except httpx.HTTPError as error:
            raise GateError(f"Dagster's webserver does not answer ({type(error).__name__})") from error
        if answer.status_code != 200:
            raise GateError(f"Dagster's webserver answers {answer.status_code} at /graphql")
        try:
            body = answer.json()
        except ValueError as error:
            raise GateError("what answers at /graphql is not Dagster: no JSON") from error
        if not isinstance(body, dict) or not isinstance(body.get("data"), dict):
            raise GateError(f"Dagster refuses a query: {str(body)[:300]}")
        return body["data"]


def _location(entry: Mapping[str, Any]) -> Location:
    found = entry["locationOrLoadError"] or {"__typename": "", "className": "", "message": "it is being loaded"}
    shown = {pair["key"]: pair["value"] for pair in entry["displayMetadata"]}
    loaded = found["__typename"] == "RepositoryLocation"
    return Location(entry["name"], shown.get("image") if loaded else None, None if loaded else _messages(found))


def _messages(answer: Mapping[str, Any]) -> str:
    causes = (answer, *answer.get("causes", ()), *answer.get("errors", ()))
    told = (
        ": ".join(part for part in (one.get("className"), one.get("message", "").strip()) if part) for one in causes
    )
    return " < ".join(text for text in told if text) or str(answer.get("__typename"))
