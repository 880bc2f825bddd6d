"""A session of positions that move together, of paths side by side: draws correlated, and values that grow by them.

Sums over positions stay in registers, which they do not where a compiler is left to find vectors, and what a position
earns is not written before its value has grown. Every rounding is that of a plain walk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from pipeline.simulation.models.arithmetic import (
    SMALL_SQUARE,
    SingleArray,
    emit_growth_less_one,
    emit_small_growth_less_one,
)
from pipeline.simulation.models.lanes import Book, close_lost
from pipeline.simulation.models.philox import LANES
from pipeline.simulation.models.vectors import (
    emit_constant,
    emit_each,
    emit_fused,
    emit_load,
    emit_place,
    emit_splat,
    emit_vector,
    index_of,
)

SINGLES, DOUBLES = 16, 8
"""Numbers of a vector."""

ROWS, WIDTH = 4, 4
"""Rows, and vectors of each, that are worked on together: sixteen sums of the 32 registers that AVX-512 has."""

STRIP = WIDTH * SINGLES
"""Lanes of these vectors."""

_SINGLE_VECTOR, _DOUBLE_VECTOR = ir.VectorType(ir.FloatType(), SINGLES), ir.VectorType(ir.DoubleType(), DOUBLES)
_FLAGS, _LOST = ir.IntType(SINGLES), ir.IntType(DOUBLES)

_MOVED = ("value", "wealth", "shares", "peak", "least")
"""Of a book."""

Row = tuple[Any, ...]
Sink = Callable[[Any, Any, Sequence[Row]], None]
"""Code for what becomes of rows: by the first lane, the first row, and the vectors of each row."""


class Product(NamedTuple):
    """Means plus the product of a lower triangular factor and draws, as code that is written.

    Parameters
    ----------
    mean, factor, draws
        Pointers to (n,), (n, n) and (n, `LANES`).
    """

    builder: Any
    n: Any
    mean: Any
    factor: Any
    draws: Any

    def emit(self, lane: Any, sums: Sequence[Row], sink: Sink) -> None:
        """One strip: four rows after another, then two and one that are left."""
        builder, whole = self.builder, self.builder.and_(self.n, index_of(-ROWS))
        with emit_each(builder, index_of(0), whole, ROWS) as (row, _):
            self._rows(lane, row, sums, sink)
        with builder.if_then(builder.icmp_signed("!=", builder.and_(self.n, index_of(2)), index_of(0))):
            self._rows(lane, whole, sums[:2], sink)
        with builder.if_then(builder.icmp_signed("!=", builder.and_(self.n, index_of(1)), index_of(0))):
            last = builder.sub(self.n, index_of(1))
            self._begin(lane, last, [last], sums[0])
            with emit_each(builder, index_of(0), last, 1) as (column, _):
                self._add(lane, [last], column, sums[:1])
            sink(lane, last, [self._loaded(sums[0])])

    def _rows(self, lane: Any, first: Any, sums: Sequence[Row], sink: Sink) -> None:
        """The corner, the columns before it by fours from the last of each, and what is left of the corner."""
        rows = [self.builder.add(first, index_of(k)) for k in range(len(sums))]
        for k, row in enumerate(rows):
            self._begin(lane, row, rows[k - k % 2 : k + 1], sums[k])
        with emit_each(self.builder, index_of(0), first, ROWS) as (column, _):
            for ahead in reversed(range(ROWS)):
                self._add(lane, rows, self.builder.add(column, index_of(ahead)), sums)
        for column in rows[:2]:
            self._add(lane, rows[2:], column, sums[2:])
        sink(lane, first, [self._loaded(vectors) for vectors in sums])

    def _begin(self, lane: Any, row: Any, columns: Sequence[Any], vectors: Row) -> None:
        mean = emit_splat(self.builder, emit_load(self.builder, self.mean, row), SINGLES)
        for room in vectors:
            self.builder.store(mean, room)
        for column in columns:
            self._add(lane, [row], column, [vectors])

    def _add(self, lane: Any, rows: Sequence[Any], column: Any, sums: Sequence[Row]) -> None:
        """One column of the factor times the draws of one position."""
        builder, place = self.builder, self.builder.add(self.builder.mul(column, index_of(LANES)), lane)
        places = [builder.add(place, index_of(SINGLES * k)) for k in range(WIDTH)]
        drawn = [emit_vector(builder, self.draws, at, SINGLES) for at in places] if rows else []
        for row, vectors in zip(rows, sums, strict=True):
            cell = builder.add(builder.mul(row, self.n), column)
            part = emit_splat(builder, emit_load(builder, self.factor, cell), SINGLES)
            for z, room in zip(drawn, vectors, strict=True):
                builder.store(emit_fused(builder, part, z, builder.load(room)), room)

    def _loaded(self, vectors: Row) -> Row:
        return tuple(self.builder.load(vector) for vector in vectors)


def _product_of(context: Any, builder: Any, signature: Any, arguments: Any) -> tuple[Product, list[Row]]:
    """Of the first three arguments, and room for its sums, which becomes registers."""
    mean, factor, draws = (_array(context, builder, signature, arguments, number) for number in range(3))
    rooms = [cgutils.alloca_once(builder, _SINGLE_VECTOR) for _ in range(WIDTH * ROWS)]  # type: ignore[no-untyped-call]
    sums = [tuple(rooms[WIDTH * k : WIDTH * (k + 1)]) for k in range(ROWS)]
    n = builder.extract_value(mean.shape, 0)
    return Product(builder, n, mean.data, factor.data, draws.data), sums


def _array(context: Any, builder: Any, signature: Any, arguments: Any, number: int) -> Any:
    return context.make_array(signature.args[number])(context, builder, arguments[number])


def _field(context: Any, builder: Any, kind: Any, book: Any, name: str) -> Any:
    """Pointer to an array of a book."""
    number = Book._fields.index(name)
    return context.make_array(kind.types[number])(context, builder, builder.extract_value(book, number)).data


def _emit_correlate(_typing: Any, mean: Any, factor: Any, draws: Any, found: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        product, sums = _product_of(context, builder, signature, arguments)
        target = _array(context, builder, signature, arguments, 3).data

        def keep(lane: Any, row: Any, rows: Sequence[Row]) -> None:
            for k, vectors in enumerate(rows):
                for number, vector in enumerate(vectors):
                    place = _cell(builder, row, k, lane, number * SINGLES)
                    builder.store(vector, emit_place(builder, target, place, SINGLES), align=4)

        with emit_each(builder, index_of(0), index_of(LANES), STRIP) as (lane, _):
            product.emit(lane, sums, keep)
        return context.get_dummy_value()

    return types.void(mean, factor, draws, found), generate


def _emit_grow(_typing: Any, mean: Any, factor: Any, draws: Any, book: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        product, sums = _product_of(context, builder, signature, arguments)
        values, *of_lanes = (_field(context, builder, signature.args[3], arguments[3], name) for name in _MOVED)
        is_any_lost = cgutils.alloca_once_value(builder, ir.Constant(_LOST, 0))  # type: ignore[no-untyped-call]
        parts = range(0, STRIP, DOUBLES)
        totals = [cgutils.alloca_once(builder, _DOUBLE_VECTOR) for _ in parts]  # type: ignore[no-untyped-call]

        def earn(lane: Any, row: Any, rows: Sequence[Row]) -> None:
            grown = _emit_growth(builder, rows, sums)
            for number, part in enumerate(parts):
                which, upper = divmod(part, SINGLES)
                new = []
                for k, vectors in enumerate(grown):
                    place = emit_place(builder, values, _cell(builder, row, k, lane, part), DOUBLES)
                    old = builder.load(place, align=8)
                    new.append(emit_fused(builder, old, _doubles(builder, vectors[which], upper), old))
                    builder.store(new[-1], place, align=8)
                for k in range(0, len(new), 2):
                    both = builder.fadd(new[k], new[k + 1]) if k + 1 < len(new) else new[k]
                    builder.store(builder.fadd(builder.load(totals[number]), both), totals[number])

        with emit_each(builder, index_of(0), index_of(LANES), STRIP) as (lane, _):
            for total in totals:
                builder.store(ir.Constant(_DOUBLE_VECTOR, [0.0] * DOUBLES), total)
            product.emit(lane, sums, earn)
            for part, total in zip(parts, totals, strict=True):
                places = [emit_place(builder, each, builder.add(lane, index_of(part)), DOUBLES) for each in of_lanes]
                is_lost = _emit_shares(builder, builder.load(total), places)
                builder.store(builder.or_(builder.load(is_any_lost), is_lost), is_any_lost)
        return builder.icmp_unsigned("!=", builder.load(is_any_lost), ir.Constant(_LOST, 0))

    return types.boolean(mean, factor, draws, book), generate


def _emit_shares(builder: Any, wealth: Any, places: Sequence[Any]) -> Any:
    """Code for `lanes.value_shares` of some lanes, given where wealth, shares, peaks and least parts are."""
    shares, peak, least = (builder.load(place, align=8) for place in places[1:])
    share = builder.fmul(wealth, shares)
    top = builder.select(builder.fcmp_ordered(">", share, peak), share, peak)
    part = builder.fdiv(share, top)
    deepest = builder.select(builder.fcmp_ordered("<", part, least), part, least)
    for place, vector in zip((places[0], *places[2:]), (wealth, top, deepest), strict=True):
        builder.store(vector, place, align=8)
    is_lost = builder.fcmp_ordered("<=", wealth, ir.Constant(_DOUBLE_VECTOR, [0.0] * DOUBLES))
    return builder.bitcast(is_lost, _LOST)


def _emit_growth(builder: Any, rows: Sequence[Row], rooms: Sequence[Row]) -> list[Row]:
    """Code for `growth_less_one` of rows, without its powers of 2 where no number needs them, as is usual."""
    places = [place for vectors in rooms[: len(rows)] for place in vectors]
    is_any_large = None
    for x, place in zip((x for vectors in rows for x in vectors), places, strict=True):
        square = builder.fmul(x, x)
        is_large = builder.fcmp_unordered(">=", square, emit_constant(x.type, SMALL_SQUARE))
        is_any_large = builder.or_(is_any_large, is_large) if is_any_large is not None else is_large
        builder.store(emit_small_growth_less_one(builder, x, square), place)
    found = builder.icmp_unsigned("!=", builder.bitcast(is_any_large, _FLAGS), ir.Constant(_FLAGS, 0))
    with builder.if_then(found, likely=False):
        for x, place in zip((x for vectors in rows for x in vectors), places, strict=True):
            builder.store(emit_growth_less_one(builder, x), place)
    return [tuple(builder.load(place) for place in vectors) for vectors in rooms[: len(rows)]]


def _cell(builder: Any, row: Any, below: int, lane: Any, beside: int) -> Any:
    """Place of a lane in (n, `LANES`)."""
    start = builder.mul(builder.add(row, index_of(below)), index_of(LANES))
    return builder.add(builder.add(start, lane), index_of(beside))


def _doubles(builder: Any, vector: Any, first: int) -> Any:
    """Some numbers of a vector, in double precision."""
    chosen = ir.Constant(ir.VectorType(ir.IntType(32), DOUBLES), list(range(first, first + DOUBLES)))
    return builder.fpext(builder.shuffle_vector(vector, vector, chosen), _DOUBLE_VECTOR)


correlate = cast("Callable[[SingleArray, SingleArray, SingleArray, SingleArray], None]", intrinsic(_emit_correlate))
"""Fill (n, `LANES`) with means plus the product of a lower triangular factor and draws; in compiled code only.

Parameters
----------
mean, factor, draws, found
    (n,), (n, n), (n, `LANES`) and (n, `LANES`).
"""

_grow = cast("Callable[[SingleArray, SingleArray, SingleArray, Book], bool]", intrinsic(_emit_grow))


@register_jitable
def grow(mean: SingleArray, factor: SingleArray, draws: SingleArray, book: Book) -> None:
    """Let values grow by e to the power of what `correlate` would find, and take the wealth into account."""
    if _grow(mean, factor, draws, book):
        close_lost(book)
