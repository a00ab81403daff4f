"""Kernels as the runner calls them: with a row of whole numbers, a part, and the number of parts.

A row is `WORDS` int64. Its first words belong to the runner; the kernel's own arguments, all of
them int64, begin at word `FIRST`: addresses, sizes, strides. A kernel allocates nothing, raises
nothing and calls nothing of Python, so that its machine code can be kept in a file and loaded
without Numba (`object_code`). With ``NUMBA_DISABLE_JIT=1`` the same functions run as plain Python.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from tinynet.config import COMPILES
from tinynet.kernels import object_code
from tinynet.kernels.kernel_function import FIRST, KERNELS, WORDS, KernelFunction
from tinynet.kernels.numba_functions import arrayobj, emitted, intrinsic, types


class Kernel(KernelFunction):
    """A kernel that can be called.

    Parameters
    ----------
    function : callable
        ``function(part, parts, *words)``; the names of its parameters name the words.
    """

    @property
    def address(self) -> int:
        """Address of the machine code; compiled or loaded when it is first asked for."""
        if not COMPILES:
            return [*KERNELS].index(self.name) + 1
        return object_code.addresses([self])[0]

    def row(self, **words: int) -> np.ndarray[Any, Any]:
        """Return a row that calls it; every word must be given."""
        if words.keys() != set(self.words):
            raise TypeError(f"{self.name} takes the words {self.words}. Received: {[*words]}")
        row = np.zeros(WORDS, np.int64)
        row[0] = self.address
        row[FIRST : FIRST + len(self.words)] = [words[name] for name in self.words]
        return row

    def __call__(self, row: np.ndarray[Any, Any], part: int = 0, parts: int = 1) -> None:
        """Call it once, for tests and trials."""
        if COMPILES:
            _PROTOTYPE(self.address)(row.ctypes.data, part, parts)
        else:
            words = row[FIRST : FIRST + len(self.words)]
            self.function(part, parts, *(int(w) for w in words))


_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


#: Decorator that makes a kernel of a function.
kernel = Kernel


if COMPILES:
    from llvmlite import ir

    @emitted()
    def call_at(b, address, row, part, parts):
        """Call the kernel at an address with the row at another."""
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word.as_pointer(), word, word])
        function = b.inttoptr(address, kind.as_pointer())
        b.call(function, [b.inttoptr(row, word.as_pointer()), part, parts])

    def _array(dimensions, kind):
        """Return an intrinsic's signature and instructions: an array, of an address and sizes."""
        array = types.Array(kind.dtype, dimensions, "C")

        def generate(context, builder, signature, arguments):
            address, *shape, _ = arguments
            size = context.get_abi_sizeof(context.get_data_type(array.dtype))
            strides = [ir.IntType(64)(size)]
            for length in shape[:0:-1]:
                strides.insert(0, builder.mul(strides[0], length))
            made = context.make_array(array)(context, builder)
            data = builder.inttoptr(address, made.data.type)
            arrayobj.populate_array(made, data, shape, strides, size, meminfo=None)
            return made._getvalue()

        return array(*[types.int64] * (1 + dimensions), kind), generate

    @intrinsic
    def vector(typing_context, address, n, kind):
        """Return the vector of `n` numbers at an address; sooner compiled than ``carray``."""
        return _array(1, kind)

    @intrinsic
    def matrix(typing_context, address, rows, columns, kind):
        """Return the matrix at an address, its rows one after the other."""
        return _array(2, kind)

else:

    def call_at(address: int, row: int, part: int, parts: int) -> None:
        """Call the kernel of a number with the row at an address."""
        [*KERNELS.values()][address - 1](vector(row, WORDS, np.int64), part, parts)

    def vector(address: int, n: int, kind: Any) -> Any:
        """Return the vector of `n` numbers at an address."""
        kind = np.dtype(kind)
        if n <= 0:
            return np.zeros(0, kind)
        return np.frombuffer(
            (ctypes.c_char * (int(n) * kind.itemsize)).from_address(int(address)), kind
        )

    def matrix(address: int, rows: int, columns: int, kind: Any) -> Any:
        """Return the matrix at an address, its rows one after the other."""
        return vector(address, rows * columns, kind).reshape(rows, columns)
