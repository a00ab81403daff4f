"""Keras' backend module: settings, and the functions of Keras 2 that are usually called as ``K.*``.

``from tensorflow.keras import backend as K`` provides these functions: operations of `tinynet.ops`
with the names, arguments and defaults of Keras 2.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from tinynet import layers, random
from tinynet import ops as _ops
from tinynet._core.checks import type_name
from tinynet.config import backend, epsilon, floatx, set_epsilon, set_floatx
from tinynet.program import Tensor, Variable
from tinynet.utils import clear_session

ops: Any = _ops

__all__ = ["backend", "clear_session", "epsilon", "floatx", "set_epsilon", "set_floatx"]


# Functions with the same arguments and defaults as in `ops`.
_SAME = (
    *("all", "any", "arange", "cast", "cos", "dot", "dtype", "elu", "equal", "exp", "greater"),
    *("greater_equal", "less", "less_equal", "log", "max", "maximum", "mean", "min", "minimum"),
    *("ndim", "not_equal", "one_hot", "ones", "ones_like", "prod", "round", "shape", "sigmoid"),
    *("sign", "sin", "softmax", "softplus", "softsign", "square", "squeeze", "stack", "std"),
    *("stop_gradient", "sum", "tanh", "transpose", "var", "zeros", "zeros_like"),
    *("categorical_crossentropy", "sparse_categorical_crossentropy"),
)
_FUNCTIONS: dict[str, Any] = {
    **{name: getattr(ops, name) for name in _SAME},
    "abs": ops.absolute,
    "argmax": lambda x, axis=-1: ops.cast(ops.argmax(x, axis), "int64"),
    "argmin": lambda x, axis=-1: ops.cast(ops.argmin(x, axis), "int64"),
    "batch_flatten": lambda x: ops.reshape(x, (-1, int(np.prod(x.shape[1:])))),
    "clip": lambda x, min_value, max_value: ops.clip(x, min_value, max_value),
    "concatenate": lambda tensors, axis=-1: ops.concatenate(tensors, axis),
    "count_params": lambda x: int(np.prod(x.shape)),
    "cumprod": lambda x, axis=0: ops.cumprod(x, axis),
    "cumsum": lambda x, axis=0: ops.cumsum(x, axis),
    "eval": lambda x: np.array(x),
    "expand_dims": lambda x, axis=-1: ops.expand_dims(x, axis),
    "flatten": lambda x: ops.reshape(x, (-1,)),
    "gather": lambda reference, indices: ops.take(reference, indices, axis=0),
    "hard_sigmoid": lambda x: ops.clip(x * 0.2 + 0.5, 0.0, 1.0),
    "in_top_k": lambda predictions, targets, k: ops.in_top_k(targets, predictions, k),
    "int_shape": lambda x: tuple(x.shape),
    "permute_dimensions": lambda x, pattern: ops.transpose(x, pattern),
    "pow": lambda x, a: ops.power(x, a),
    "repeat_elements": lambda x, rep, axis: ops.repeat(x, rep, axis),
    "reshape": lambda x, shape: ops.reshape(x, shape),
    "reverse": lambda x, axes: ops.flip(x, axes),
    "sqrt": lambda x: ops.sqrt(ops.maximum(x, 0.0)),
    "tile": lambda x, n: ops.tile(x, n),
    "random_normal": random.normal,
    "random_uniform": random.uniform,
    "truncated_normal": random.truncated_normal,
    "update": lambda x, new_x: x.assign(new_x),
    "update_add": lambda x, increment: x.assign_add(increment),
    "update_sub": lambda x, decrement: x.assign_sub(decrement),
}


def _batch_dot(x: Any, y: Any, axes: Any = None) -> Any:
    if axes is None:
        axes = (len(x.shape) - 1, 1 if len(y.shape) == 2 else len(y.shape) - 2)
    return layers.dot([x, y], axes)


def _binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    if from_logits:
        return ops.binary_crossentropy(target, output, from_logits=True)
    output, small = ops.clip(output, epsilon(), 1 - epsilon()), epsilon()
    return -(target * ops.log(output + small) + (1 - target) * ops.log(1 - output + small))


def _cast_to_floatx(x: Any) -> Any:
    return ops.cast(x, floatx()) if isinstance(x, Tensor | Variable) else np.asarray(x, floatx())


def _constant(value: Any, dtype: Any = None, shape: Any = None, name: Any = None) -> Any:
    value = np.asarray(value, type_name(dtype, floatx()))
    return ops.convert_to_tensor(value if shape is None else np.broadcast_to(value, shape))


def _l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12) -> Any:
    return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis, keepdims=True), epsilon))


def _relu(x: Any, alpha: float = 0.0, max_value: Any = None, threshold: float = 0.0) -> Any:
    return ops.relu(x, alpha, max_value, threshold)


def _switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    then, other = (e() if callable(e) else e for e in (then_expression, else_expression))
    condition = ops.cast(condition, "bool")
    missing = (1,) * (len(np.shape(then)) - len(condition.shape))
    return ops.where(ops.reshape(condition, (*condition.shape, *missing)), then, other)


def _variable(value: Any, dtype: Any = None, name: Any = None, constraint: Any = None) -> Variable:
    made = Variable(np.asarray(value, type_name(dtype, floatx())), name=name or "variable")
    made.constraint = constraint
    return made


_OWN = {n[1:]: f for n, f in [*globals().items()] if n[0] == "_" and inspect.isfunction(f)}
# Not defined with `def`, because some of these names would shadow Python's built-in functions.
globals().update(_FUNCTIONS | _OWN)
