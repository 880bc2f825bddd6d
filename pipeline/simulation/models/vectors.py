"""Code of vector instructions, in LLVM's terms, for kernels in which a compiler finds none by itself."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba.core import cgutils

INDEX = ir.IntType(64)


def index_of(value: int) -> Any:
    """A constant place."""
    return ir.Constant(INDEX, value)


def emit_constant(kind: Any, value: Any) -> Any:
    """A number of a type, or a vector of it; of single precision rounded to it."""
    element = kind.element if isinstance(kind, ir.VectorType) else kind
    number = float(np.float32(value)) if isinstance(element, ir.FloatType) else value.item()
    return ir.Constant(kind, [number] * kind.count if isinstance(kind, ir.VectorType) else number)


def emit_fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """A · b + c of numbers or vectors of one type, rounded once."""
    if not isinstance(a.type, ir.VectorType):
        return builder.fma(a, b, c)
    name = f"llvm.fma.v{a.type.count}f{32 if isinstance(a.type.element, ir.FloatType) else 64}"
    of_three = ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, of_three, name), [a, b, c])  # type: ignore[no-untyped-call]


def emit_load(builder: Any, numbers: Any, place: Any) -> Any:
    """One number of an array."""
    return builder.load(builder.gep(numbers, [place]))


def emit_splat(builder: Any, number: Any, width: int) -> Any:
    """A vector of a number."""
    undefined, word = ir.Constant(ir.VectorType(number.type, width), ir.Undefined), ir.IntType(32)
    first = builder.insert_element(undefined, number, ir.Constant(word, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(word, width), [0] * width))


def emit_place(builder: Any, numbers: Any, place: Any, width: int) -> Any:
    """Pointer to a vector in an array."""
    vector = ir.VectorType(numbers.type.pointee, width)
    return builder.bitcast(builder.gep(numbers, [place]), vector.as_pointer())


def emit_vector(builder: Any, numbers: Any, place: Any, width: int) -> Any:
    """Numbers of an array from a place on."""
    aligned = 4 if isinstance(numbers.type.pointee, ir.FloatType) else 8
    return builder.load(emit_place(builder, numbers, place, width), align=aligned)


def emit_each(builder: Any, start: Any, end: Any, step: int) -> AbstractContextManager[tuple[Any, Any]]:
    """A loop, by its index."""
    loop = cgutils.for_range_slice(builder, start, end, index_of(step), intp=INDEX)
    return cast("AbstractContextManager[tuple[Any, Any]]", loop)
