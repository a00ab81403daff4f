"""Exercise about a custom layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinynet import initializers, layers, ops
from tinynet.exercises.exercise import AnswerError, Caller, Case, Exercise, Values, as_numbers
from tinynet.exercises.inputs import floats, normal
from tinynet.functional import Array
from tinynet.program import GradientTape
from tinynet.program.variable import Variable


class ParametricReLU(layers.Layer):
    """Layer that computes x where x > 0, and alpha * x elsewhere, with a trainable alpha."""

    def build(self, input_shape: Any) -> None:
        """Create one alpha for each feature."""
        initial = initializers.Constant(0.25)
        self.alpha = self.add_weight((input_shape[-1],), initial, name="alpha")
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        return ops.where(x > 0, x, self.alpha * x)


def _variant(
    shape: Callable[[Any], tuple[int, ...]] = lambda shape: (shape[-1],),
    initial: float = 0.25,
    is_trainable: bool = True,
    rule: Callable[[Any, Any], Any] | None = None,
    negative: Callable[[Any, Any], Any] = lambda x, alpha: alpha * x,
    d_alpha: Callable[[Array, Array], Array] | None = None,
    d_x: Callable[[Array, Array, Array], Array] | None = None,
) -> Any:
    """Create a layer with replaceable parts."""

    class Wrong(ParametricReLU):
        def build(self, input_shape: Any) -> None:
            start = initializers.Constant(initial)
            self.alpha = self.add_weight(
                shape(input_shape), start, name="alpha", trainable=is_trainable
            )
            layers.Layer.build(self, input_shape)

        def call(self, x: Any) -> Any:
            if rule is not None:
                return rule(x, self.alpha)
            return ops.where(x > 0, x, negative(x, self.alpha))

    class WithBackward(Wrong):
        def backward(self, d_y: Array, work: Any, need_d_x: bool = True) -> Array:
            x, alpha = work.x, self.alpha.numpy()
            right = np.sum(d_y * np.minimum(x, 0), axis=0)
            work.gradients[0][...] = right if d_alpha is None else d_alpha(d_y, x)
            return d_y * np.where(x > 0, 1, alpha) if d_x is None else d_x(d_y, x, alpha)

    return Wrong() if d_alpha is None and d_x is None else WithBackward()


def _with_used_buffers(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Fill the gradient buffers with numbers before each call, as in a fit."""

    def wrapped(d_y: Array, work: Any, *args: Any) -> Any:
        for gradient in work.gradients:
            gradient[...] = 7
        return backward(d_y, work, *args)

    return wrapped


def _observe(call: Caller, x: Array, d_y: Array, slopes: Array) -> Values:
    """Return the weights, outputs and gradients of a layer."""

    def use(layer: Any) -> Values:
        if not isinstance(layer, layers.Layer):
            kind = type(layer).__name__
            raise AnswerError(f"must be a subclass of tinynet.layers.Layer. Received: {kind}")
        y = layer(x)
        if type(layer).backward is not layers.Layer.backward:
            vars(layer)["backward"] = _with_used_buffers(layer.backward)
        weights = layer.trainable_weights
        found: Values = {
            "number of weights": len(layer.weights),
            "number of trainable weights": len(weights),
        }
        if len(weights) != 1:
            return found
        alpha = weights[0]
        found["shape of alpha"] = np.array(alpha.shape)
        if tuple(alpha.shape) != slopes.shape:
            return found
        y, training = as_numbers("y", y), as_numbers("y in training", layer(x, training=True))
        found |= {
            "initial alpha": alpha.numpy(),
            "mode": np.array_equal(y, training, equal_nan=True),
            "y": y,
        }
        found["free"] = alpha.constraint is None and alpha.regularizer is None
        alpha.assign(slopes)
        found["y for another alpha"] = as_numbers("y", layer(inputs := Variable(x)))
        found["weights"] = len(layer.weights)

        def gradients(source: Any, *wanted: Any) -> Sequence[Any]:
            with GradientTape() as tape:
                total = ops.sum(layer(source) * d_y)
            return tape.gradient(total, wanted)

        both, (first,) = gradients(inputs, inputs, alpha), gradients(x, alpha)
        for word, gradient in zip(("x", "alpha"), both, strict=True):
            if gradient is not None:
                name = f"gradient with respect to {word}"
                found[name] = as_numbers(name, gradient)
        found["always"] = first is None or np.allclose(first, both[1], 1e-4)  # need_d_x is False
        return found

    return call(convert=use)


def _case(n: int, d: int, about: str = "", why: str = "") -> Case:
    scale = np.where(np.arange(n) % 2, 1, 10)[:, None].astype(np.float32)
    arrays = (scale * normal(n, d, seed=n), normal(n, d, seed=8), floats([2, -0.5, 0.5, 3][:d]))
    return Case(arrays, about, why)


