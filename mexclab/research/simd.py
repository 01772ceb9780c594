"""Sixteen lanes at once inside numba kernels: vector values with ordinary operators.

numba leaves it to LLVM to find the vectors in scalar loops, and for kernels over :mod:`lanes` it finds
few. Here a vector is a value of its own, written in LLVM's portable IR, which becomes AVX-512, AVX2 or
NEON code as the machine allows; no C compiler takes part. ``F32``, ``F64`` and ``Mask`` values live
only inside compiled functions: load, compute, store.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, lower_builtin, register_model, type_callable

from mexclab.research.lanes import LANES

# How many rows of accumulators the registers of this machine hold beside what else is needed.
ROWS_AT_ONCE = 16 if llvm.get_host_cpu_features().get("avx512f") else 4


class Vector(types.Type):
    """Sixteen numbers, or sixteen truths."""

    def __init__(self, name: str, element: ir.Type) -> None:
        super().__init__(name=f"{name}x{LANES}")
        self.backend = ir.VectorType(element, LANES)


F32 = Vector("f32", ir.FloatType())
F64 = Vector("f64", ir.DoubleType())
MASK = Vector("mask", ir.IntType(1))
SHORTS = ir.VectorType(ir.IntType(16), LANES)  # only in memory
ROOT_ZERO = np.float32(32760.0)  # what is added to an int16 that is the root of a scale


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Vector) -> None:
        super().__init__(dmm, fe_type, fe_type.backend)


def _operator(symbol: Callable, operand: Vector, result: Vector, emit: Callable) -> None:
    """Give numba ``symbol`` for two vectors: ``emit(builder, a, b)`` writes the instruction."""

    @type_callable(symbol)
    def typed(context: Any) -> Callable:
        return lambda a, b: result if a is operand and b is operand else None

    @lower_builtin(symbol, operand, operand)
    def lowered(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return emit(builder, *args)


for _kind in (F32, F64):
    _operator(operator.add, _kind, _kind, lambda b, x, y: b.fadd(x, y))
    _operator(operator.sub, _kind, _kind, lambda b, x, y: b.fsub(x, y))
    _operator(operator.mul, _kind, _kind, lambda b, x, y: b.fmul(x, y))
    _operator(operator.truediv, _kind, _kind, lambda b, x, y: b.fdiv(x, y))
    # ordered comparisons: whatever is compared with a NaN, the answer is no
    _operator(operator.gt, _kind, MASK, lambda b, x, y: b.fcmp_ordered(">", x, y))
    _operator(operator.lt, _kind, MASK, lambda b, x, y: b.fcmp_ordered("<", x, y))
    _operator(operator.eq, _kind, MASK, lambda b, x, y: b.fcmp_ordered("==", x, y))
    _operator(operator.ne, _kind, MASK, lambda b, x, y: b.fcmp_ordered("!=", x, y))
_operator(operator.and_, MASK, MASK, lambda b, x, y: b.and_(x, y))
_operator(operator.or_, MASK, MASK, lambda b, x, y: b.or_(x, y))


def _vector_type(dtype: types.Type) -> Vector:
    return {types.float32: F32, types.float64: F64}[dtype]


def _cell(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any, index: Any) -> ir.Value:
    """A pointer to the vector that begins at ``array[index]``; the index is not checked."""
    data = context.make_array(array_type)(context, builder, array).data
    start = cgutils.gep_inbounds(builder, data, index)
    kind = SHORTS if array_type.dtype is types.int16 else _vector_type(array_type.dtype).backend
    return builder.bitcast(start, kind.as_pointer())


def _bytes(array_type: Any) -> int:
    return int(array_type.dtype.bitwidth // 8)


def _llvm(builder: ir.IRBuilder, name: str, kind: Vector, arguments: int) -> ir.Function:
    """LLVM's own function ``name`` over vectors of one kind."""
    suffix = "f32" if kind is F32 else "f64"
    signature = ir.FunctionType(kind.backend, [kind.backend] * arguments)
    return cgutils.get_or_insert_function(builder.module, signature, f"llvm.{name}.v{LANES}{suffix}")


