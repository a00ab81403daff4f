"""How the kernels that are called from Python are compiled."""

import numpy as np
from numba import types
from numba.core.cgutils import voidptr_t
from numba.core.compiler import Compiler
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from tinynet.config import DEBUG_BUFFERS
from tinynet.jit import jit
from tinynet.kernels.compiled import COMPILES as COMPILES
from tinynet.kernels.compiled import flush as flush
from tinynet.kernels.compiled import prefetch as prefetch

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

    def matrix_at(flat, at, rows, columns):
        return flat[at : at + rows * columns].reshape(rows, columns)

else:

    @inner
    def matrix_at(flat, at, rows, columns):
        """Return the matrix that begins at flat[at]; sooner compiled than by slices."""
        first = pointer(flat.ctypes.data + at * flat.itemsize)
        return carray(first, (rows, columns), flat.dtype)
