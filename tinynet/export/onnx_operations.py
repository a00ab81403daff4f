"""Conversion of tinynet operations to ONNX nodes, as functions of a graph and tensor names."""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet._core import checks
from tinynet.program.variable import Array

#: Type of the first argument of the functions; ``g(op, *inputs, **attributes)`` adds a node.
Graph = Any


def _same(op: str) -> Callable[..., str]:
    """Return a function that adds one node."""
    return lambda g, *inputs: g(op, *inputs)


def _reduction(op: str) -> Any:
    def write(g: Graph, x: str, axis: Any = None, keepdims: bool = False) -> str:
        axes, keep = g.axes(axis), int(keepdims)
        if op == "ReduceSum":  # its axes are an input in this version
            return g(op, x, axes, keepdims=keep)
        return g(op, x, axes=axes, keepdims=keep)

    return write


def _var(g: Graph, x: str, axis: Any = None, keepdims: bool = False) -> str:
    centered = g("Sub", x, g("ReduceMean", x, axes=g.axes(axis), keepdims=1))
    return _reduction("ReduceMean")(g, g("Mul", centered, centered), axis, keepdims)


def _logical(op: str) -> Any:
    def write(g: Graph, x: str, axis: Any = None, keepdims: bool = False) -> str:
        return g.cast(_reduction(op)(g, g.cast(g.cast(x, "bool"), "int32"), axis, keepdims), "bool")

    return write


def _argument(op: str) -> Any:
    def write(g: Graph, x: str, axis: int = 0, keepdims: bool = False) -> str:
        return g.cast(g(op, x, axis=axis, keepdims=int(keepdims)), "int32")

    return write


def _tensordot(g: Graph, x1: str, x2: str, axes: Any = 2) -> str:
    n1, n2 = (len(i.shape) for i in g.instruction.inputs)
    if isinstance(axes, int):
        axes = range(n1 - axes, n1), range(axes)
    pairs = [[a % n for a in np.atleast_1d(own)] for own, n in zip(axes, (n1, n2), strict=True)]
    left, right = string.ascii_lowercase[:n1], [*string.ascii_uppercase[:n2]]
    for a, b in zip(*pairs, strict=True):
        right[b] = left[a]
    kept = [c for c in (*left, *right) if (c in left) + (c in right) == 1]
    return g("Einsum", x1, x2, equation=f"{left},{''.join(right)}->{''.join(kept)}")


def _dot(g: Graph, x1: str, x2: str) -> str:
    n1, n2 = (len(i.shape) for i in g.instruction.inputs)
    if n1 == 0 or n2 == 0:
        return g("Mul", x1, x2)
    return g("MatMul", x1, x2) if n2 <= 2 else _tensordot(g, x1, x2, (n1 - 1, n2 - 2))


def _squeeze(g: Graph, x: str, axis: Any = None) -> str:
    ones = [k for k, size in enumerate(g.shape()) if size == 1]
    return g("Squeeze", x, ones if axis is None else g.axes(axis))


def _transpose(g: Graph, x: str, axes: Any = None) -> str:
    n = len(g.shape())
    return g("Transpose", x, perm=[a % n for a in (range(n)[::-1] if axes is None else axes)])


def _swapaxes(g: Graph, x: str, axis1: int, axis2: int) -> str:
    order = [*range(len(g.shape()))]
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return g("Transpose", x, perm=order)


