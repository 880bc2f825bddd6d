"""What becomes an incident: a run that failed and was not repeated, and an asset that was not written in time.

A failed run is over once a later write has done everything that it left undone, or, for a job without assets, once the
job has succeeded. A run that only repeats a failure which is still open tells nothing new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime

import dagster as dg
from dagster._core.events import AssetMaterializationPlannedData
from psycopg import Connection

from pipeline.base.due_times import ASSETS_DUE, SCHEDULES_DUE
from pipeline.orchestration.alerts_formats import Alert
from pipeline.orchestration.alerts_sending import Outbox
from pipeline.store import incidents as store
from pipeline.store.data_health import read_written_at, stale_assets
from pipeline.store.incidents import FailedRun, NewIncident, StoredIncident
from pipeline.store.materializations import UNPARTITIONED

NAMED_ASSETS = 5
"""Of a failed run, in the sentence for people."""
LONGEST_ERROR = 500

SCHEDULE_TAG = "dagster/schedule_name"
WILL_RETRY_TAG = "dagster/will_retry"

# Failed runs -----------------------------------------------------------------------------------------------


def record_failure(
    connection: Connection, instance: dg.DagsterInstance, run: dg.DagsterRun, entry: dg.EventLogEntry
) -> bool:
    """Open the incident of a run that failed and is not repeated by Dagster itself.

    Parameters
    ----------
    entry
        The event of its failure.

    Returns
    -------
    bool
        Whether it is new: a failure that is open already, or that was made good meanwhile, tells nothing.
    """
    if run.tags.get(WILL_RETRY_TAG) == "true":
        return False
    failed = failed_run(instance, run, datetime.fromtimestamp(entry.timestamp, UTC))
    return open_failure(connection, run, failed, cause_of(entry.get_dagster_event()))


def cause_of(event: dg.DagsterEvent) -> str:
    """Why a run failed, in the first line that its first failed step left, or the run itself."""
    data = event.job_failure_data
    step = data.first_step_failure_event
    error = step.step_failure_data.error if step is not None else data.error
    while error is not None and error.cause is not None:
        error = error.cause
    message = (error.message if error is not None else event.message) or "no message"
    return message.strip().splitlines()[0]


def failed_run(instance: dg.DagsterInstance, run: dg.DagsterRun, failed_at: datetime) -> FailedRun:
    """What a failed run left undone: planned and not materialised, or the job itself if it has no assets."""
    record = instance.get_run_record_by_id(run.run_id)
    assert record is not None
    began = record.create_timestamp if record.start_time is None else datetime.fromtimestamp(record.start_time, UTC)
    undone = sorted(_planned(instance, run.run_id) - _materialised(instance, run.run_id))
    has_assets = bool(run.asset_selection) or bool(undone)
    parts = tuple(undone) if has_assets else ((run.job_name, UNPARTITIONED),)
    return FailedRun(run.run_id, parts, has_assets, began, failed_at)


def open_failure(connection: Connection, run: dg.DagsterRun, failed: FailedRun, cause: str) -> bool:
    """Open the incident of a failed run, unless it repeats one that is open, or all was made good meanwhile.

    Returns
    -------
    bool
        Whether it is new.
    """
    if store.record_failed_run(connection, failed) == 0:
        return False
    counts = Counter(subject for subject, _ in failed.parts)
    detail = {
        "kind": "run_failure",
        "run_id": run.run_id,
        "job": run.job_name,
        "left_undone": ", ".join(f"{subject} ({count})" for subject, count in sorted(counts.items())),
        "cause": cause[:LONGEST_ERROR],
        "began_at": failed.began_at.isoformat(),
    }
    incident = NewIncident(f"run-failure:{run.run_id}", "run_failure", run.run_id, _sentence(failed, counts), detail)
    return store.open_incident(connection, incident)


def close_failures(connection: Connection, instance: dg.DagsterInstance) -> int:
    """Close the incidents of failed runs of which nothing is undone any more, and give their number."""
    store.forget_what_was_made_good(connection)
    for job, began_at in store.read_failed_jobs(connection).items():
        later = dg.RunsFilter(
            job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS], created_after=began_at.astimezone(UTC)
        )
        if instance.get_runs(later, limit=1):
            store.forget_failed_job(connection, job)
    undone = store.read_runs_with_failed_parts(connection)
    over = [found.subject for found in store.read_open_incidents(connection, "run_failure")]
    return store.resolve_incidents(connection, "run_failure", [run for run in over if run not in undone])


def note_schedules(connection: Connection, instance: dg.DagsterInstance) -> None:
    """Note when each schedule's run last succeeded."""
    for schedule in SCHEDULES_DUE:
        succeeded = dg.RunsFilter(tags={SCHEDULE_TAG: schedule}, statuses=[dg.DagsterRunStatus.SUCCESS])
        for record in instance.get_run_records(succeeded, limit=1):
            if record.end_time is not None:
                store.note_success(connection, "schedule", schedule, datetime.fromtimestamp(record.end_time, UTC))


