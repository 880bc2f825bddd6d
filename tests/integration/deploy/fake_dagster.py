"""What the fake webserver answers to the gates' queries, in the shapes of Dagster's own schema."""

from __future__ import annotations

import time
from typing import Any

from deploy.rollout.services import LOCATIONS
from tests.integration.deploy.fake_platform import Platform


def answer(platform: Platform, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """The data of one query."""
    if "reloadRepositoryLocation" in query:
        return {"reloadRepositoryLocation": _reloaded(platform, variables["name"])}
    if "workspaceOrError" in query:
        entries = [_entry(platform, location) for location in LOCATIONS.values()]
        return {"workspaceOrError": {"__typename": "Workspace", "locationEntries": entries}}
    if "daemonHealth" in query:
        return {"instance": {"daemonHealth": {"allDaemonStatuses": _daemons(platform)}}}
    if "launchRun" in query:
        return {"launchRun": _launched(platform, variables["parameters"])}
    status = platform.runs.get(variables["id"])
    return {"runOrError": {"__typename": "Run", "status": status} if status else {"__typename": "RunNotFoundError"}}


def _reloaded(platform: Platform, location: str) -> dict[str, Any]:
    if location not in LOCATIONS.values():
        return {"__typename": "RepositoryLocationNotFound", "message": f"Location {location} does not exist"}
    return {"__typename": "WorkspaceLocationEntry", **_entry(platform, location)}


def _entry(platform: Platform, location: str) -> dict[str, Any]:
    deploy = platform.answering(platform.code_location(location))
    error = platform.behaviour(deploy.digest).error
    metadata = [{"key": "host", "value": "location"}, {"key": "port", "value": "4000"}]
    if error is None:
        found: dict[str, Any] = {"__typename": "RepositoryLocation"}
        metadata.append({"key": "image", "value": deploy.shown or ""})
    else:
        found = {"__typename": "PythonError", "className": "ModuleNotFoundError", "message": error, "causes": []}
    return {"name": location, "loadStatus": "LOADED", "displayMetadata": metadata, "locationOrLoadError": found}


def _daemons(platform: Platform) -> list[dict[str, Any]]:
    deploy = platform.answering(platform.services["dagster-daemon"])
    beat = 1.0 if platform.behaviour(deploy.digest).silent else time.time()
    return [
        {"daemonType": kind, "required": kind != "SENSOR_OLD", "healthy": True, "lastHeartbeatTime": beat}
        for kind in ("SCHEDULER", "SENSOR", "SENSOR_OLD")
    ]


def _launched(platform: Platform, parameters: dict[str, Any]) -> dict[str, Any]:
    selector = parameters["selector"]
    if any(asset["path"] == ["unknown"] for asset in selector["assetSelection"]):
        return {"__typename": "PipelineNotFoundError", "message": "Could not find Pipeline __ASSET_JOB"}
    service = platform.code_location(selector["repositoryLocationName"])
    run = f"run-{len(platform.runs)}"
    platform.runs[run] = platform.behaviour(platform.live(service).digest).run
    return {"__typename": "LaunchRunSuccess", "run": {"runId": run}}