def _quantities(name: str, x: Array, d_y: Array, alpha: Array) -> Values:
    """Return the values of which a result is a function."""
    if name == "y":
        return {"alpha": np.full(x.shape, 0.25), "x": x}
    found = {"alpha": alpha + 0 * x, "x": x}
    if name == "gradient with respect to x":
        return found | {"d_y": d_y}
    if name == "gradient with respect to alpha":
        return {
            "d_y * minimum(x, 0)": d_y * np.minimum(x, 0),
            "d_y * x": d_y * x,
            "x": x,
            "d_y": d_y,
            "alpha": alpha,
            "N": len(x),
            "D": x.shape[1],
        }
    return found


CUSTOM_LAYER = Exercise(
    quantities=_quantities,
    name="custom_layer",
    solution=[ParametricReLU],
    variants=_variant,
    observe=_observe,
    inputs=["x", "d_y", "alpha"],
    meaning={
        "number of weights": "the layer must have one trainable weight: create alpha in "
        "build with self.add_weight, for an input of shape (N, D)",
        "shape of alpha": "alpha must have the shape (D,): input_shape[-1] is D",
        "initial alpha": "alpha must be 0.25 initially: initializers.Constant(0.25)",
        "mode": "y must be the same in training (training=True) and in inference",
        "free": "alpha must have no constraint and no regularizer",
        "weights": "the layer must have one weight, and not create another in each call",
        "always": "the gradient with respect to alpha is not written if need_d_x is False, as in "
        "the first layer of a model: then only the gradient with respect to x is not needed",
        "gradient with respect to x": "the gradient with respect to x is wrong: it is d_y where "
        "x > 0, else alpha * d_y",
        "gradient with respect to alpha": "the gradient with respect to alpha is missing or wrong: "
        "use self.alpha in operations of tinynet.ops (not self.alpha.array or .numpy()), or write "
        "the sum of d_y * x over the negative x into work.gradients[0]",
    },
    cases=[
        _case(5, 3),
        _case(16, 2),
        _case(1, 4, "a batch of one row", "alpha has the shape (D,)"),
    ],
    mistakes={
        "is_trainable": {
            "alpha is not trainable": False,
        },
        "shape": {
            "alpha is a scalar: create one for each feature, with the shape (input_shape[-1],)":
                lambda shape: (),
            "alpha has the shape (1,): create one for each feature, with the shape "
            "(input_shape[-1],)": lambda shape: (1,),
        },
        "rule": {
            "alpha is ignored: y is relu(x)": lambda x, alpha: ops.relu(x) + 0 * alpha,
            "alpha multiplies positive x instead of negative x":
                lambda x, alpha: ops.where(x > 0, alpha * x, x),
            "alpha multiplies all x": lambda x, alpha: alpha * x,
            "y is x for negative x, too": lambda x, alpha: x + 0 * alpha,
            "x is compared with alpha instead of 0":
                lambda x, alpha: ops.where(x > alpha, x, alpha * x),
            "y uses the fixed slope 0.25 instead of alpha":
                lambda x, alpha: ops.where(x > 0, x, 0.25 * x) + 0 * alpha,
            "y is max(x, alpha * x), which is wrong for alpha > 1":
                lambda x, alpha: ops.maximum(x, alpha * x),
        },
        "negative": {
            "y is alpha instead of alpha * x for negative x": lambda x, a: a + 0 * x,
            "y has the wrong sign for negative x: it is alpha * x": lambda x, a: -a * x,
            "y is an exponential linear unit, alpha * (exp(x) - 1), for negative x":
                lambda x, a: a * (ops.exp(x) - 1),
            "y uses the absolute value of alpha": lambda x, a: ops.abs(a) * x,
            "y clips alpha to at most 1": lambda x, a: ops.minimum(a, 1.0) * x,
            "y clips alpha to at least 0": lambda x, a: ops.maximum(a, 0.0) * x,
        },
        "d_alpha": {
            "the gradient with respect to alpha is averaged over the batch: sum it":
                lambda d, x: np.mean(d * np.minimum(x, 0), axis=0),
            "the gradient with respect to alpha ignores the upstream gradient d_y":
                lambda d, x: np.sum(np.minimum(x, 0), axis=0),
            "the gradient with respect to alpha is added to the buffer, whose values are not 0 "
            "before: write work.gradients[0][...] = ...":
                lambda d, x: 7 + np.sum(d * np.minimum(x, 0), axis=0),
            "the gradient with respect to alpha is not written: work.gradients[0][...] = ... (not "
            "work.gradients[0] = ...)": lambda d, x: np.full(x.shape[1:], 7, np.float32),
            "the gradient with respect to alpha is that of positive x":
                lambda d, x: np.sum(d * np.maximum(x, 0), axis=0),
            "the gradient with respect to alpha lacks the factor x":
                lambda d, x: np.sum(d * (x <= 0), axis=0),
        },
        "d_x": {
            "the gradient with respect to x is 0 for negative x, that of relu: it is alpha * d_y":
                lambda d, x, alpha: d * (x > 0),
            "the gradient with respect to x ignores the upstream gradient d_y":
                lambda d, x, alpha: np.where(x > 0, 1, alpha) + 0 * d,
            "the gradient with respect to x is d_y for negative x, too: it is alpha * d_y":
                lambda d, x, alpha: d,
        },
    },
)  # fmt: skip
