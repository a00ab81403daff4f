"""Kernels as called by the runner: with a row of int64 words, a part, and the number of parts.

A row is `WORDS` int64. The first words belong to the runner; the arguments of the kernel, all int64
(addresses, sizes, strides), start at word `FIRST`. A kernel does not allocate memory, raise
exceptions or call Python, so that its machine code can be cached in a file and loaded without Numba
(`object_code`). With ``NUMBA_DISABLE_JIT=1`` the same functions run as plain Python.
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
    """A kernel that can be called: ``function(part, parts, *words)``."""

    @property
    def address(self) -> int:
        """Address of the machine code, which is compiled or loaded on first access."""
        if not COMPILES:
            return [*KERNELS].index(self.name) + 1
        return object_code.addresses([self])[0]

    def row(self, **words: int) -> np.ndarray[Any, Any]:
        """Return a row that calls the kernel; all words must be given."""
        if words.keys() != set(self.words):
            raise TypeError(f"words of {self.name} must be {self.words}. Received: {[*words]}")
        row = np.zeros(WORDS, np.int64)
        row[0] = self.address
        row[FIRST : FIRST + len(self.words)] = [words[name] for name in self.words]
        return row

    def __call__(self, row: np.ndarray[Any, Any], part: int = 0, parts: int = 1) -> None:
        """Call the kernel once, for tests and experiments."""
        if COMPILES:
            _PROTOTYPE(self.address)(row.ctypes.data, part, parts)
        else:
            words = row[FIRST : FIRST + len(self.words)]
            self.function(part, parts, *(int(w) for w in words))


_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


#: Decorator that turns a function into a kernel.
kernel = Kernel


if COMPILES:
    from llvmlite import ir

    @emitted()
    def call_at(b, address, row, part, parts):
        """Call the kernel at an address with the row at another address."""
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word.as_pointer(), word, word])
        function = b.inttoptr(address, kind.as_pointer())
        b.call(function, [b.inttoptr(row, word.as_pointer()), part, parts])

    def _array(dimensions, kind):
        """Return signature and code of an intrinsic that views memory as a C-contiguous array."""
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
        """Return a vector of `n` elements at an address; it compiles faster than ``carray``."""
        return _array(1, kind)

    @intrinsic
    def matrix(typing_context, address, rows, columns, kind):
        """Return a C-contiguous matrix at an address."""
        return _array(2, kind)

else:

    def call_at(address: int, row: int, part: int, parts: int) -> None:
        """Call a kernel with the row at an address.

        Without machine code, the address of a kernel is its position in `KERNELS`, from 1.
        """
        [*KERNELS.values()][address - 1](vector(row, WORDS, np.int64), part, parts)

    def vector(address: int, n: int, kind: Any) -> Any:
        """Return a vector of `n` elements at an address."""
        kind = np.dtype(kind)
        if n <= 0:
            return np.zeros(0, kind)
        return np.frombuffer(
            (ctypes.c_char * (int(n) * kind.itemsize)).from_address(int(address)), kind
        )

    def matrix(address: int, rows: int, columns: int, kind: Any) -> Any:
        """Return a C-contiguous matrix at an address."""
        return vector(address, rows * columns, kind).reshape(rows, columns)
