"""Simulations in the background by the client."""

from __future__ import annotations

import json
from typing import Any

import pytest

import fintech
from tests.integration.serving.gateways import Puppet, say

HOW = {"model": "student_t", "paths": 2_000, "horizon_sessions": 5, "fit_window_sessions": 252}
ID = "0198c0de-0000-7000-8000-000000000001"


def test_a_job_is_waited_for(api: fintech.Client) -> None:
    told: list[tuple[int, int]] = []
    job = api.start_simulation("held", terminal_values=True, **HOW)
    found = job.wait(lambda done, total: told.append((done, total)), timeout=120)
    assert (job.state, job.is_over) == ("done", True)
    assert told[-1] == (2_000, 2_000)
    assert found.model_dump(exclude={"told"}) == api.simulate("held", **HOW).model_dump(exclude={"told"})
    assert found.to_df().columns[0] == pytest.approx(found.fan.levels[0])
    values = job.terminal_values()
    assert (values.shape, values.dtype) == ((2_000,), "float64")
    assert values.mean() - 1 == pytest.approx(found.return_mean)
    paths = job.paths(first=1_990, count=100)
    assert list(paths.index) == list(range(1_990, 2_000))
    assert list(paths.columns) == ["weight", "wealth_5", "terminal_wealth", "max_drawdown"]
    assert list(paths["terminal_wealth"]) == list(paths["wealth_5"]) == list(values[1_990:])
    assert paths.attrs == job.known.told.attrs()
    assert api.job(str(job.id)).known == job.known
    assert str(job.id) in list(api.jobs("done").to_df().index)


def test_what_is_too_large_to_be_answered_at_once_is_waited_for(api: fintech.Client) -> None:
    told: list[int] = []
    large = {**HOW, "paths": 110_000, "horizon_sessions": 252}
    found = api.simulate("held", progress=lambda done, _: told.append(done), timeout=300, **large)
    assert found.paths == 110_000
    assert told == sorted(set(told))
    assert told[-1] == 110_000


def test_a_job_is_cancelled(api: fintech.Client) -> None:
    job = api.start_simulation("held", **{**HOW, "paths": 1_000_000, "horizon_sessions": 252})
    assert str(job.id) in repr(job)
    with pytest.raises(fintech.JobError, match="and has no result") as caught:
        job.wait(timeout=0)
    assert caught.value.state in ("queued", "running")
    job.cancel()
    assert job.state == "cancelled"
    with pytest.raises(fintech.JobError, match="it is cancelled"):
        job.wait()


def job(state: str, done: int, error: str | None = None) -> bytes:
    known: dict[str, Any] = dict.fromkeys(("portfolio_id", "started_at", "finished_at", "kept_until", "result"))
    known |= {"id": ID, "state": state, "error": error, "request": {}, "session": "2022-12-28"}
    known |= {"created_at": "2022-12-29T03:00:00Z", "progress": {"paths_done": done, "paths_total": 9}}
    return json.dumps(known).encode()


def test_progress_is_told_as_it_is_made_and_a_failure_by_its_cause(puppet: Puppet) -> None:
    steps = [("queued", 0), ("queued", 0), ("running", 4), ("running", 4), ("failed", 6)]

    async def answer(scope, receive, send) -> None:
        state, done = steps[len(puppet.asked) - 1]
        await say(job(state, done, "it ran out of memory"), 202 if len(puppet.asked) == 1 else 200)(
            scope, receive, send
        )

    puppet.answer = answer
    told: list[tuple[int, int]] = []
    with pytest.raises(fintech.JobError, match="it is failed, and has no result: it ran out of memory") as caught:
        fintech.Client(puppet.url).start_simulation("held").wait(lambda *said: told.append(said))
    assert told == [(0, 9), (4, 9), (6, 9)]
    assert str(caught.value.id) == ID
    assert [scope["path"] for scope in puppet.asked[1:]] == [f"/api/v1/simulations/{ID}"] * 4
    assert puppet.headers(0)[b"prefer"] == b"respond-async"
