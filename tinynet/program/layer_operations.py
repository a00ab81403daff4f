"""Operations of layers: the functions of `functional`, with reusable buffers."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinynet import functional
from tinynet._core.buffers import aligned
from tinynet.program.operations import Operation, Pure, alike_floats
from tinynet.program.tensor import TABLE, Array


def _rows(x: Any) -> Any:
    """View an array as a matrix of rows."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


def _as_floats(arrays: list[Any]) -> list[Any]:
    """Convert to floats of one dtype; None stays None."""
    given = alike_floats([a for a in arrays if a is not None])
    return [None if a is None else given.pop(0) for a in arrays]


def _units(x: Array, kernel: Array, bias: Array | None) -> int:
    """Return the number of units; raise an error if the shapes do not match."""
    units: int = kernel.shape[-1]
    if kernel.shape != (x.shape[-1], units) or (bias is not None and bias.shape != (units,)):
        raise _misfit(x, kernel, bias)
    return units


def _misfit(x: Any, kernel: Array, bias: Any) -> ValueError:
    n, units = x.shape[-1], kernel.shape[-1]
    return ValueError(
        f"kernel and bias must have the shapes {(n, units)} and {(units,)} for inputs of shape "
        f"{x.shape}. Received: shapes {kernel.shape}, {np.shape(bias)}"
    )


class Linear(Operation):
    """``x @ kernel + bias``, followed by ReLU in the same pass if `rectifies` is set."""

    has_work = True

    def __init__(self, name: str, rectifies: bool) -> None:
        super().__init__(name, functional.dense, functional.dense_backward, 3, _as_floats)
        self.rectifies = rectifies

    def pure(self, inputs: list[Any], needs: list[bool]) -> Pure | None:
        """Return the functions for inputs that are already 2-dimensional."""
        if self.rectifies or len(inputs[0].shape) != 2:
            return None
        backward = functools.partial(functional.dense_layer_backward, needs=needs)
        return Pure(functional.dense, backward, (0, 2, 3), writes=(1, 2))

    def infer(self, arrays: list[Any], options: dict[str, Any]) -> Array:
        """Return an array with the shape of the result."""
        x, kernel, bias = arrays
        return np.zeros((*x.shape[:-1], _units(x, kernel, bias)), x.dtype)

    def compute(self, arrays: list[Any], options: dict[str, Any], work: Any = None) -> Array:
        """Compute the result."""
        x, kernel, bias = arrays
        rows, units = _rows(x), _units(x, kernel, bias)
        z = functional.dense(rows, kernel, bias, work.array("z", (len(rows), units), x.dtype))
        if self.rectifies:
            functional.relu(z, z)
        return z if x.ndim == 2 else z.reshape(*x.shape[:-1], units)

    def gradients(
        self, d_y: Any, y: Any, arrays: Any, options: Any, needs: Any, work: Any, outs: Any
    ) -> list[Array | None]:
        """Compute the gradients, in the arrays of `outs` where given."""
        x, kernel, _ = arrays
        rows, d_z, outs = _rows(x), _rows(d_y), outs or [None] * 3
        d_x = d_kernel = d_bias = None
        if self.rectifies:  # not in place: the upstream gradient may be read again
            out = work.array("d_z", d_z.shape, d_z.dtype)
            d_z = functional.relu_backward(d_z, _rows(y), _rows(y), out)
        if needs[2]:
            d_bias = np.add.reduce(d_z, axis=0, out=outs[2])
        if needs[1]:
            d_kernel = aligned(kernel.shape, d_z.dtype) if outs[1] is None else outs[1]
            functional.dense_gradients(rows, d_z, d_kernel, None)
        if needs[0]:
            d_x = functional.dense_backward(d_z, kernel, work.array("d_x", rows.shape, rows.dtype))
            d_x = d_x if x.ndim == 2 else d_x.reshape(x.shape)
        return [d_x, d_kernel, d_bias]


