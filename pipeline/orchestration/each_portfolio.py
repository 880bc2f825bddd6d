"""Computing portfolios one by one: users make them, so one that cannot be computed must not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from pipeline.base.errors import NotFoundError
from pipeline.orchestration.checks import CheckOutcome, Columns
from pipeline.store.portfolios import Portfolio

COMPUTED = "portfolios_computed"
COMPUTED_SPEC = (COMPUTED, "Every portfolio can be computed; one that cannot is left out.")
MOST_SAMPLES = 20


def each_portfolio(
    portfolios: Sequence[Portfolio],
    compute: Callable[[Portfolio], Iterable[Columns]],
    refusals: type[Exception] | tuple[type[Exception], ...],
) -> tuple[list[Columns], CheckOutcome]:
    """The rows of every portfolio that can be computed, and a check that names the others.

    Parameters
    ----------
    compute
        Blocks of rows of one portfolio; all of them count, or none.
    refusals
        What `compute` raises where the portfolio itself cannot be computed, besides a currency without any rate; all
        else is a defect and ends the run.
    """
    blocks: list[Columns] = []
    left_out: dict[str, str] = {}
    own = refusals if isinstance(refusals, tuple) else (refusals,)
    refused: tuple[type[Exception], ...] = (NotFoundError, *own)
    for portfolio in portfolios:
        if not portfolio.positions:
            continue  # a book that holds nothing has nothing to compute
        try:
            blocks += list(compute(portfolio))
        except refused as error:
            left_out[portfolio.slug or str(portfolio.id)] = str(error)
    return blocks, computed_outcome(left_out)


def computed_outcome(left_out: Mapping[str, str]) -> CheckOutcome:
    """Whether every portfolio was computed; `left_out` has the cause of each that was not."""
    samples = [f"{name}: {cause}" for name, cause in left_out.items()][:MOST_SAMPLES]
    return CheckOutcome(COMPUTED, not left_out, blocking=False, metadata={"count": len(left_out), "left_out": samples})
