"""The speed: Numba twins of functions in `functional`. Read those first; these say the same faster.

A kernel has the name, the parameters, the results and the in-place effects of its twin. What
makes the difference, measured by `benchmarks`:

- with Numba's own error model every division is checked and no loop is vectorised;
- literals are float64, so constants are cast once, outside the loops;
- only non-zero inputs are computed with, and the gradient of each kernel row is written once;
- several rows are added in one pass, so that the sum stays in registers in between;
- the rows of a shuffled batch lie scattered over memory, so they are asked for ahead;
- a dense product keeps 4 x 64 sums in the registers, which NumPy's BLAS leaves half empty;
- between the kernels of a small net Python took a fourth of a step, so one has the loop as well;
- each innermost loop stands in a function of its own, where LLVM vectorises it.

"contract" lets ``a * b + c`` be rounded once. Infinity and NaN pass through as in NumPy, and
the order of sums, and with it their bits, stays as written.
"""

from __future__ import annotations

from tinynet.kernels.activations import bias_relu, bias_relu_backward
from tinynet.kernels.classification import softmax_crossentropy_step, sparse_matches
from tinynet.kernels.compiled import COMPILES as COMPILES
from tinynet.kernels.optimizers import adam
from tinynet.kernels.products import dense, dense_backward, dense_gradients
from tinynet.kernels.products import products_pay as products_pay
from tinynet.kernels.sparse import (
    compress_rows,
    row_starts,
    sort_by_column,
    sparse_dense,
    sparse_kernel_gradient,
)
from tinynet.kernels.steps import train_steps

__all__ = [
    "adam",
    "bias_relu",
    "bias_relu_backward",
    "compress_rows",
    "dense",
    "dense_backward",
    "dense_gradients",
    "row_starts",
    "softmax_crossentropy_step",
    "sort_by_column",
    "sparse_dense",
    "sparse_kernel_gradient",
    "sparse_matches",
    "train_steps",
]
