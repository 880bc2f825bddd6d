"""Methods of the client for simulated years, and for strategies that were simulated on the past."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fintech.answers.records import Listing
from fintech.answers.simulations import (
    JOBS,
    NAV,
    SIMULATIONS,
    STRATEGIES,
    STRATEGY_WEIGHTS,
    JobAnswer,
    JobRow,
    Simulated,
    StoredFan,
    Strategy,
    StrategyAnswer,
    StrategyWeights,
)
from fintech.asking import bytes_of, success_of
from fintech.client.jobs import Job
from fintech.client.jobs import Told as ToldProgress
from fintech.client.requests import Day, Limit, Requests, part, window
from fintech.series import Series, Told
from pipeline.base.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from arro3.core import Table
    from numpy.typing import NDArray

ARROW = "application/vnd.apache.arrow.stream"
_AS_A_JOB = {"Prefer": "respond-async"}


class Simulations(Requests):
    """What may become of portfolios, and what would have become of strategies."""

    def simulations(
        self, portfolio: str | int, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """Simulated years of a portfolio: a row a session and model."""
        return self._series(f"/portfolios/{part(portfolio)}/simulations", SIMULATIONS, window(start, end, limit))

    def fan(self, portfolio: str | int, model: str, session: Day | None = None) -> StoredFan:
        """How wealth spreads in a stored simulation, drawn again by its seed."""
        query = {"model": model, "session": session}
        return StoredFan.model_validate(self._get(f"/portfolios/{part(portfolio)}/simulations/fan", query))

    def simulate(
        self,
        portfolio: str | int | None = None,
        *,
        progress: ToldProgress | None = None,
        timeout: float | None = None,
        **what: Any,
    ) -> Simulated:
        """Simulate a portfolio, or ``positions``, as ``POST …/simulate`` takes it; one that is large is waited for.

        Parameters
        ----------
        progress, timeout
            As `Job.wait` takes them, where it becomes a job.

        Raises
        ------
        JobError
            If the job fails, is cancelled by somebody, or is not done in time.
        """
        body = self._simulating(portfolio, what, {})
        if "state" in body:
            return Job(self, JobAnswer.model_validate(body)).wait(progress, timeout)
        return Simulated.model_validate(body)

    def start_simulation(self, portfolio: str | int | None = None, **what: Any) -> Job:
        """The same in the background, of whatever size."""
        return Job(self, JobAnswer.model_validate(self._simulating(portfolio, what, _AS_A_JOB)))

    def _simulating(self, portfolio: str | int | None, what: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        path = "/simulate" if portfolio is None else f"/portfolios/{part(portfolio)}/simulate"
        return success_of(self._posted(path, what, headers))

    # Jobs --------------------------------------------------------------------------------------------------

    def jobs(self, state: str | None = None) -> Listing[JobRow]:
        """Your newest simulations in the background: queued, running, done, failed, cancelled, or all."""
        return self._listing("/simulations", JobRow, JOBS, {"state": state})

    def job(self, id_: UUID | str) -> Job:
        """The simulation in the background of an id."""
        return Job(self, JobAnswer.model_validate(self._get(_job_path(id_))))

    def cancel_job(self, id_: UUID | str) -> Job:
        """Cancel a simulation; one that has ended stays as it is."""
        return Job(self, JobAnswer.model_validate(success_of(self._ask("DELETE", _job_path(id_)))))

    def terminal_values(self, id_: UUID | str) -> NDArray[np.float64]:
        """Wealth of each path of a job at the horizon, (paths,); the start is 1.

        Raises
        ------
        ConfigurationError
            If there is no library that reads Arrow.
        """
        answer = self._ask("GET", f"{_job_path(id_)}/terminal-values", headers={"Accept": ARROW})
        return _numbers(_arrow_table(bytes_of(answer), "terminal_values"), "terminal_wealth")

    def simulated_paths(self, id_: UUID | str, *, first: int = 0, count: int = 1_000) -> pd.DataFrame:
        """Some paths of a job by their numbers: what each counts, and its wealth at every step; the start is 1.

        ``attrs`` has what the answer tells of its data.

        Raises
        ------
        ConfigurationError
            If there is no library that reads Arrow.
        """
        import pandas as pd  # noqa: PLC0415

        query = {"first": first, "count": count}
        answer = self._ask("GET", f"{_job_path(id_)}/paths", query=query, headers={"Accept": ARROW})
        table = _arrow_table(bytes_of(answer), "simulated_paths")
        columns = {name: table[name].to_numpy() for name in table.column_names}
        made = pd.DataFrame(columns).set_index("path")
        made.attrs |= _told(table).attrs()
        return made

    # Strategies --------------------------------------------------------------------------------------------

    def strategies(self) -> Listing[Strategy]:
        """Every strategy, and where it stands."""
        return self._listing("/strategies", Strategy, STRATEGIES, limit=None)

    def strategy(self, name: str) -> StrategyAnswer:
        """One strategy, with the weights that it set last."""
        return StrategyAnswer.model_validate(self._get(f"/strategies/{part(name)}"))

    def strategy_nav(
        self, name: str, *, start: Day | None = None, end: Day | None = None, limit: Limit = None
    ) -> Series:
        """What became of 1 by session, after costs."""
        return self._series(f"/strategies/{part(name)}/nav", NAV, window(start, end, limit))

    def strategy_weights(
        self, name: str, *, start: Day | None = None, end: Day | None = None
    ) -> Listing[StrategyWeights]:
        """The weights that it set, the oldest first; each has `to_df()` of its own."""
        query = window(start, end, None)
        found = self._listing(f"/strategies/{part(name)}/weights", StrategyWeights, STRATEGY_WEIGHTS, query)
        return Listing(tuple(sorted(found, key=lambda set_: set_.session)), found.columns, found.told)


def _job_path(id_: UUID | str) -> str:
    return f"/simulations/{part(str(id_))}"


def _arrow_table(stream: bytes, what: str) -> Table:
    """The columns of an Arrow stream.

    Raises
    ------
    ConfigurationError
        If there is no library that reads it.
    """
    try:
        from arro3.io import read_ipc_stream  # noqa: PLC0415 - for this answer only
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{what}: they come as an Arrow stream, and arro3 is not installed",
            "pip install arro3-core arro3-io",
        ) from error
    return read_ipc_stream(io.BytesIO(stream)).read_all()


def _told(table: Table) -> Told:
    """What the answer tells beside its columns; nothing if an older service has left it out."""
    return Told.of(json.loads(table.schema.metadata.get(b"fintech", b"{}")))


def _numbers(table: Table, name: str) -> NDArray[np.float64]:
    """A column of numbers."""
    import numpy as np  # noqa: PLC0415

    return np.ascontiguousarray(table[name].to_numpy(), dtype=np.float64)