def _planned(instance: dg.DagsterInstance, run_id: str) -> set[tuple[str, date]]:
    return set(_parts_planned(instance, run_id))


def _parts_planned(instance: dg.DagsterInstance, run_id: str) -> Iterator[tuple[str, date]]:
    for event in _events(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED):
        planned = event.event_specific_data
        assert isinstance(planned, AssetMaterializationPlannedData)
        keys = planned.partitions_subset.get_partition_keys() if planned.partitions_subset else [planned.partition]
        for key in keys:
            yield planned.asset_key.to_user_string(), _month(key)


def _materialised(instance: dg.DagsterInstance, run_id: str) -> set[tuple[str, date]]:
    events = _events(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION)
    return {(event.asset_key.to_user_string(), _month(event.partition)) for event in events if event.asset_key}


def _events(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> Iterator[dg.DagsterEvent]:
    for entry in instance.all_logs(run_id, of_type=kind):
        yield entry.get_dagster_event()


def _month(partition: str | None) -> date:
    return UNPARTITIONED if partition is None else date.fromisoformat(partition)


def _sentence(failed: FailedRun, counts: Counter[str]) -> str:
    names = sorted(counts)
    named = ", ".join(names[:NAMED_ASSETS]) + (" and others" if len(names) > NAMED_ASSETS else "")
    if not failed.has_assets:
        return f"The job {named} failed."
    total = sum(counts.values())
    return f"A run failed and left {total} partition{'' if total == 1 else 's'} undone: {named}."


# Stale assets ----------------------------------------------------------------------------------------------


def judge_freshness(connection: Connection, regular: frozenset[str], now: datetime) -> list[str]:
    """Open an incident for each asset that is stale, close those of assets that are not, and name the stale ones."""
    written_at = read_written_at(connection)
    stale = stale_assets(written_at, regular, now)
    since = ASSETS_DUE.since(now)
    for asset in stale:
        written = written_at[asset]
        detail = {
            "kind": "stale_asset",
            "asset": asset,
            "written_at": written.isoformat(),
            "due_since": since.isoformat(),
        }
        text = f"{asset} is stale: last written {written:%Y-%m-%d %H:%M} UTC, due since {since:%Y-%m-%d %H:%M %Z}."
        incident = NewIncident(f"stale:{asset}:{written:%Y-%m-%dT%H:%M:%S}", "stale_asset", asset, text, detail)
        store.open_incident(connection, incident)
    opened = {found.subject for found in store.read_open_incidents(connection, "stale_asset")}
    store.resolve_incidents(connection, "stale_asset", opened.difference(stale))
    return stale


# Telling ---------------------------------------------------------------------------------------------------


def alert_of(incident: StoredIncident) -> Alert:
    """What is to be told of an incident next: that it is there, or, once that was told, that it is over."""
    if incident.told_at is None:
        return Alert(
            key=incident.key,
            text=incident.summary,
            severity="error",
            component=str(incident.detail.get("asset") or incident.detail.get("job") or incident.subject),
            occurred_at=incident.opened_at,
            detail=incident.detail,
            opens=incident.key,
        )
    assert incident.resolved_at is not None
    return Alert(
        key=f"{incident.key}:RESOLVED",
        text=f"Over: {incident.summary}",
        severity="info",
        component=str(incident.detail.get("asset") or incident.detail.get("job") or incident.subject),
        occurred_at=incident.resolved_at,
        detail=incident.detail,
        opens=None,
        closes=(incident.key,),
    )


def _claim(connection: Connection, tried: Collection[str]) -> tuple[str, Alert] | None:
    incident = store.claim_untold(connection, tried)
    return None if incident is None else (incident.key, alert_of(incident))


OUTBOX = Outbox(_claim, store.mark_told, store.mark_untold)
