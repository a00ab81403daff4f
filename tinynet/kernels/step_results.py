"""Kernels that write scalars: per-step results for Python, and operands of other kernels.

Kernels read a scalar as 16 equal float32 lanes, one cache line. Results are written to a float64
table with one row per step, which Python reads after the last step::

    scalar   | x | x | ... | x |  16 float32
                |
                |  sources: the address of each scalar
                v
    table    | loss   penalty | accuracy ... |   step 0        A loss that is not finite
             | loss   penalty | accuracy ... |   step 1        sets the stop flag.
             | ...                           |

These kernels take little time, so that only the caller executes them, in one part.
"""

import math

import numpy as np

from tinynet.kernels.numba_functions import inlined
from tinynet.kernels.row import kernel, vector


@inlined
def _first(sources, k):
    """Return the first lane of the k-th source."""
    return vector(vector(sources, k + 1, np.int64)[k], 1, np.float32)[0]


@kernel
def record(part, parts, step, sources, numbers, table, checked, stops):
    """Write the scalars to the step's row of the float64 table, which has `numbers` columns.

    The first `checked` scalars are losses. With `stops` = 1, a loss that is not finite sets the
    stop flag; with `stops` = 2, the flag is always set.
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
    """Broadcast a float32, or an int64 label, to 16 lanes, the format of scalars."""
    if is_label:
        x = np.float32(vector(source, 1, np.int64)[0])
    else:
        x = vector(source, 1, np.float32)[0]
    y = vector(out, 16, np.float32)
    for lane in range(16):
        y[lane] = x


@kernel
def pick(part, parts, source, out):
    """Write a scalar as a single float32."""
    vector(out, 1, np.float32)[0] = vector(source, 1, np.float32)[0]


@kernel
def count_rows(part, parts, step, pers, out, numbers):
    """Write the number of rows of the batch, ``n * per``, as a scalar for each entry of `pers`."""
    n = vector(step, 4, np.int64)[2]
    per, counts = vector(pers, numbers, np.int64), vector(out, 16 * numbers, np.float32)
    for k in range(16 * numbers):
        counts[k] = np.float32(n * per[k // 16])
