"""Table of operations: forward and backward functions, and how calls are recorded.

An operation is a function of `functional` with its backward function. `apply` computes it and
records the call on the active tapes. `tinynet.ops` is the public view of the table.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from tinynet import config
from tinynet._core.buffers import Workspace
from tinynet._core.cached_property import cached_property
from tinynet._core.checks import type_name
from tinynet.functional import arithmetic, products, reductions, shaping
from tinynet.functional.arithmetic import sum_to_shape
from tinynet.program.formula import Traced
from tinynet.program.symbols import check_product
from tinynet.program.tensor import (
    LOGICAL,
    TABLE,
    Array,
    Tensor,
    TensorMethods,
    as_default,
    as_tensor,
    numbers,
    operand,
)
from tinynet.program.trace import CALL, Instruction, explain_shapes, is_symbolic, record

#: Active gradient tapes, outermost first.
TAPES: ContextVar[tuple[Any, ...]] = ContextVar("tapes", default=())


def _set_item(self: Tensor, key: Any, value: Any) -> None:
    """Set elements in place, unless a tape or a trace would miss the change."""
    if TAPES.get() or CALL.get() is not None:
        raise TypeError(
            "A tensor must not be changed in place inside call() or a GradientTape; use "
            "ops.where, or ops.scatter_update. Received: tensor[...] = ..."
        )
    np.ndarray.__setitem__(self, key, value)


Tensor.__setitem__ = _set_item  # type: ignore[assignment, method-assign]


class Pure(NamedTuple):
    """Pure functions of `functional` that implement an instruction completely.

    `backward` receives the values at the positions `reads` in [upstream gradient, results, inputs].
    If `writes` is not empty, it also receives an output array for the gradient with respect to each
    of these inputs and returns one gradient (or None) per input; otherwise it returns the gradient
    with respect to the first input.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()


class Operation:
    """A function of arrays with its backward function, named as in `keras.ops`.

    ``forward(*inputs, **options)`` is plain NumPy. ``backward(d_y, y, *inputs, **options)`` returns
    the gradient with respect to each input (None for an input without a gradient). If `backward` is
    None, gradients stop at this operation. `inputs` is the number of leading array arguments; None:
    the first argument is a list of arrays. `convert` converts the inputs to the dtypes that
    `forward` requires.
    """

    #: Whether the operation draws random numbers or sets a Variable; such an operation is recorded
    #: even without symbolic inputs.
    stateful = False
    #: Whether the operation keeps buffers, or values for its gradients, in a `Workspace`.
    has_work = False
    #: Function of the operation and its arguments that applies other operations and returns their
    #: result, or returns None if the operation itself applies.
    instead: Callable[..., Any] | None = None

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        backward: Callable[..., Any] | None = None,
        inputs: int | None = 1,
        convert: Callable[[list[Any]], list[Any]] | None = None,
        signature: inspect.Signature | None = None,
    ) -> None:
        self.name, self.forward, self.backward = name, forward, backward
        self.inputs, self.convert = inputs, convert
        self.__name__, self.__doc__ = name, _doc(forward)
        self.__signature__ = signature or _signature(forward)
        self._names = [*self.__signature__.parameters]
        dtype = self.__signature__.parameters.get("dtype")
        self._default_dtype = getattr(dtype, "default", None)

    @cached_property
    def _chooses(self) -> bool:
        """Whether `backward` has an argument `needs`, to skip unneeded gradients."""
        return self.backward is not None and "needs" in inspect.signature(self.backward).parameters

    def accepts(self, keywords: Any) -> bool:
        """Return whether the operation has parameters with these names."""
        return set(keywords) <= set(self._names)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Apply the operation; lists and numbers are converted to arrays."""
        if (
            self.instead is not None
            and (result := self.instead(self, *args, **options)) is not None
        ):
            return result
        n = 1 if self.inputs is None else self.inputs
        if len(args) != n or any(name in options for name in self._names[:n]):
            bound = self.__signature__.bind(*args, **options).arguments
            args = tuple(bound.pop(name) for name in self._names[:n])
            options = bound
        if isinstance(options.get("axis"), list):
            options["axis"] = tuple(options["axis"])
        if "dtype" in options and options["dtype"] is not self._default_dtype:
            options["dtype"] = type_name(options["dtype"], config.floatx())
        inputs = list(args[0]) if self.inputs is None else list(args)
        return apply(self, inputs, options)

    def compute(self, arrays: list[Any], options: dict[str, Any], work: Any = None) -> Any:
        """Compute the result; `work` holds buffers, and values for `gradients`."""
        return self.forward(*arrays, **options)

    def infer(self, arrays: list[Any], options: dict[str, Any]) -> Any:
        """Return arrays with the shapes and dtypes of the results, for inputs of zeros."""
        return self.compute(arrays, options, Workspace())

    def pure(self, inputs: list[Any], needs: list[bool]) -> Pure | None:
        """Return the functions that the numpy backend calls instead of `compute` and `gradients`.

        `needs` marks the inputs that need a gradient. None if the operation has state or buffers.
        """
        return None

    def gradients(
        self, d_y: Any, y: Any, arrays: Any, options: Any, needs: Any, work: Any, outs: Any
    ) -> list[Array | None]:
        """Compute the gradient with respect to each input, in its shape and dtype.

        `needs` marks the inputs that need a gradient, `work` is the `Workspace` that `compute`
        used, and `outs`, if not None, holds an output array (or None) for each input.
        """
        assert self.backward is not None
        if self._chooses:
            options = {**options, "needs": needs}
        found = self.backward(d_y, y, *arrays, **options)
        found = found if isinstance(found, tuple) else (found,)
        whole = isinstance(y, np.ndarray) and y.dtype.kind != "f"  # is not differentiable
        gradients: list[Array | None] = [None] * len(arrays)
        for i, (d, x) in enumerate(zip(found, arrays, strict=True)):
            if not (d is None or whole) and isinstance(x, np.ndarray) and x.dtype.kind == "f":
                gradients[i] = sum_to_shape(np.asanyarray(d), x.shape).astype(x.dtype, copy=False)
        return gradients

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copy an operation of the table as itself, by name."""
        if TABLE.get(self.name) is self:
            return _named, (self.name,)
        return super().__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return f"<operation {self.name}>"


