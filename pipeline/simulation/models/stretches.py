"""Portfolios at their target weights, from any session of a history on: how they do, found once and looked up after.

With 1 / max(a, b) = min(1 / a, 1 / b), the deepest fall of a stretch that begins with wealth w below a peak P is the
lesser of w · (its lowest value) / P and its own deepest fall, whatever w and P: four figures tell all of a stretch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from pipeline.base.types import FloatArray
from pipeline.simulation.models.plan import Plan

WIDTH = 8
"""Sessions that are valued together."""

LONGEST_SESSIONS = 63
"""Of a stretch: a quarter, whose figures of five years take 3 MB."""

VALUE, LOWEST, HIGHEST, DEEPEST = range(4)


def longest_stretch(plan: Plan) -> int:
    """Sessions of the longest stretch from target weights to target weights, and 0 if there is none to look up.

    Nor is there with short positions, by which a portfolio can be worth nothing or less, and is closed.
    """
    stops = np.flatnonzero(plan.rebalances) + 1
    is_free = plan.cost == 0.0 and not plan.flows.any() and np.isinf(plan.band)
    if not is_free or len(stops) == 0 or (plan.targets < 0.0).any() or not np.array_equal(plan.weights, plan.targets):
        return 0
    longest = int(np.diff(stops, prepend=0, append=plan.horizon).max())
    return longest if longest <= LONGEST_SESSIONS else 0


def _emit_weighted_sum(_typing: Any, weights: Any, rows: Any, _first: Any, room: Any, _into: Any) -> Any:
    """`WIDTH` sums in one vector, which a compiler does not keep in a register by itself."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.DoubleType(), WIDTH)

        of_three = ir.FunctionType(vector, [vector] * 3)
        multiply_add = cgutils.get_or_insert_function(builder.module, of_three, f"llvm.fma.v{WIDTH}f64")  # type: ignore[no-untyped-call]

        def array_of(number: int) -> Any:
            return context.make_array(signature.args[number])(context, builder, arguments[number])

        held, table, target = array_of(0), array_of(1), array_of(3)
        columns = builder.extract_value(table.shape, 1)
        total = cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * WIDTH))  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, builder.extract_value(table.shape, 0)) as loop:
            weight = builder.load(builder.gep(held.data, [loop.index]))
            lanes = builder.insert_element(ir.Constant(vector, ir.Undefined), weight, ir.Constant(ir.IntType(32), 0))
            chosen = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
            splat = builder.shuffle_vector(lanes, lanes, chosen)
            cell = builder.gep(table.data, [builder.add(builder.mul(loop.index, columns), arguments[2])])
            values = builder.load(builder.bitcast(cell, vector.as_pointer()), align=8)
            builder.store(builder.call(multiply_add, [splat, values, builder.load(total)]), total)
        place = builder.bitcast(builder.gep(target.data, [arguments[4]]), vector.as_pointer())
        builder.store(builder.load(total), place, align=8)
        return context.get_dummy_value()

    return types.void(weights, rows, types.intp, room, types.intp), generate


weighted_sum = cast(
    "Callable[[FloatArray, FloatArray, int | np.int64, FloatArray, int], None]", intrinsic(_emit_weighted_sum)
)
"""Sums over (n, k) rows, times the first n weights, of the columns from one on, put into room from a place on."""


@njit(cache=True, nogil=True, error_model="numpy")
def figures_of_stretches(index: FloatArray, targets: FloatArray, longest: int) -> FloatArray:
    """What becomes of 1 that is invested at each close of history.

    Parameters
    ----------
    index
        (n, t + 1 + WIDTH) values of positions, above 0, and zeros from t + 1 on.
    targets
        (n,) weights.

    Returns
    -------
    FloatArray
        (t, longest + 1, 4) after so many sessions: the value; the lowest and the highest since; the lowest part of
        the highest before. Beyond the end of history they mean nothing.
    """
    sessions = index.shape[1] - 1 - WIDTH
    figures, units, values = np.ones((sessions, longest + 1, 4)), np.empty(len(index)), np.empty(longest + WIDTH)
    for start in range(sessions):
        count = min(longest, sessions - start)
        for i in range(len(index)):
            units[i] = targets[i] / index[i, start]
        for first in range(0, count, WIDTH):
            weighted_sum(units, index, start + 1 + first, values, first)
        lowest, highest, deepest = np.inf, 0.0, 1.0
        for ahead in range(count):
            value = values[ahead]
            lowest, highest = min(lowest, value), max(highest, value)
            deepest = min(deepest, value / highest)
            cell = figures[start, ahead + 1]
            cell[VALUE], cell[LOWEST], cell[HIGHEST], cell[DEEPEST] = value, lowest, highest, deepest
    return figures
