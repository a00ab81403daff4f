"""How the kernels are compiled, and the instructions that Python has no words for."""

import platform

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core.cgutils import get_or_insert_function as external
from numba.core.cgutils import voidptr_t
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

    def define_pipelines(self):
        """Set the promise; the passes are Numba's own."""
        self.state.flags.noalias = True
        return super().define_pipelines()


inner = jit(no_cpython_wrapper=True)
inlined = jit(inline="always")  # compiled with its callers, which is sooner done
sums = jit(no_cpython_wrapper=True, fastmath={"contract"}, pipeline_class=_Distinct)


@intrinsic
def pointer(typing_context, address):
    """Make an address a pointer."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], voidptr_t)

    return types.voidptr(types.int64), generate


if DEBUG_BUFFERS:

    @inner
    def scratch(shape, kind):
        """Return an uninitialized array; the debug mode fills it with NaN or -(2**63)."""
        array = np.empty(shape, kind)
        array.fill(np.nan)
        return array

else:

    @inlined
    def scratch(shape, kind):
        """Return an uninitialized array."""
        return np.empty(shape, kind)


if not COMPILES:

    def prefetch(array, i):
        """Do nothing: Python has no such instruction."""

    def matrix_at(flat, at, rows, columns):
        return flat[at : at + rows * columns].reshape(rows, columns)

else:

    @intrinsic
    def prefetch(typing_context, array, i):
        """Ask for the memory at array[i] without waiting for it."""

        def generate(context, builder, signature, arguments):
            data = context.make_array(array)(context, builder, arguments[0]).data
            pointer = builder.bitcast(builder.gep(data, [arguments[1]]), voidptr_t)
            word = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
            function = external(builder.module, kind, "llvm.prefetch.p0")
            builder.call(function, [pointer, word(0), word(3), word(1)])  # to read, keep, data
            return context.get_dummy_value()

        return types.void(array, i), generate

    @inner
    def matrix_at(flat, at, rows, columns):
        """Return the matrix that begins at flat[at]; sooner compiled than by slices."""
        first = pointer(flat.ctypes.data + at * flat.itemsize)
        return carray(first, (rows, columns), flat.dtype)


if not COMPILES or platform.machine() not in ("x86_64", "AMD64"):

    @inner
    def flush(on):
        """Do nothing."""
        return on

else:

    @intrinsic
    def flush(typing_context, on):
        """Take this thread's results that are denormal for 0, or no longer; return what it did."""

        def generate(context, builder, signature, arguments):
            word, flag = ir.IntType(32), ir.Constant(ir.IntType(32), 1 << 15)
            kind = ir.FunctionType(ir.VoidType(), [voidptr_t])
            room = builder.alloca(word)
            pointer = builder.bitcast(room, voidptr_t)
            builder.call(external(builder.module, kind, "llvm.x86.sse.stmxcsr"), [pointer])
            old = builder.load(room)
            others = builder.and_(old, builder.not_(flag))
            builder.store(builder.select(arguments[0], builder.or_(old, flag), others), room)
            builder.call(external(builder.module, kind, "llvm.x86.sse.ldmxcsr"), [pointer])
            return builder.icmp_unsigned("!=", builder.and_(old, flag), ir.Constant(word, 0))

        return types.boolean(types.boolean), generate
