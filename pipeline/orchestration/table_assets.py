"""Assets that are tables: the asset reads and calls, this module writes, checks and describes.

Everything that all assets must have (owner, kind, tag, group, schema, checks, freshness, partitions,
automation) is given here once, so a new asset cannot lack it.
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself (dagster #8540).
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg
import numpy as np
from sqlalchemy import Table

from pipeline.base.code_version import code_version
from pipeline.base.settings import load_settings
from pipeline.base.types import MonthRange
from pipeline.orchestration.asset_charts import embedded_charts
from pipeline.orchestration.asset_page import SPARKLINE_MONTHS, column_schema, rounded, sparkline
from pipeline.orchestration.automation import AS_INPUTS_CHANGE, FRESH_EVERY_SESSION
from pipeline.orchestration.checks import CheckOutcome, Columns, declared_checks, run_declared_checks
from pipeline.orchestration.partitions import MONTHLY, months_back, months_of_run
from pipeline.orchestration.resources import DatabaseResource
from pipeline.store.materializations import count_rows
from pipeline.store.providers import read_notices
from pipeline.store.reading import read_monthly_means
from pipeline.store.schema import session_column
from pipeline.store.series_kinds import SeriesKind
from pipeline.store.series_making import bring_up_to_date
from pipeline.store.writing import Write, WriteOutcome, open_write

INPUT_MONTHS_METADATA = "fintech/input_months_back"
"""Asset metadata: input → months read before the first month, for planning what is stale."""

SECONDS_METADATA = "seconds_in_asset"
"""Materialisation metadata: from opening the write to its commit, which leaves Dagster's own time out."""

REBUILD_CONFIG = "rebuild"
"""Configuration of an asset's run: build its table anew beside the one in use, where the run offers all of it."""

