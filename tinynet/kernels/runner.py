"""The runner: it calls the kernels of a table's rows, step after step.

Memory::

    head     the row of `run`: how many rows and steps, and where the others are
    rows     one row of int64 words per kernel call; the first FIRST words are the runner's
               ADDRESS   address of the kernel's machine code
    step     NUMBER    number of the step in this call
             EXAMPLE   first example of the batch
             N         examples in the batch
             STOP      set to 1 by a kernel: the runner returns after this row

One thread executes the rows of a step in their order.
"""

import numpy as np

from tinynet.kernels.compiled import inlined
from tinynet.kernels.row import WORDS, call_at, kernel, vector

#: The runner's words of a row.
ADDRESS = 0
#: Words of the step block.
NUMBER, EXAMPLE, N, STOP = range(4)
_BYTES, _LANES = 8 * WORDS, 16


@inlined
def _fill(splats, i, value):
    """Set all lanes of one scalar."""
    for lane in range(_LANES):
        splats[_LANES * i + lane] = value


@kernel
def begin(part, parts, step, batch, examples, scalars, splats, count, pers, inverses, sizes):
    """Begin a step: its batch, its scalars, and 1 / rows for each number of rows per example.

    step: the step block; batch: batch size; examples: number of examples in this call;
    scalars: float32 table (steps, count), of which the step's row is copied to `splats`;
    pers: `sizes` int64, the rows per example; inverses: `sizes` splats of 1 / (n * per).
    """
    block = vector(step, 4, np.int64)
    block[NUMBER] += 1
    number = block[NUMBER]
    block[EXAMPLE] = number * batch
    n = min(batch, examples - block[EXAMPLE])
    block[N] = n
    given, out = (
        vector(scalars, (number + 1) * count, np.float32),
        vector(splats, _LANES * count, np.float32),
    )
    for i in range(count):
        _fill(out, i, given[number * count + i])
    per, out = vector(pers, sizes, np.int64), vector(inverses, _LANES * sizes, np.float32)
    for i in range(sizes):
        _fill(out, i, np.float32(np.float64(1) / np.float64(n * per[i])))


@kernel
def run(part, parts, rows, count, steps, step):
    """Execute all rows of each step in their order, until a kernel sets the stop flag."""
    block = vector(step, 4, np.int64)
    for _ in range(steps):
        for i in range(count):
            row = rows + i * _BYTES
            call_at(vector(row, 1, np.int64)[ADDRESS], row, 0, 1)
            if block[STOP]:
                return
