"""How the kernels are compiled, and the instructions that Python has no words for."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.compiler import Compiler
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from tinynet.config import DEBUG_BUFFERS
from tinynet.jit import jit

#: Whether these functions are compiled at all.
COMPILES = not getattr(config, "DISABLE_JIT", False)
#: The number of units whose sums fit the vector registers.
UNITS = 128


class _Distinct(Compiler):
    """Promises LLVM that a function's arrays do not overlap, as C's ``restrict`` does."""

    def define_pipelines(self) -> Any:
        """Set the promise; the passes are Numba's own."""
        self.state.flags.noalias = True
        return super().define_pipelines()  # type: ignore[no-untyped-call]


inner = jit(no_cpython_wrapper=True)
inlined = jit(inline="always")  # compiled with its callers, which is sooner done
sums = jit(no_cpython_wrapper=True, fastmath={"contract"}, pipeline_class=_Distinct)


def instruction(function: Any) -> Any:
    """Make an intrinsic whose calls mypy does not take for calls of the function itself.

    Parameters
    ----------
    function : callable
        Returns the signature, and what generates the code.

    Returns
    -------
    callable
        What compiled functions call.

    Examples
    --------
    >>> callable(instruction(lambda typing_context, x: None))
    True
    """
    return intrinsic(function)


_external: Any = cgutils.get_or_insert_function


@instruction
def pointer(typing_context: Any, address: Any) -> Any:
    """Make an address a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


if DEBUG_BUFFERS:

    @inner
    def scratch(shape: Any, kind: Any) -> Any:
        """Return an uninitialized array; the debug mode fills it with NaN or -(2**63)."""
        array = np.empty(shape, kind)
        array.fill(np.nan)
        return array

else:

    @inlined
    def scratch(shape: Any, kind: Any) -> Any:
        """Return an uninitialized array."""
        return np.empty(shape, kind)


if not COMPILES:

    def prefetch(array: Any, i: Any) -> None:
        """Do nothing: Python has no such instruction."""

    def matrix_at(flat: Any, at: Any, rows: Any, columns: Any) -> Any:
        return flat[at : at + rows * columns].reshape(rows, columns)

else:

    @instruction
    def prefetch(typing_context: Any, array: Any, i: Any) -> Any:
        """Ask for the memory at array[i] without waiting for it."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(array)(context, builder, arguments[0]).data
            pointer = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
            word = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
            function = _external(builder.module, kind, "llvm.prefetch.p0")
            builder.call(function, [pointer, word(0), word(3), word(1)])  # to read, keep, data
            return context.get_dummy_value()

        return types.void(array, i), generate

    @inner
    def matrix_at(flat: Any, at: Any, rows: Any, columns: Any) -> Any:
        """Return the matrix that begins at flat[at]; sooner compiled than by slices."""
        first = pointer(flat.ctypes.data + at * flat.itemsize)
        return carray(first, (rows, columns), flat.dtype)


if not COMPILES or platform.machine() not in ("x86_64", "AMD64"):

    @inner
    def flush(on: Any) -> Any:
        """Do nothing."""
        return on

else:

    @instruction
    def flush(typing_context: Any, on: Any) -> Any:
        """Take this thread's results that are denormal for 0, or no longer; return what it did."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            word, flag = ir.IntType(32), ir.Constant(ir.IntType(32), 1 << 15)
            kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t])
            room = builder.alloca(word)
            pointer = builder.bitcast(room, cgutils.voidptr_t)
            builder.call(_external(builder.module, kind, "llvm.x86.sse.stmxcsr"), [pointer])
            old = builder.load(room)
            others = builder.and_(old, builder.not_(flag))
            builder.store(builder.select(arguments[0], builder.or_(old, flag), others), room)
            builder.call(_external(builder.module, kind, "llvm.x86.sse.ldmxcsr"), [pointer])
            return builder.icmp_unsigned("!=", builder.and_(old, flag), ir.Constant(word, 0))

        return types.boolean(types.boolean), generate