def _named(name: str) -> Any:
    return TABLE[name]


def _doc(forward: Any) -> Any:
    """Return the docstring; for a NumPy function, only the summary.

    Its other sections also describe parameters that tinynet does not support.
    """
    if not (forward.__module__ or "numpy").startswith("numpy"):
        return forward.__doc__
    # The docstring of a ufunc begins with its signature.
    summary = forward.__doc__.split("\n\n", 2)[isinstance(forward, np.ufunc)]
    return f"{summary.strip()}\n\nThis operation computes `numpy.{forward.__name__}`."


def _signature(forward: Callable[..., Any]) -> inspect.Signature:
    """Return the public signature, in which a list of arrays replaces ``*xs``."""
    own = inspect.signature(forward)
    kinds = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY}
    return own.replace(
        parameters=[
            p.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) if p.kind in kinds else p
            for p in own.parameters.values()
        ],
        return_annotation=inspect.Signature.empty,
    )


def apply(operation: Any, inputs: list[Any], options: dict[str, Any]) -> Any:
    """Compute an operation and record it on the active tapes, or in the program being traced."""
    if any(isinstance(i, Traced) for i in inputs):  # a formula is being traced
        return operation.forward(*inputs, **options)
    inputs = [stacked(i) if isinstance(i, list | tuple) else i for i in inputs]
    inputs = [getattr(i, "source", i) for i in inputs]
    if is_symbolic(operation, inputs):
        return record(operation, inputs, options)
    arrays = [*map(operand, inputs)]
    if operation.convert is not None:
        arrays = operation.convert(arrays)
    check_product(operation.name, arrays, options)
    work = Workspace() if operation.has_work else None
    call = CALL.get()
    try:
        if call is not None and call.is_trial:
            result = operation.infer(arrays, options)
        else:
            result = operation.compute(arrays, options, work)
    except ValueError as error:
        explain_shapes(operation, arrays, error)
        raise
    # Variables and the caller's arrays may be changed in place later, but tensors are not.
    kept = [a for i, a in zip(inputs, arrays, strict=True) if not isinstance(i, Tensor)]
    if isinstance(result, tuple):
        outputs: Any = tuple(as_tensor(_apart(y, kept)) for y in result)
    else:
        outputs = as_tensor(_apart(result, kept))
    for tape in TAPES.get():
        first = outputs[0] if isinstance(outputs, tuple) else outputs
        tape.record(Instruction(operation, inputs, options, [first], arrays=arrays, work=work))
    return outputs


def _apart(result: Any, arrays: list[Any]) -> Any:
    """Return a result, copied if it shares memory with one of these arrays."""
    is_view = isinstance(result, np.ndarray) and any(
        np.may_share_memory(result, a) for a in arrays if isinstance(a, np.ndarray)
    )
    return result.copy() if is_view else result


