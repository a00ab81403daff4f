"""Single numbers: what Python reads of a step, and the scalars that other kernels read.

Kernels read a scalar as 16 equal numbers, one cache line; a table of float64 has a row for each
step, which Python reads after the last one::

    scalar   | x | x | ... | x |  16 float32
                |
                |  sources: the address of each scalar
                v
    table    | loss   penalty | accuracy ... |   step 0        losses are checked: one that is not
             | loss   penalty | accuracy ... |   step 1        finite sets the stop flag of the step
             | ...                           |

There is little to do: one thread, the caller, does it.
"""

import math

import numpy as np

from tinynet.kernels.numba_functions import inlined
from tinynet.kernels.row import kernel, vector


@inlined
def _first(sources, k):
    """Return the first number of the k-th source."""
    return vector(vector(sources, k + 1, np.int64)[k], 1, np.float32)[0]


@kernel
def record(part, parts, step, sources, numbers, table, checked, stops):
    """Write so many numbers to the step's row of the float64 table.

    The first `checked` of them are losses. If `stops` is 1, stop if one is not finite; if 2, stop.
    """
    block = vector(step, 4, np.int64)
    first = block[0] * numbers
    row = vector(table + 8 * first, numbers, np.float64)
    for k in range(numbers):
        x = np.float64(_first(sources, k))
        row[k] = x
        if stops == 2 or (stops and k < checked and not math.isfinite(x)):
            block[3] = 1


@kernel
def spread(part, parts, source, is_label, out):
    """Write one number, or an int64 label, 16 times: as scalars are read."""
    if is_label:
        x = np.float32(vector(source, 1, np.int64)[0])
    else:
        x = vector(source, 1, np.float32)[0]
    y = vector(out, 16, np.float32)
    for lane in range(16):
        y[lane] = x


@kernel
def pick(part, parts, source, out):
    """Write one number of a scalar."""
    vector(out, 1, np.float32)[0] = vector(source, 1, np.float32)[0]


@kernel
def count_rows(part, parts, step, pers, out, numbers):
    """Write the number of rows for each number of rows per example, 16 times as float32."""
    n = vector(step, 4, np.int64)[2]
    per, counts = vector(pers, numbers, np.int64), vector(out, 16 * numbers, np.float32)
    for k in range(16 * numbers):
        counts[k] = np.float32(n * per[k // 16])