@intrinsic
def load(typingctx, array, index):  # type: ignore[no-untyped-def]
    """The vector at ``array[index : index + 16]``, F32 or F64."""

    def lower(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pointer = _cell(context, builder, array, *args)
        return builder.load(pointer, align=_bytes(array))

    return _vector_type(array.dtype)(array, types.intp), lower


@intrinsic
def store(typingctx, array, index, vector):  # type: ignore[no-untyped-def]
    """Write ``vector`` to ``array[index : index + 16]``."""

    def lower(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pointer = _cell(context, builder, array, *args[:2])
        builder.store(args[2], pointer, align=_bytes(array))
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), lower


@intrinsic
def load_whole(typingctx, array, index):  # type: ignore[no-untyped-def]
    """The int16 numbers at ``array[index : index + 16]`` as F32."""

    def lower(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return _number(builder, _cell(context, builder, array, *args), _bytes(array))

    return F32(array, types.intp), lower


@intrinsic
def store_whole(typingctx, array, index, vector):  # type: ignore[no-untyped-def]
    """Write the int16 numbers nearest to ``vector``, an F32, to ``array[index : index + 16]``."""

    def lower(context, builder, signature, args):  # type: ignore[no-untyped-def]
        # 1.5 * 2**23 moves the whole part to the lowest bits of the mantissa, in two's complement
        moved = builder.fadd(args[2], ir.Constant(F32.backend, [12582912.0] * LANES))
        short = builder.trunc(builder.bitcast(moved, ir.VectorType(ir.IntType(32), LANES)), SHORTS)
        builder.store(short, _cell(context, builder, array, *args[:2]), align=_bytes(array))
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), lower


def _number(builder: ir.IRBuilder, pointer: ir.Value, align: int) -> ir.Value:
    """F32 from a vector of float32 or int16 in memory."""
    number = builder.load(pointer, align=align)
    if number.type == F32.backend:
        return number
    return builder.sitofp(builder.sext(number, ir.VectorType(ir.IntType(32), LANES)), F32.backend)


@intrinsic
def prefetch(typingctx, array, index):  # type: ignore[no-untyped-def]
    """Ask for the cache line of ``array[index]`` without waiting for it."""

    def lower(context, builder, signature, args):  # type: ignore[no-untyped-def]
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        data = context.make_array(array)(context, builder, args[0]).data
        place = builder.bitcast(cgutils.gep_inbounds(builder, data, args[1]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        asked = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # to read, into the second level of the cache, as data
        builder.call(asked, [place, number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), lower


@intrinsic
def everywhere(typingctx, number):  # type: ignore[no-untyped-def]
    """The vector that holds the float32 or float64 ``number`` in every lane."""

    def lower(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return _splat(builder, args[0])

    return _vector_type(number)(number), lower


@intrinsic
def where(typingctx, mask, yes, no):  # type: ignore[no-untyped-def]
    """Lane by lane ``yes`` where ``mask`` holds, else ``no``."""
    return yes(mask, yes, no), lambda context, builder, signature, args: builder.select(*args)


@intrinsic
def missing(typingctx, vector):  # type: ignore[no-untyped-def]
    """Which lanes are NaN."""

    def lower(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.fcmp_unordered("uno", args[0], args[0])

    return MASK(vector), lower


@intrinsic
def narrow(typingctx, vector):  # type: ignore[no-untyped-def]
    """F64 rounded to F32."""
    return F32(F64), lambda context, builder, signature, args: builder.fptrunc(args[0], F32.backend)


@intrinsic
def widen(typingctx, vector):  # type: ignore[no-untyped-def]
    """F32 as F64."""
    return F64(F32), lambda context, builder, signature, args: builder.fpext(args[0], F64.backend)


@intrinsic
def root(typingctx, vector):  # type: ignore[no-untyped-def]
    """The square root of each lane."""

    def lower(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.call(_llvm(builder, "sqrt", vector, 1), args)

    return vector(vector), lower


@intrinsic
def bits(typingctx, mask):  # type: ignore[no-untyped-def]
    """A mask as a number: bit i is lane i."""
    return types.uint16(MASK), lambda context, builder, signature, args: builder.bitcast(
        args[0], ir.IntType(LANES)
    )


@intrinsic
def mask_of(typingctx, number):  # type: ignore[no-untyped-def]
    """The mask whose lane i is bit i of a uint16."""
    return MASK(types.uint16), lambda context, builder, signature, args: builder.bitcast(
        args[0], MASK.backend
    )


@intrinsic
def inverse_root(typingctx, vector):  # type: ignore[no-untyped-def]
    """1 / sqrt of each positive, normal lane, to within 1e-6 of it: the processor's estimate may serve."""

    def lower(context, builder, signature, args):  # type: ignore[no-untyped-def]
        square_root = builder.call(_llvm(builder, "sqrt", vector, 1), args, fastmath=("fast",))
        return builder.fdiv(ir.Constant(vector.backend, [1.0] * LANES), square_root, flags=("fast",))

    return vector(vector), lower


def _sums(builder: ir.IRBuilder, start: ir.Value, taps: ir.Value, length: ir.Value) -> list[ir.Value]:
    """A loop over the taps that grows ``ROWS_AT_ONCE`` rows of dot products in registers.

    Row r is the sum over i of ``taps[i] * start[r + i]``. A fused multiply-add takes one operand from
    memory; nothing else is done for it.
    """
    backend, index = F32.backend, ir.IntType(64)
    fma = _llvm(builder, "fma", F32, 3)
    entry, body = builder.block, builder.append_basic_block("taps")
    after = builder.append_basic_block("summed")
    builder.branch(body)
    builder.position_at_end(body)
    tap = builder.phi(index)
    sums = [builder.phi(backend) for _ in range(ROWS_AT_ONCE)]
    tap.add_incoming(index(0), entry)
    factor = _splat(builder, builder.load(builder.gep(taps, [tap])))
    grown = []
    for row, total in enumerate(sums):
        total.add_incoming(ir.Constant(backend, [0.0] * LANES), entry)
        level = builder.load(builder.gep(start, [builder.add(tap, index(row))]), align=4)
        grown.append(builder.call(fma, [factor, level, total]))
    following = builder.add(tap, index(1))
    tap.add_incoming(following, body)
    for total, bigger in zip(sums, grown, strict=True):
        total.add_incoming(bigger, body)
    builder.cbranch(builder.icmp_signed("<", following, length), body, after)
    builder.position_at_end(after)
    return grown


@intrinsic
def products(typingctx, levels, first, query, out, at):  # type: ignore[no-untyped-def]
    """``out[at + 16 r + lane] = sum over i of query[i] * levels[first + 16 (r + i) + lane]``, float32.

    For the ``ROWS_AT_ONCE`` rows r from 0.
    """

    def lower(context, builder, signature, args):  # type: ignore[no-untyped-def]
        start = _cell(context, builder, levels, args[0], args[1])
        taps = context.make_array(query)(context, builder, args[2])
        place = _cell(context, builder, out, args[3], args[4])
        sums = _sums(builder, start, taps.data, builder.extract_value(taps.shape, 0))
        for row, total in enumerate(sums):
            builder.store(total, builder.gep(place, [ir.IntType(64)(row)]), align=4)
        return context.get_dummy_value()

    return types.void(levels, types.intp, query, out, types.intp), lower


@intrinsic
def best_product(typingctx, levels, first, query, scales, at, terms):  # type: ignore[no-untyped-def]
    """Lane by lane the largest ``max(product * factor + error, least) * scale`` of some rows.

    Products are those of :func:`products` for the ``ROWS_AT_ONCE`` rows from ``first``. Their scales are
    float32 from ``scales[at]`` on, or there are int16, less ROOT_ZERO, of which they are the squares;
    ``terms`` are the vectors (factor, error, least).
    """

    def lower(context, builder, signature, args):  # type: ignore[no-untyped-def]
        def larger(one: ir.Value, other: ir.Value) -> ir.Value:
            return builder.select(builder.fcmp_ordered(">", one, other), one, other)

        start = _cell(context, builder, levels, args[0], args[1])
        beside = _cell(context, builder, scales, args[3], args[4])
        taps = context.make_array(query)(context, builder, args[2])
        factor, error, least = (builder.extract_value(args[5], i) for i in range(3))
        fma = _llvm(builder, "fma", F32, 3)
        best = None
        for row, total in enumerate(_sums(builder, start, taps.data, builder.extract_value(taps.shape, 0))):
            scale = _number(builder, builder.gep(beside, [ir.IntType(64)(row)]), _bytes(scales))
            if scales.dtype is types.int16:
                root = builder.fadd(scale, ir.Constant(F32.backend, [float(ROOT_ZERO)] * LANES))
                scale = builder.fmul(root, root)
            bound = builder.fmul(larger(builder.call(fma, [total, factor, error]), least), scale)
            best = bound if best is None else larger(bound, best)
        return best

    return F32(levels, types.intp, query, scales, types.intp, terms), lower


def _splat(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    backend = ir.VectorType(number.type, LANES)
    first = builder.insert_element(ir.Constant(backend, ir.Undefined), number, ir.IntType(32)(0))
    chosen = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(backend, ir.Undefined), chosen)