def stacked(values: Any) -> Any:
    """Convert a nested list to an array, or to a tensor if it contains tensors."""
    flat = [stacked(v) if isinstance(v, list | tuple) else v for v in values]
    if any(isinstance(v, TensorMethods) or hasattr(v, "assign") for v in flat):
        return TABLE["stack"](flat)
    return as_default(values)


# ------------------------------------------------------------ dtypes


def _as_array(value: Any) -> Array:
    """Convert to an array; Python scalars get Keras' default dtypes."""
    return value if isinstance(value, np.ndarray) else numbers("x", as_default(value), value)


def as_arrays(values: list[Any]) -> list[Any]:
    """Convert scalars to arrays."""
    return [_as_array(v) for v in values]


def as_floats(values: list[Any]) -> list[Any]:
    """Convert to floats; integers become `config.floatx()`."""
    arrays = as_arrays(values)
    return [a if a.dtype.kind == "f" else a.astype(config.floatx()) for a in arrays]


def alike(values: list[Any]) -> list[Any]:
    """Convert integers to the float dtype of the other operands, so that float32 stays float32."""
    floats = [v.dtype for v in values if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    if not any(isinstance(v, np.ndarray) for v in values):
        return alike(as_arrays(values))
    if not floats:
        if any(isinstance(v, float) for v in values):
            floats = [np.dtype(config.floatx())]
        else:  # bool and a Python int give int32
            is_bool = all(v.dtype == bool for v in values if isinstance(v, np.ndarray))
            with_int = is_bool and any(type(v) is int for v in values)
            return [np.asarray(v, np.int32) for v in values] if with_int else values
    dtype = np.result_type(*floats)
    return [v.astype(dtype, copy=False) if isinstance(v, np.ndarray) else v for v in values]


def alike_floats(values: list[Any]) -> list[Any]:
    """Convert to floats of one dtype."""
    arrays = alike(values)
    if any(isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in arrays):
        return arrays
    return as_floats(arrays)


def as_numbers(values: list[Any]) -> list[Any]:
    """Convert bool to int32."""
    return alike([*as_arrays(values), 0])[:-1]


def as_sums(values: list[Any]) -> list[Any]:
    """Convert bool and short integers to 32 bits, so that sums are less likely to overflow."""
    arrays = as_arrays(values)
    short = {"b": "int32", "i": "int32", "u": "uint32"}
    return [
        a.astype(short[a.dtype.kind]) if a.dtype.kind in short and a.dtype.itemsize < 4 else a
        for a in arrays
    ]


# ------------------------------------------------------------ the table


def _alike_arrays(values: list[Any]) -> list[Any]:
    """Convert to arrays; floats get one dtype."""
    return alike(as_arrays(values))


def _choice(values: list[Any]) -> list[Any]:
    """Convert a condition, and the two operands to one dtype."""
    return [_as_array(values[0]), *alike(values[1:])]


def _chain_rule(slopes: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    """Return the backward function of an elementwise function, given its partial derivatives."""

    def backward(d_y: Array, y: Array, *xs: Any) -> Any:
        return tuple(
            d_y * slope(*xs, y) if isinstance(x, np.ndarray) else None
            for slope, x in zip(slopes, xs, strict=True)
        )

    return backward


def _takes(inputs: int, **options: Any) -> inspect.Signature:
    """Return the signature of a NumPy function in `keras.ops`."""
    names = dict.fromkeys(["x"] if inputs == 1 else ["x1", "x2"], inspect.Parameter.empty)
    return inspect.Signature([_parameter(n, v) for n, v in {**names, **options}.items()])


def _parameter(name: str, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)


def _argmax(x: Array, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return the index of the largest element along an axis, or of the flattened array."""
    return np.asarray(np.argmax(x, axis=axis, keepdims=keepdims)).astype(np.int32)


def _argmin(x: Array, axis: int | None = None, keepdims: bool = False) -> Any:
    """Return the index of the smallest element along an axis, or of the flattened array."""
    return np.asarray(np.argmin(x, axis=axis, keepdims=keepdims)).astype(np.int32)


def _argsort(x: Array, axis: int | None = -1) -> Any:
    """Return the indices that sort x along an axis; equal elements keep their order."""
    return np.argsort(x, axis=axis, kind="stable").astype(np.int32)


def _copy(x: Array) -> Any:
    """Return a copy of x."""
    return x.copy()


def _count_nonzero(x: Array, axis: int | None = None) -> Any:
    """Count the nonzero elements along an axis, or of the whole array."""
    return np.asarray(np.count_nonzero(x, axis), np.int32)


def _digitize(x: Array, bins: Any) -> Any:
    """Return the index of the bin that contains each element, like `numpy.digitize`."""
    return np.digitize(x, bins).astype(np.int32)


def _identity_of(x: Any) -> Any:
    """Return x; its gradient is d_y."""
    return x


def _stop_gradient(variable: Any) -> Any:
    """Return the values of a tensor, without passing gradients to it."""
    return variable


def _one_hot(
    x: Array, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Array:
    """Return one-hot vectors: 1 at the index, else 0; all 0 if the index is out of range."""
    x = np.trunc(x) if x.dtype.kind == "f" else x
    return shaping.one_hot(x, num_classes, axis, dtype or config.floatx())


# Elementwise functions and their partial derivatives; by default, inputs are converted to floats.
_CONVERTED = {
    **dict.fromkeys(("absolute", "negative", "sign"), as_arrays),
    **dict.fromkeys(("add", "subtract", "multiply", "power", "maximum", "minimum", "mod"), alike),
    "square": as_numbers,
}
for _name, (_function, *_slopes) in arithmetic.ELEMENTWISE.items():
    _n = len(_slopes)
    _convert = _CONVERTED.get(_name, as_floats if _n == 1 else alike_floats)
    TABLE[_name] = Operation(
        _name, _function, _chain_rule(_slopes), _n, _convert, signature=_takes(_n)
    )
# Functions of `functional`, with their backward functions if they have one.
for _module, _inputs, _convert, _names in (
    (arithmetic, 1, as_arrays, "nan_to_num"),
    (arithmetic, 3, _choice, "where"),
    (reductions, 1, as_arrays, "max min"),
    (reductions, 1, as_sums, "sum prod"),
    (reductions, 1, as_numbers, "cumsum cumprod"),
    (reductions, 1, as_floats, "mean var std logsumexp"),
    (products, 2, _alike_arrays, "matmul tensordot dot"),
    (shaping, 1, as_arrays, "reshape transpose expand_dims squeeze broadcast_to swapaxes"),
    (shaping, 1, as_arrays, "pad tile repeat flip roll get_item cast diagonal diag tril triu"),
    (shaping, 2, as_arrays, "take take_along_axis gather_nd searchsorted in_top_k"),
    (shaping, 3, as_arrays, "scatter_update"),
    (shaping, None, _alike_arrays, "concatenate stack"),
):
    for _name in _names.split():
        _backward = getattr(_module, f"{_name}_backward", None)
        TABLE[_name] = Operation(_name, getattr(_module, _name), _backward, _inputs, _convert)
# NumPy functions without gradients.
_BOTH = "equal not_equal greater greater_equal less less_equal"
_CLOSE = {"rtol": 1e-5, "atol": 1e-8, "equal_nan": False}
for _names, _inputs, _convert, _options in (
    ("floor ceil", 1, as_floats, {}),
    ("isfinite isinf isnan logical_not trunc", 1, as_arrays, {}),
    (f"{_BOTH} logical_and logical_or logical_xor floor_divide", 2, alike, {}),
    ("all any", 1, as_arrays, {"axis": None, "keepdims": False}),
    ("isclose", 2, alike, _CLOSE),
    ("zeros_like ones_like", 1, as_arrays, {"dtype": None}),
    ("round", 1, as_numbers, {"decimals": 0}),
):
    for _name in _names.split():
        TABLE[_name] = Operation(
            *(_name, getattr(np, _name), None, _inputs, _convert, _takes(_inputs, **_options))
        )
for _function in _argmax, _argmin, _argsort, _count_nonzero, _one_hot, _stop_gradient:
    _name = _function.__name__[1:]
    TABLE[_name] = Operation(_name, _function, convert=as_arrays)
TABLE["digitize"] = Operation("digitize", _digitize, None, 2, as_arrays)
TABLE["identity_of"] = Operation("identity_of", _identity_of, lambda d_y, y, x: d_y, 1, as_arrays)
TABLE["copy"] = Operation("copy", _copy, lambda d_y, y, x: d_y, 1, as_arrays)


def _logical(operation: Operation, *xs: Any, **options: Any) -> Any:
    """Apply the logical operation, which has a kernel, if all inputs of a bitwise one are bools."""
    xs = operation.__signature__.bind(*xs, **options).args
    is_logical = all(getattr(x, "dtype", type(x)) in (bool, "bool") for x in xs)
    return TABLE[LOGICAL[operation.name]](*xs) if is_logical else None


def _integers(values: list[Any]) -> list[Any]:
    """Convert to integers of one dtype, as the operands of a bitwise operation."""
    arrays = alike(values)
    for x in arrays:
        if np.asarray(x).dtype.kind not in "iub":
            raise ValueError(
                "x and y must be integers or bools in a bitwise operation. "
                f"Received: dtype {np.asarray(x).dtype}"
            )
    return arrays


for _name, _function in (
    ("bitwise_and", np.bitwise_and),
    ("bitwise_or", np.bitwise_or),
    ("bitwise_xor", np.bitwise_xor),
    ("bitwise_not", np.invert),
    ("bitwise_left_shift", np.left_shift),
    ("bitwise_right_shift", np.right_shift),
):
    _own = inspect.Signature([_parameter(n) for n in "xy"[: _function.nin]])
    TABLE[_name] = Operation(_name, _function, None, _function.nin, _integers, _own)
    if _name in LOGICAL:
        TABLE[_name].instead = _logical


def _clip_to_arrays(operation: Operation, *args: Any, **options: Any) -> Any:
    """Apply `maximum` and `minimum`, which have gradients, unless both bounds are numbers."""
    plain = {int, float, type(None)}
    if plain.issuperset(map(type, (*args[1:], *options.values()))):
        return None
    y, *bounds = operation.__signature__.bind(*args, **options).args
    bounds = [b.item() if isinstance(b, np.generic) else b for b in bounds]
    if plain.issuperset(map(type, bounds)):
        return operation(y, *bounds)
    y = y if hasattr(y, "dtype") else TABLE["identity_of"](y)
    for limit, bound in zip((TABLE["maximum"], TABLE["minimum"]), bounds, strict=True):
        if type(bound) not in plain and np.dtype(y.dtype).kind == "f":
            bound = TABLE["cast"](bound, y.dtype)
        y = y if bound is None else limit(y, bound)
    return y


TABLE["clip"] = Operation("clip", arithmetic.clip, arithmetic.clip_backward, 1, as_numbers)
TABLE["clip"].instead = _clip_to_arrays


class LookUp(Operation):
    """Lookup of rows of a Variable, which stores their gradients for the optimizer.

    `forward` computes the result from the Variable's array and the indices; `take` by default.
    """

    def __init__(self, table: Any, forward: Callable[[Array, Array], Array] | None = None) -> None:
        take, back = (functools.partial(f, axis=0) for f in (shaping.take, shaping.take_backward))
        super().__init__("take", forward or take, back, 2, as_arrays)
        #: Variable, and whether indices out of range are errors.
        self.table, self.checks = table, forward is not None

    def gradients(self, d_y: Any, y: Any, arrays: list[Any], *rest: Any) -> list[Array | None]:
        """Compute the gradient with respect to the table; append it to the Variable's `parts`."""
        found = super().gradients(d_y, y, arrays, *rest)
        if found[0] is not None:
            assert self.backward is not None
            squares, _ = self.backward(np.square(d_y), y, *arrays)
            self.table.parts = (*self.table.parts[-7:], (np.array(found[0]), squares))
        return found


class CustomGradient(Operation):
    """A custom function, which may run any code; it is called only with arrays that have values."""


class _Einsum(Operation):
    """Sum of products, called as ``einsum(subscripts, *operands)`` or with recorded options."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Expand the subscripts and apply the operation."""
        recorded = "subscripts" in options
        subscripts, *operands = [options["subscripts"], *args] if recorded else args
        rule = products.einsum_rule(subscripts, [*map(np.ndim, operands)])
        return apply(self, [*operands], {"subscripts": rule})


TABLE["einsum"] = _Einsum("einsum", products.einsum, products.einsum_backward, 0, alike)
TABLE["einsum"].__signature__ = inspect.signature(lambda subscripts, *operands, **kwargs: None)


class _Assign(Operation):
    """Set a Variable in place, in order with the other instructions."""

    stateful = True

    def infer(self, arrays: list[Any], options: dict[str, Any]) -> Any:
        """Return an array of the Variable's shape without setting the Variable."""
        array, value = arrays
        if np.shape(value) != array.shape:
            raise ValueError(
                f"value must have the variable's shape {array.shape}. "
                f"Received: shape {np.shape(value)}"
            )
        return np.zeros_like(array)

    def compute(self, arrays: list[Any], options: dict[str, Any], work: Any = None) -> Any:
        """Set the Variable."""
        arrays[0][...] = arrays[1]
        return arrays[0].copy()


def _assigned(variable: Any, value: Any) -> Any:
    """Set a Variable in place; return its new value."""
    return value


TABLE["assign"] = _Assign("assign", _assigned, None, 2)