def _pad(g: Graph, x: str, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> str:
    width = np.broadcast_to(np.asarray(pad_width), (len(g.shape()), 2)).T.ravel().tolist()
    return g("Pad", x, width, *[constant_values][: mode == "constant"], mode=mode)


def _tile(g: Graph, x: str, repeats: Any) -> str:
    repeats, n = [*np.atleast_1d(repeats)], len(g.shape())
    if len(repeats) > n:
        x = g("Unsqueeze", x, [*range(len(repeats) - n)])
    return g("Tile", x, [1] * (n - len(repeats)) + repeats)


def _flip(g: Graph, x: str, axis: Any = None) -> str:
    for a in g.axes(axis):
        x = g.gather(x, a, lambda indices: indices[::-1])
    return x


def _get_item(g: Graph, x: str, key: Any) -> str:
    keys = [*key] if isinstance(key, tuple) else [key]
    places = [k for k, own in enumerate(keys) if own is ...] or [len(keys)]
    rest = len(g.shape()) - sum(own is not None and own is not ... for own in keys)
    keys[places[0] : places[0] + 1] = [slice(None)] * rest
    squeezed: list[int] = []
    new: list[int] = []
    at = 0
    for own in keys:
        if own is None:
            new.append(at - len(squeezed) + len(new))
            continue
        if isinstance(own, slice) and own != slice(None):
            step = own.step or 1
            begin, end = (0, 2**62) if step > 0 else (2**62, -(2**62))
            begin = begin if own.start is None else own.start
            end = end if own.stop is None else own.stop
            x = g("Slice", x, [begin], [end], [at], [step])
        elif not isinstance(own, slice):
            indices, others = np.asarray(own), [k for k in keys if not isinstance(k, slice | None)]
            is_list = indices.dtype.kind in "iu" and indices.ndim == 1 and len(others) == 1
            either = "slices and integers, or of slices and one list of integers"
            expected = f"To be exported, the key of x[key] must consist of {either}"
            received = f"key={checks.shorten(key)}"
            checks.require(is_list or indices.ndim == 0, expected, received)
            squeezed += [at] * (indices.ndim == 0)
            x = g("Gather", x, np.atleast_1d(indices).tolist(), axis=at)
        at += 1
    x = g("Squeeze", x, squeezed) if squeezed else x
    return g("Unsqueeze", x, new) if new else x


def _argsort(g: Graph, x: str, axis: int = -1) -> str:
    return g.cast(g("TopK", x, [g.shape()[axis]], other_outputs=1, axis=axis, largest=0), "int32")


def _one_hot(g: Graph, x: str, num_classes: int, axis: int = -1, dtype: Any = None) -> str:
    axis %= len(g.shape()) + 1
    classes = np.arange(num_classes).reshape(-1, *[1] * (len(g.shape()) - axis))
    return g.cast(g("Equal", g("Unsqueeze", g.cast(x, "int64"), [axis]), classes), g.result_dtype)


def _normalized(
    g: Graph, x: str, mean: Array, variance: Array, gamma: Any, beta: Any, epsilon: float
) -> str:
    scale = 1 / np.sqrt(variance.astype(np.float64) + epsilon)
    scale = scale if gamma is None else scale * gamma
    # Subtract the mean first, as the layer does, to avoid cancellation for a large mean.
    y = g("Mul", g("Sub", x, mean), scale)
    return y if beta is None else g("Add", y, beta)


def _linear(g: Graph, x: Any, kernel: Any, bias: Any) -> str:
    z = g("MatMul", x, kernel)
    return z if bias is None else g("Add", z, bias)


def _mod(g: Graph, x1: Any, x2: Any) -> str:
    if g.dtype.kind != "f":
        return g("Mod", x1, x2)
    return g("Sub", x1, g("Mul", g("Floor", g("Div", x1, x2)), x2))


def _floor_divide(g: Graph, x1: Any, x2: Any) -> str:
    if g.dtype.kind == "f":
        return g("Floor", g("Div", x1, x2))
    return g("Div", g("Sub", x1, g("Mod", x1, x2)), x2)


def _clip(g: Graph, x: str, x_min: Any = None, x_max: Any = None) -> str:
    x = x if x_min is None else g("Max", x, x_min)
    return x if x_max is None else g("Min", x, x_max)


def _round(g: Graph, x: str, decimals: int = 0) -> str:
    return g("Div", g("Round", g("Mul", x, 10.0**decimals)), 10.0**decimals)


def _rectifier(
    g: Graph, x: str, negative_slope: float = 0, max_value: Any = None, threshold: float = 0
) -> str:
    if not threshold and max_value is None:
        return g("LeakyRelu", x, alpha=negative_slope) if negative_slope else g("Relu", x)
    above = x if max_value is None else g("Max", g("Min", x, max_value), 0)
    below = g("Mul", g("Sub", x, threshold), negative_slope)
    return g("Where", g("Greater", x, threshold), above, below)


def _gelu(g: Graph, x: str, approximate: bool) -> str:
    if approximate:
        cube = g("Mul", g("Mul", g("Mul", x, x), x), 0.044715)
        wave = g("Tanh", g("Mul", g("Add", x, cube), math.sqrt(2 / math.pi)))
    else:
        wave = g("Erf", g("Mul", x, math.sqrt(0.5)))
    return g("Mul", g("Mul", x, 0.5), g("Add", wave, 1))


def _hard_sigmoid(g: Graph, x: str) -> str:
    return g("HardSigmoid", x, alpha=1 / 6, beta=0.5)


#: ONNX operators with the same inputs and options, by the names of operations.
_NODES = {
    **{
        name: name.removeprefix("logical_").replace("arc", "a").capitalize()
        for name in (
            *("arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "ceil", "cos", "cosh"),
            *("equal", "erf", "exp", "floor", "greater", "less", "log", "logical_and"),
            *("logical_not", "logical_or", "logical_xor", "reciprocal", "sign", "sin", "sinh"),
            *("add", "sqrt", "tan", "tanh", "where"),
        )
    },
    "absolute": "Abs",
    **dict.fromkeys(("copy", "identity_of", "stop_gradient"), "Identity"),
    "divide": "Div",
    "greater_equal": "GreaterOrEqual",
    "isinf": "IsInf",
    "isnan": "IsNaN",
    "less_equal": "LessOrEqual",
    "matmul": "MatMul",
    "maximum": "Max",
    "minimum": "Min",
    "multiply": "Mul",
    "negative": "Neg",
    "power": "Pow",
    "subtract": "Sub",
}

OPERATIONS: dict[str, Callable[..., str]] = {
    **{name: _same(op) for name, op in _NODES.items()},
    **{n: _reduction(f"Reduce{n.capitalize()}") for n in ("max", "mean", "min", "prod", "sum")},
    "all": _logical("ReduceMin"),
    "any": _logical("ReduceMax"),
    "argmax": _argument("ArgMax"),
    "argmin": _argument("ArgMin"),
    "argsort": _argsort,
    "broadcast_to": lambda g, x, shape: g("Expand", x, [*shape]),
    "cast": lambda g, x, dtype: g.cast(x, dtype),
    "clip": _clip,
    "concatenate": lambda g, *xs, axis=-1: g("Concat", *xs, axis=axis),
    "cumsum": lambda g, x, axis=0: g("CumSum", x, np.array(axis)),
    "dot": _dot,
    "expand_dims": lambda g, x, axis: g("Unsqueeze", x, g.axes(axis)),
    "expm1": lambda g, x: g("Sub", g("Exp", x), 1),
    "flatten": lambda g, x: g("Flatten", x, axis=1),
    "flip": _flip,
    "floor_divide": _floor_divide,
    "get_item": _get_item,
    "hypot": lambda g, x1, x2: g("Sqrt", g("Add", g("Mul", x1, x1), g("Mul", x2, x2))),
    "isfinite": lambda g, x: g("Not", g("Or", g("IsInf", x), g("IsNaN", x))),
    "linear": _linear,
    "log10": lambda g, x: g("Div", g("Log", x), math.log(10)),
    "log1p": lambda g, x: g("Log", g("Add", x, 1)),
    "log2": lambda g, x: g("Div", g("Log", x), math.log(2)),
    "logsumexp": _reduction("ReduceLogSumExp"),
    "mod": _mod,
    "normalized": _normalized,
    "not_equal": lambda g, x1, x2: g("Not", g("Equal", x1, x2)),
    "one_hot": _one_hot,
    "ones_like": lambda g, x: g("Expand", 1, g("Shape", x)),
    "pad": _pad,
    "repeat": lambda g, x, repeats, axis: g.gather(x, axis, lambda i: np.repeat(i, repeats)),
    "reshape": lambda g, x, newshape: g("Reshape", x, np.atleast_1d(newshape).tolist()),
    "reshape_examples": lambda g, x, target: g("Reshape", x, [0, *target]),
    "roll": lambda g, x, shift, axis: g.gather(x, axis, lambda i: np.roll(i, shift)),
    "round": _round,
    "rsqrt": lambda g, x: g("Reciprocal", g("Sqrt", x)),
    "square": lambda g, x: g("Mul", x, x),
    "squeeze": _squeeze,
    "stack": lambda g, *xs, axis=0: g(
        "Concat", *(g("Unsqueeze", x, [axis]) for x in xs), axis=axis
    ),
    "std": lambda g, x, axis=None, keepdims=False: g("Sqrt", _var(g, x, axis, keepdims)),
    "swapaxes": _swapaxes,
    "take": lambda g, x, indices, axis=0: g("Gather", x, indices, axis=axis),
    "take_along_axis": lambda g, x, indices, axis=0: g("GatherElements", x, indices, axis=axis),
    "tensordot": _tensordot,
    "tile": _tile,
    "transpose": _transpose,
    "tril": lambda g, x, k=0: g("Trilu", x, np.array(k), upper=0),
    "triu": lambda g, x, k=0: g("Trilu", x, np.array(k), upper=1),
    "trunc": lambda g, x: g("Mul", g("Sign", x), g("Floor", g("Abs", x))),
    "var": _var,
    "zeros_like": lambda g, x: g("Expand", 0, g("Shape", x)),
}
#: Operations that flatten their input if no axis is given.
FLATTENING = ("argmax", "argmin", "cumsum", "take", "take_along_axis")

ACTIVATIONS: dict[str, Callable[..., str]] = {
    **{n: _same(n.capitalize()) for n in ("selu", "sigmoid", "softplus", "softsign", "tanh")},
    **dict.fromkeys(("leaky_relu", "relu", "relu6"), _rectifier),
    "elu": lambda g, x, alpha: g("Elu", x, alpha=alpha),
    "exponential": _same("Exp"),
    "gelu": _gelu,
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": lambda g, x: g("Mul", x, _hard_sigmoid(g, x)),
    "linear": _same("Identity"),
    "log_softmax": lambda g, x, axis: g("LogSoftmax", x, axis=axis),
    "mish": lambda g, x: g("Mul", x, g("Tanh", g("Softplus", x))),
    "silu": lambda g, x: g("Mul", x, g("Sigmoid", x)),
    "softmax": lambda g, x, axis: g("Softmax", x, axis=axis),
}
