"""The speed: Numba twins of functions in `functional`. Read those first; these say the same faster.

A kernel has the name, the parameters, the results and the in-place effects of its twin. What
makes the difference, measured by `benchmarks`:

- with Numba's own error model every division is checked and no loop is vectorised;
- literals are float64, so constants are cast once, outside the loops;
- only non-zero inputs are computed with, and each sum stays in the registers until it is complete;
- a call costs as much as adding a kernel row, so the loops around the innermost one stand in the
  same function, with unsigned indices and the promise that its arrays do not overlap;
- the rows of a shuffled batch lie scattered over memory, so they are asked for ahead;
- a dense product keeps 6 x 64 sums in the registers, which NumPy's BLAS leaves half empty;
- where LLVM makes no good vectors of a loop, its instructions stand in `vectors`;
- between the kernels of a small net Python took a fourth of a step, so one has the loop as well;
  there a layer learns at once, and its gradient is never written to memory;
- of two threads each sums over one half of the inputs, and keeps that half's weights in its cache;
  while one computes the small layers the other sorts the batch, or has begun with the large one;
- the square of a small gradient is denormal, and slow: Adam takes such results for 0.

"contract" lets ``a * b + c`` be rounded once. Infinity and NaN pass through as in NumPy, and
the order of sums, and with it their bits, stays as written.
"""

import importlib
from typing import Any

__all__ = ["adam", "bias_relu", "bias_relu_backward", "compress_rows", "dense", "dense_backward"]
__all__ += ["dense_gradients", "row_starts", "softmax_crossentropy_step", "sort_by_column"]
__all__ += ["sparse_dense", "sparse_kernel_gradient", "sparse_matches", "train_steps"]

# Imported when they are first used, since their files import Numba.
_FILES = {
    "activations": ["bias_relu", "bias_relu_backward"],
    "classification": ["softmax_crossentropy_step", "sparse_matches"],
    "compiled": ["COMPILES"],
    "optimizers": ["adam"],
    "products": ["dense", "dense_backward", "dense_gradients", "products_pay"],
    "sparse": [
        "compress_rows",
        "row_starts",
        "sort_by_column",
        "sparse_dense",
        "sparse_kernel_gradient",
    ],
    "steps": ["train_steps"],
}


def __getattr__(name: str) -> Any:
    for file, names in _FILES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{file}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