class Activated(Operation):
    """An activation function as an operation."""

    has_work = True

    def __init__(self, activation: Any, convert: Any = None) -> None:
        super().__init__(activation.__name__, lambda x: x, lambda d_y, y, x: d_y, 1, convert)
        self.activation = activation

    def __reduce__(self) -> Any:
        """Copy the operation together with its activation."""
        return getattr, (self.activation, "operation")

    @property
    def is_plain(self) -> bool:
        """Whether the activation is built in and has default options."""
        return bool(getattr(self.activation, "is_built_in", False))

    def pure(self, inputs: list[Any], needs: list[bool]) -> Pure | None:
        """Return the forward and backward functions of a built-in activation without options."""
        forward = getattr(functional, self.name, None)
        if not self.is_plain or forward is None or not inputs[0].shape:
            return None
        return Pure(forward, getattr(functional, f"{self.name}_backward"), (0, 2, 1))

    def compute(self, arrays: list[Any], options: dict[str, Any], work: Any = None) -> Array:
        """Compute the result."""
        x = np.atleast_1d(ready(arrays[0]))
        y: Array = self.activation.forward(x, work.array("y", x.shape, x.dtype))
        return y.reshape(arrays[0].shape)

    def gradients(
        self, d_y: Any, y: Any, arrays: Any, options: Any, needs: Any, work: Any, outs: Any
    ) -> list[Array | None]:
        """Compute the gradient."""
        x = arrays[0]
        out = work.array("d_x", np.atleast_1d(x).shape, x.dtype)
        d_x = self.activation.backward(
            *(np.atleast_1d(ready(np.asarray(a, x.dtype))) for a in (d_y, x, y)), out
        )
        return [d_x.reshape(x.shape)]


class Draw(Operation):
    """Uniform random numbers in [0, 1) with the shape of an input, drawn again in every run."""

    stateful = has_work = True

    def infer(self, arrays: list[Any], options: dict[str, Any]) -> Array:
        """Return zeros without drawing."""
        return np.zeros(self._shape(arrays[0], options["noise_shape"]), arrays[0].dtype)

    def compute(self, arrays: list[Any], options: dict[str, Any], work: Any = None) -> Array:
        """Draw the numbers."""
        x = arrays[0]
        drawn: Array = work.array("drawn", self._shape(x, options["noise_shape"]), x.dtype)
        options["generator"].random(out=drawn, dtype=x.dtype.type)
        return drawn

    def _shape(self, x: Array, noise_shape: Any) -> tuple[int, ...]:
        if noise_shape is None:
            return x.shape
        return tuple(
            size if own is None else own for own, size in zip(noise_shape, x.shape, strict=True)
        )


class Dropout(Operation):
    """Dropout: inputs whose random number is at least `rate` are scaled up, the others become 0."""

    has_work = True

    def compute(self, arrays: list[Any], options: dict[str, Any], work: Any = None) -> Array:
        """Compute the result."""
        x, drawn = ready(arrays[0]), arrays[1]
        return functional.dropout(x, drawn, options["rate"], work.array("y", x.shape, x.dtype))

    def gradients(
        self, d_y: Any, y: Any, arrays: Any, options: Any, needs: Any, work: Any, outs: Any
    ) -> list[Array | None]:
        """Apply the mask of the forward pass to the upstream gradient."""
        d_y = ready(d_y)
        out = work.array("d_x", d_y.shape, d_y.dtype)
        return [functional.dropout(d_y, arrays[1], options["rate"], out), None]