Figures = Callable[[Columns], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Produced:
    """What an asset computed, when there is more to say than its rows.

    Parameters
    ----------
    rows
        Columns of the table.
    checks
        Outcomes of the asset's own checks.
    metadata
        Further figures for the asset page.
    empty_because
        Why a month without rows has none.
    after_write
        What is done in the same transaction once the rows are written.
    checks_after_write
        Further checks, of what is stored once the rows are written, in the same transaction; none may block.
    metadata_after_write
        Further figures for the asset page, of what is stored then.
    """

    rows: Columns
    checks: Sequence[CheckOutcome] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    empty_because: str = "no input in this month"
    after_write: Callable[[WriteOutcome], None] | None = None
    checks_after_write: Callable[[], Sequence[CheckOutcome]] = tuple
    metadata_after_write: Callable[[], Mapping[str, Any]] = dict


@dataclass(frozen=True, slots=True)
class TableAsset:
    """How an asset is declared.

    Parameters
    ----------
    table
        Where its rows go.
    location
        Code location, which is also the group, the owning team and the source that is versioned.
    inputs
        Asset key → months that are read before the first month of the run; None for an input
        without partitions.
    figures
        About four figures of the rows of one month, the unit in the name.
    headline
        Column whose monthly mean the sparkline shows.
    headline_subject
        Key columns that the mean is restricted to; empty for all subjects.
    kinds
        What it is made with, as the UI's badges.
    scheduled
        Whether a schedule starts it; otherwise it follows its inputs.
    check_specs
        Checks of its own, besides those declared by the table.
    blocking_check_specs
        Those of its own whose failure refuses the write.
    pool
        Concurrency pool, one per vendor.
    replace
        How its rows are written, where the table has a read model that changes with it.
    series
        What the API passes through of it as finished JSON, made anew in the transaction of the rows.
    data_version
        Of the rows of a run, for an input of which only a change counts; without it every materialisation does.
    """

    table: Table
    location: str
    inputs: Mapping[str, int | None]
    figures: Figures
    headline: str
    headline_subject: Mapping[str, int | str] = field(default_factory=dict)
    kinds: frozenset[str] = frozenset({"postgres", "numpy"})
    scheduled: bool = False
    check_specs: tuple[tuple[str, str], ...] = ()
    blocking_check_specs: tuple[tuple[str, str], ...] = ()
    pool: str | None = None
    replace: Callable[[Write, Columns, MonthRange], WriteOutcome] | None = None
    series: SeriesKind | None = None
    data_version: Callable[[Columns], str] | None = None

    def __call__(self, compute: Callable[..., Columns | Produced]) -> dg.AssetsDefinition:
        """Make the Dagster asset of a function ``(write, months, resources) -> rows``."""
        return _define(self, compute)


def asset_attributes(
    name: str, table: Table, location: str, kinds: frozenset[str], inputs: Mapping[str, int | None]
) -> dict[str, Any]:
    """What every asset of the platform carries, partitioned or not."""
    return {
        "name": name,
        "group_name": location,
        "owners": [f"team:{location.replace('_', '-')}"],
        "kinds": set(kinds),
        "tags": {"domain": location, "store": "postgres"},
        "code_version": code_version(location),
        "freshness_policy": FRESH_EVERY_SESSION,
        "metadata": {
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": table.name,
            INPUT_MONTHS_METADATA: dict(inputs),
        },
    }


def _define(declared: TableAsset, compute: Callable[..., Columns | Produced]) -> dg.AssetsDefinition:
    name = compute.__name__
    own_checks = [dg.AssetCheckSpec(check, asset=name, description=text) for check, text in declared.check_specs]
    own_checks += [
        dg.AssetCheckSpec(check, asset=name, description=text, blocking=True)
        for check, text in declared.blocking_check_specs
    ]

    @dg.asset(
        **asset_attributes(name, declared.table, declared.location, declared.kinds, declared.inputs),
        description=compute.__doc__,
        deps=[_dependency(key, back) for key, back in declared.inputs.items()],
        partitions_def=MONTHLY,
        backfill_policy=dg.BackfillPolicy.single_run(),
        automation_condition=None if declared.scheduled else AS_INPUTS_CHANGE,
        check_specs=[*declared_checks(declared.table, name), *own_checks],
        required_resource_keys={"database", *_resource_keys(compute)},
        config_schema={
            REBUILD_CONFIG: dg.Field(
                bool,
                default_value=False,
                description="Build the table anew beside the one in use, if the run has all of its months.",
            )
        },
        pool=declared.pool,
    )
    def table_asset(context: dg.AssetExecutionContext) -> Iterator[Any]:
        months = months_of_run(context)
        database: DatabaseResource = context.resources.database
        resources = {key: getattr(context.resources, key) for key in _resource_keys(compute)}
        started = time.perf_counter()
        version, anew = code_version(declared.location), context.op_execution_context.op_config[REBUILD_CONFIG]
        run, table = context.run.run_id, declared.table
        with open_write(database.database, name, run, version, anew=anew, table=table) as write:
            answer = compute(write, months, **resources)
            produced = answer if isinstance(answer, Produced) else Produced(answer)
            checks = [*run_declared_checks(declared.table, produced.rows), *produced.checks]
            refused = [check.name for check in checks if check.blocking and not check.passed]
            if refused:
                yield from (check.result for check in checks)
                raise dg.Failure(f"Nothing was written: {', '.join(refused)} failed.", allow_retries=False)
            if declared.replace is None:
                outcome = write.replace(declared.table, produced.rows, months)
            else:
                outcome = declared.replace(write, produced.rows, months)
            if produced.after_write is not None:
                produced.after_write(outcome)
            if declared.series is not None:
                bring_up_to_date(write, declared.series)
            checks += produced.checks_after_write()
            page = _page(declared, write, produced, outcome, months)
        # Only now, after the commit, may Dagster hear of it.
        page |= {SECONDS_METADATA: round(time.perf_counter() - started, 3)}
        _describe_partitions(context, declared, produced, months)
        yield from (check.result for check in checks)
        version_of = declared.data_version
        made = None if version_of is None else dg.DataVersion(version_of(produced.rows))
        yield dg.MaterializeResult(metadata=page, data_version=made)

    asset: dg.AssetsDefinition = table_asset
    return asset


def _dependency(key: str, back: int | None) -> dg.AssetDep:
    return dg.AssetDep(key) if back is None else dg.AssetDep(key, partition_mapping=months_back(back))


def _resource_keys(compute: Callable[..., Any]) -> list[str]:
    """Parameters after ``write`` and ``months`` name resources."""
    code = compute.__code__
    return list(code.co_varnames[2 : code.co_argcount])


def outcome_metadata(outcome: WriteOutcome) -> dict[str, int]:
    """What a write did, as figures."""
    return {
        "rows_inserted": outcome.inserted,
        "rows_revised": outcome.revised,
        "rows_deleted": outcome.deleted,
        "rows_unchanged": outcome.unchanged,
    }


def _page(
    declared: TableAsset, write: Write, produced: Produced, outcome: WriteOutcome, months: MonthRange
) -> dict[str, Any]:
    means = read_monthly_means(
        write.connection,
        declared.table,
        declared.headline,
        months.end,
        SPARKLINE_MONTHS,
        declared.headline_subject,
    )
    notices = read_notices(write.connection)
    of = "".join(f" {value}" for value in declared.headline_subject.values())
    caption = f"mean {declared.headline}{of}, {len(means)} months" + (f" to {means[-1][0]:%Y-%m}" if means else "")
    return {
        "dagster/row_count": count_rows(write.connection, write.asset),
        "trend": sparkline([mean for _, mean in means], caption),
        **embedded_charts(load_settings(), declared.table, declared.headline, declared.headline_subject, produced.rows),
        **outcome_metadata(outcome),
        **({"table_built_anew": True} if outcome.built_anew else {}),
        **({"notice": dg.MetadataValue.md("  \n".join(notices))} if notices else {}),
        **produced.metadata,
        **produced.metadata_after_write(),
    }


def _describe_partitions(
    context: dg.AssetExecutionContext, declared: TableAsset, produced: Produced, months: MonthRange
) -> None:
    """Give each partition its own rows and figures, so that the UI's plots by partition show a history.

    The page shows the newest partition first: one without rows says in words what the last one with rows had.
    """
    last_figures: dict[str, str] = {}
    for month, rows in rows_by_month(declared.table, produced.rows, months):
        count = len(next(iter(rows.values())))
        figures = rounded(declared.figures(rows)) if count else {}
        if figures:
            last_figures = {"last_figures": f"{month:%Y-%m}: " + ", ".join(f"{k} {v:g}" for k, v in figures.items())}
        reason = {} if count else {"reason": produced.empty_because, **last_figures}
        context.add_asset_metadata(
            {"dagster/partition_row_count": count, **figures, **reason}, partition_key=month.isoformat()
        )


def rows_by_month(table: Table, rows: Columns, months: MonthRange) -> Iterator[tuple[date, Columns]]:
    """The rows of each month of a range."""
    session = session_column(table)
    assert session is not None
    order = np.argsort(rows[session], kind="stable")
    ordered = {name: values[order] for name, values in rows.items()}
    firsts = np.array([*months.months(), months.end], dtype="datetime64[D]")
    edges = np.searchsorted(ordered[session], firsts)
    for month, start, stop in zip(months.months(), edges[:-1], edges[1:], strict=True):
        yield month, {name: values[start:stop] for name, values in ordered.items()}
