"""What there is to do: the state of every month of every asset, and the runs that would bring it up to date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pipeline.base.errors import ConfigurationError
from pipeline.base.types import MonthRange

Only = Literal["missing", "failed", "stale"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which months of which assets are meant.

    Parameters
    ----------
    first, last
        First days of the first and last month; None for no bound.
    assets
        Asset keys; None for all.
    only
        Leave out months in another state.
    current_too
        Compute again also what is up to date.
    rebuild
        Build tables anew beside those in use.
    """

    first: date | None = None
    last: date | None = None
    assets: frozenset[str] | None = None
    only: Only | None = None
    current_too: bool = False
    rebuild: bool = False

    def includes(self, asset: str) -> bool:
        """Whether an asset is meant."""
        return self.assets is None or asset in self.assets

    def within(self, months: Sequence[date]) -> list[date]:
        """The months that are meant."""
        first, last = self.first or date.min, self.last or date.max
        return [month for month in months if first <= month <= last]


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class AssetState:
    """The months of one asset, each in one state.

    Parameters
    ----------
    missing
        Never built.
    failed
        The last attempt failed.
    stale
        Built by other code, or before an input changed.
    current
        Up to date.
    rows
        Month → rows that are stored.
    seconds_per_month
        What the last builds took; None if there were none.
    """

    location: str
    asset: str
    missing: tuple[date, ...]
    failed: tuple[date, ...]
    stale: tuple[date, ...]
    current: tuple[date, ...]
    rows: Mapping[date, int]
    seconds_per_month: float | None

    def chosen(self, selection: Selection) -> list[date]:
        """The months that a backfill computes, oldest first."""
        if selection.only is not None:
            return sorted({"missing": self.missing, "failed": self.failed, "stale": self.stale}[selection.only])
        return sorted([*self.missing, *self.failed, *self.stale, *(self.current if selection.current_too else ())])

    def expected_rows(self, selection: Selection) -> int | None:
        """Rows of the chosen months, by the stored ones or by their mean; None if nothing is known."""
        if not self.rows:
            return None
        mean = sum(self.rows.values()) / len(self.rows)
        return round(sum(self.rows.get(month, mean) for month in self.chosen(selection)))

    def expected_seconds(self, selection: Selection) -> float | None:
        """Time that the chosen months take; None if nothing is known."""
        return None if self.seconds_per_month is None else self.seconds_per_month * len(self.chosen(selection))


def asset_state(
    location: str,
    asset: str,
    months: Sequence[date],
    not_current: Sequence[date],
    built_rows: Mapping[date, int],
    failed: Sequence[date],
    seconds_per_month: float | None,
) -> AssetState:
    """Put each month into one state; a failed attempt counts more than what was built before.

    Parameters
    ----------
    months
        The months that are looked at.
    not_current
        Those that are missing or out of date.
    built_rows
        Month → rows, of every month that was ever built.
    failed
        Months whose last attempt failed.
    """
    last_failed, outdated = set(failed), set(not_current)
    return AssetState(
        location,
        asset,
        missing=tuple(m for m in months if m not in built_rows and m not in last_failed),
        failed=tuple(m for m in months if m in last_failed),
        stale=tuple(m for m in months if m in built_rows and m in outdated and m not in last_failed),
        current=tuple(m for m in months if m in built_rows and m not in outdated and m not in last_failed),
        rows={month: rows for month, rows in built_rows.items() if month in set(months)},
        seconds_per_month=seconds_per_month,
    )


def runs_of(months: Sequence[date]) -> list[MonthRange]:
    """The fewest runs that compute the months and no other: one for each gapless stretch."""
    ranges: list[MonthRange] = []
    for month in sorted(months):
        if ranges and ranges[-1].end == month:
            ranges[-1] = MonthRange(ranges[-1].first, month)
        else:
            ranges.append(MonthRange(month, month))
    return ranges


def parsed_month(text: str, option: str) -> date:
    """The first day of a month that a user wrote as ``2022-05``.

    Raises
    ------
    ConfigurationError
        If it is no month.
    """
    try:
        year, month = (int(part) for part in text.split("-"))
        return date(year, month, 1)
    except ValueError as error:
        raise ConfigurationError(
            f"{option} {text!r} is not a month", "Write it as a year and a month, such as 2022-05.", exit_code=2
        ) from error


def selection_of(
    first: str | None,
    last: str | None,
    assets: str | None,
    *,
    only_missing: bool,
    only_failed: bool,
    current_too: bool,
    rebuild: bool = False,
) -> Selection:
    """The selection that a user's options mean.

    Raises
    ------
    ConfigurationError
        If they contradict each other, or one cannot be read.
    """
    if only_missing + only_failed + current_too > 1:
        raise ConfigurationError(
            "--only-missing, --only-failed and --all exclude each other", "Give one of them.", exit_code=2
        )
    if rebuild and (only_missing or only_failed or first or last):
        raise ConfigurationError(
            "--rebuild takes all months of an asset",
            "Leave out --from, --to, --only-missing and --only-failed.",
            exit_code=2,
        )
    begin = None if first is None else parsed_month(first, "--from")
    end = None if last is None else parsed_month(last, "--to")
    if begin and end and begin > end:
        raise ConfigurationError(f"--from {first} lies after --to {last}", "Exchange them.", exit_code=2)
    names = None if assets is None else frozenset(name.strip() for name in assets.split(",") if name.strip())
    only: Only | None = "missing" if only_missing else "failed" if only_failed else None
    return Selection(begin, end, names, only, current_too or rebuild, rebuild)


def require_known(wanted: frozenset[str], known: Sequence[str]) -> None:
    """Refuse assets that do not exist.

    Raises
    ------
    ConfigurationError
        Naming the first, and those that exist.
    """
    unknown = sorted(wanted - set(known))
    if unknown:
        raise ConfigurationError(
            f"There is no partitioned asset {unknown[0]!r}", f"Use some of: {', '.join(sorted(known))}.", exit_code=2
        )