class Normalized(Operation):
    """Rows normalized by a given mean and variance."""

    has_work = True

    def compute(self, arrays: list[Any], options: dict[str, Any], work: Any = None) -> Any:
        """Compute the normalized rows."""
        x, mean, variance, gamma, beta = arrays
        rows = _rows(ready(x))
        out = work.array("y", rows.shape, rows.dtype)
        functional.batch_normalization(rows, mean, variance, gamma, beta, options["epsilon"], out)
        return out.reshape(x.shape)

    def gradients(
        self, d_y: Any, y: Any, arrays: Any, options: Any, needs: Any, work: Any, outs: Any
    ) -> list[Array | None]:
        """Compute the gradients with respect to the rows, gamma and beta."""
        x, mean, variance, gamma, _ = arrays
        root = np.sqrt(variance + variance.dtype.type(options["epsilon"]))
        d_x = d_y / root if gamma is None else d_y * (gamma / root)
        d_gamma = np.sum(_rows(d_y * ((x - mean) / root)), axis=0) if needs[3] else None
        d_beta = np.sum(_rows(d_y), axis=0) if needs[4] else None
        return [d_x, None, None, d_gamma, d_beta]


class BatchNormalization(Normalized):
    """Rows normalized by their own mean and variance, which are returned without gradients."""

    def compute(self, arrays: list[Any], options: dict[str, Any], work: Any = None) -> Any:
        """Compute the normalized rows, their mean and their variance."""
        x, gamma, beta = arrays
        x = ready(x)
        work.x = mean, variance = functional.batch_statistics(_rows(x))
        return super().compute([x, mean, variance, gamma, beta], options, work), mean, variance

    def gradients(
        self, d_y: Any, y: Any, arrays: Any, options: Any, needs: Any, work: Any, outs: Any
    ) -> list[Array | None]:
        """Compute the gradients with respect to the rows, gamma and beta."""
        x, gamma, beta = arrays
        d_gamma = aligned(gamma.shape, gamma.dtype) if needs[1] else None
        d_beta = aligned(beta.shape, beta.dtype) if needs[2] else None
        mean, variance = work.x
        d_x = functional.batch_normalization_backward(
            *(_rows(ready(d_y)), _rows(ready(x)), mean, variance, gamma, options["epsilon"]),
            *(d_gamma, d_beta),
        )
        return [d_x.reshape(x.shape), d_gamma, d_beta]


def ready(x: Array) -> Array:
    """Return a contiguous, aligned and writable array, as kernels require."""
    return x if x.flags.carray else np.require(x, None, ["C", "A", "W"])


def _flatten(x: Any) -> Any:
    """Flatten each example to one row."""
    return x if x.ndim == 2 else x.reshape(x.shape[0], math.prod(x.shape[1:]))


def _in_class(x: Any, *others: Any, **options: Any) -> Any:
    """Raise an error: the class overrides `compute` and `gradients` instead."""
    raise NotImplementedError


class Matches(Operation):
    """Number of rows whose largest score is that of the label."""

    def pure(self, inputs: list[Any], needs: list[bool]) -> Pure | None:
        """Return the function itself."""
        return Pure(self.forward, self.forward)

    def compute(self, arrays: list[Any], options: dict[str, Any], work: Any = None) -> Any:
        """Count the rows."""
        return np.asarray(functional.sparse_matches(*arrays))


TABLE["linear"] = Linear("linear", rectifies=False)
#: Result of the rule that fuses a linear operation and ReLU.
LINEAR_RELU = Linear("linear_relu", rectifies=True)
MATCHES = Matches("sparse_matches", functional.sparse_matches, None, 2)
RESHAPE = Operation(
    "reshape_examples",
    lambda x, target: x.reshape(x.shape[0], *target),
    lambda d_y, y, x, target: d_y.reshape(x.shape),
)
TABLE["flatten"] = Operation("flatten", _flatten, lambda d_y, y, x: d_y.reshape(x.shape))
DRAW = Draw("draw", _in_class)
DROPOUT = Dropout("dropout", _in_class, _in_class, 2)
BATCH_NORMALIZATION = BatchNormalization("batch_normalization", _in_class, _in_class, 3)
NORMALIZED = Normalized("normalized", _in_class, _in_class, 5)
