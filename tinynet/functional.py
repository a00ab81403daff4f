"""The maths: every formula of the library, forward next to backward, in plain NumPy.

Nothing here has state. A forward function takes arrays and returns an array. Its backward
function takes ``d_y``, the gradient of the loss in the forward function's result, and returns
the gradient in its input: the chain rule, one link at a time. ``d_x`` always has ``x``'s shape.

Every function can write into an array that the caller gives as its last argument (``out`` or
the name of the gradient), so that training allocates nothing; without one it makes a new array.

Dimensions: N examples in a batch, D inputs, U units, C classes, P parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# ---------------------------------------------------------------- the layer of a dense net


def dense(x: Array, kernel: Array, bias: Array | None = None, out: Array | None = None) -> Array:
    """Compute a dense layer: ``y = x @ kernel + bias``.

    Parameters
    ----------
    x : ndarray, shape (N, D)
        The inputs.
    kernel : ndarray, shape (D, U)
        The weights.
    bias : ndarray, shape (U,), optional
        Added to every row.
    out : ndarray, shape (N, U), optional
        Where to write the result.

    Returns
    -------
    ndarray, shape (N, U)
        The outputs.

    Examples
    --------
    >>> x, kernel, bias = np.array([[1.0, 2.0]]), np.array([[1.0], [3.0]]), np.array([0.5])
    >>> dense(x, kernel, bias)
    array([[7.5]])
    """
    y: Array = np.matmul(x, kernel, out=out)
    if bias is not None:
        y += bias
    return y


def dense_gradients(x: Array, d_y: Array, d_kernel: Array, d_bias: Array | None) -> None:
    """Compute the gradients of a dense layer's weights.

    From ``y = x @ kernel + bias``: ``d_kernel = x.T @ d_y``, and every row of ``y`` holds
    ``bias`` once, so that ``d_bias`` is the sum of ``d_y``'s rows.

    Parameters
    ----------
    x : ndarray, shape (N, D)
        The inputs.
    d_y : ndarray, shape (N, U)
        The gradient in the outputs.
    d_kernel : ndarray, shape (D, U)
        Written: the gradient in the weights.
    d_bias : ndarray, shape (U,), or None
        Written: the gradient in the bias, where there is one.

    Examples
    --------
    >>> x, d_y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0], [10.0]])
    >>> d_kernel, d_bias = np.empty((2, 1)), np.empty(1)
    >>> dense_gradients(x, d_y, d_kernel, d_bias)
    >>> d_kernel, d_bias
    (array([[31.],
           [42.]]), array([11.]))
    """
    np.matmul(x.T, d_y, out=d_kernel)
    if d_bias is not None:
        np.sum(d_y, axis=0, out=d_bias)


def dense_backward(d_y: Array, kernel: Array, out: Array | None = None) -> Array:
    """Compute the gradient in a dense layer's input.

    From ``y = x @ kernel + bias``: ``d_x = d_y @ kernel.T``.

    Parameters
    ----------
    d_y : ndarray, shape (N, U)
        The gradient in the outputs.
    kernel : ndarray, shape (D, U)
        The weights.
    out : ndarray, shape (N, D), optional
        Where to write the result.

    Returns
    -------
    ndarray, shape (N, D)
        The gradient in the inputs.

    Examples
    --------
    >>> dense_backward(np.array([[2.0]]), np.array([[1.0], [3.0]]))
    array([[2., 6.]])
    """
    d_x: Array = np.matmul(d_y, kernel.T, out=out)
    return d_x


# ---------------------------------------------------------------- activations


def linear(x: Array, out: Array | None = None) -> Array:
    """Return the input: ``y = x``.

    Parameters
    ----------
    x : ndarray
        The inputs, of any shape.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray
        The outputs.

    Examples
    --------
    >>> linear(np.array([-1.0, 2.0]))
    array([-1.,  2.])
    """
    return np.positive(x, out=out)


def linear_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `linear`: ``d_x = d_y``.

    Parameters
    ----------
    d_y : ndarray
        The gradient in the outputs.
    x, y : ndarray
        The inputs and the outputs.
    out : ndarray, optional
        Where to write the result; may be `d_y`.

    Returns
    -------
    ndarray
        The gradient in the inputs.

    Examples
    --------
    >>> linear_backward(np.array([3.0]), np.array([1.0]), np.array([1.0]))
    array([3.])
    """
    return np.positive(d_y, out=out)


def relu(x: Array, out: Array | None = None) -> Array:
    """Compute the rectifier: ``y = max(x, 0)``.

    Parameters
    ----------
    x : ndarray
        The inputs, of any shape.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    ndarray
        The outputs.

    Examples
    --------
    >>> relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    y: Array = np.maximum(x, 0, out=out)
    return y


def relu_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `relu`: ``d_x = d_y`` where ``y > 0``, else 0.

    Parameters
    ----------
    d_y : ndarray
        The gradient in the outputs.
    x, y : ndarray
        The inputs and the outputs; only `y` is read.
    out : ndarray, optional
        Where to write the result; may be `d_y`.

    Returns
    -------
    ndarray
        The gradient in the inputs; 0 at ``x = 0``.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> relu_backward(np.array([5.0, 5.0, 5.0]), x, relu(x))
    array([0., 0., 5.])
    """
    d_x: Array = np.multiply(d_y, y > 0, out=out)
    return d_x


def rectifier(
    x: Array,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    out: Array | None = None,
) -> Array:
    """Compute Keras' rectifier with all its options.

    ``y = min(x, max_value)`` where ``x > threshold``, else
    ``y = negative_slope * (x - threshold)``.

    Parameters
    ----------
    x : ndarray
        The inputs, of any shape.
    negative_slope : float
        The slope below `threshold`.
    max_value : float, optional
        The largest output.
    threshold : float
        Where the rectifier opens.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray
        The outputs.

    Examples
    --------
    >>> rectifier(np.array([-2.0, 0.5, 2.0, 9.0]), 0.5, 6.0, 1.0)
    array([-1.5 , -0.25,  2.  ,  6.  ])
    """
    slope, opening = x.dtype.type(negative_slope), x.dtype.type(threshold)
    above = x if max_value is None else np.minimum(x, x.dtype.type(max_value))
    return linear(np.where(x > opening, above, slope * (x - opening)), out)


def rectifier_backward(
    d_y: Array,
    x: Array,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    out: Array | None = None,
) -> Array:
    """Compute the gradient of `rectifier`: its slope is 1, 0 above `max_value`, or the given one.

    Parameters
    ----------
    d_y : ndarray
        The gradient in the outputs.
    x : ndarray
        The inputs.
    negative_slope, max_value, threshold : float
        As in the forward function.
    out : ndarray, optional
        Where to write the result; may be `d_y`.

    Returns
    -------
    ndarray
        The gradient in the inputs.

    Examples
    --------
    >>> rectifier_backward(np.ones(4), np.array([-2.0, 0.5, 2.0, 9.0]), 0.5, 6.0, 1.0)
    array([0.5, 0.5, 1. , 0. ])
    """
    slope: Array = np.where(x > x.dtype.type(threshold), 1.0, negative_slope).astype(x.dtype)
    if max_value is not None:
        slope *= x < x.dtype.type(max_value)
    d_x: Array = np.multiply(d_y, slope, out=out)
    return d_x


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """Compute the logistic function: ``y = 1 / (1 + exp(-x))``.

    Written with tanh, it never overflows: ``y = (1 + tanh(x / 2)) / 2``.

    Parameters
    ----------
    x : ndarray
        The inputs, of any shape.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    ndarray
        The outputs, between 0 and 1.

    Examples
    --------
    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    half = x.dtype.type(0.5)
    y: Array = np.multiply(x, half, out=out)
    np.tanh(y, out=y)
    y *= half
    y += half
    return y


def sigmoid_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `sigmoid`: ``d_x = d_y * y * (1 - y)``.

    Parameters
    ----------
    d_y : ndarray
        The gradient in the outputs.
    x, y : ndarray
        The inputs and the outputs; only `y` is read.
    out : ndarray, optional
        Where to write the result; may be `d_y`.

    Returns
    -------
    ndarray
        The gradient in the inputs.

    Examples
    --------
    >>> sigmoid_backward(np.array([8.0]), np.array([0.0]), np.array([0.5]))
    array([2.])
    """
    d_x: Array = np.multiply(d_y, y * (1 - y), out=out)
    return d_x


def tanh(x: Array, out: Array | None = None) -> Array:
    """Compute the hyperbolic tangent.

    Parameters
    ----------
    x : ndarray
        The inputs, of any shape.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    ndarray
        The outputs, between -1 and 1.

    Examples
    --------
    >>> tanh(np.array([0.0]))
    array([0.])
    """
    y: Array = np.tanh(x, out=out)
    return y


def tanh_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `tanh`: ``d_x = d_y * (1 - y**2)``.

    Parameters
    ----------
    d_y : ndarray
        The gradient in the outputs.
    x, y : ndarray
        The inputs and the outputs; only `y` is read.
    out : ndarray, optional
        Where to write the result; may be `d_y`.

    Returns
    -------
    ndarray
        The gradient in the inputs.

    Examples
    --------
    >>> tanh_backward(np.array([4.0]), np.array([0.0]), np.array([0.5]))
    array([3.])
    """
    d_x: Array = np.multiply(d_y, 1 - y * y, out=out)
    return d_x


def softmax(x: Array, out: Array | None = None) -> Array:
    """Turn scores into probabilities along the last axis: ``y = exp(x) / sum(exp(x))``.

    The largest score is subtracted first: it changes nothing but the size of the numbers, so
    that `exp` can't overflow.

    Parameters
    ----------
    x : ndarray, shape (..., C)
        The scores ("logits").
    out : ndarray, shape (..., C), optional
        Where to write the result; may be `x`.

    Returns
    -------
    ndarray, shape (..., C)
        The probabilities; every row sums to 1.

    Examples
    --------
    >>> softmax(np.array([[0.0, np.log(3.0)], [1000.0, 0.0]]))
    array([[0.25, 0.75],
           [1.  , 0.  ]])
    """
    y: Array = np.subtract(x, np.max(x, axis=-1, keepdims=True), out=out)
    np.exp(y, out=y)
    y /= np.sum(y, axis=-1, keepdims=True)
    return y


def softmax_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `softmax`: ``d_x = y * (d_y - sum(d_y * y))``.

    Parameters
    ----------
    d_y : ndarray, shape (..., C)
        The gradient in the probabilities.
    x, y : ndarray, shape (..., C)
        The scores and the probabilities; only `y` is read.
    out : ndarray, shape (..., C), optional
        Where to write the result; may be `d_y`.

    Returns
    -------
    ndarray, shape (..., C)
        The gradient in the scores.

    Examples
    --------
    >>> y = np.array([[0.25, 0.75]])
    >>> softmax_backward(np.array([[4.0, 0.0]]), np.log(y), y)
    array([[ 0.75, -0.75]])
    """
    d_x: Array = np.subtract(d_y, np.sum(d_y * y, axis=-1, keepdims=True), out=out)
    d_x *= y
    return d_x


# ---------------------------------------------------------------- losses, one value an example


def sparse_softmax_crossentropy(labels: Array, logits: Array) -> Array:
    """Compute the cross-entropy of a label under softmax, from the scores.

    ``value = -log(softmax(logits)[label]) = log(sum(exp(logits))) - logits[label]``; the
    largest score is subtracted first, as in `softmax`.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        The true classes, 0 to C - 1.
    logits : ndarray, shape (N, C)
        The scores.

    Returns
    -------
    ndarray, shape (N,)
        The value of each example.

    Examples
    --------
    >>> sparse_softmax_crossentropy(np.array([1, 1]), np.array([[0.0, 0.0], [100.0, 0.0]]))
    array([  0.69314718, 100.        ])
    """
    shifted = logits - np.max(logits, axis=-1, keepdims=True)
    values: Array = np.log(np.sum(np.exp(shifted), axis=-1))
    values -= shifted[np.arange(len(labels)), labels]
    return values


def sparse_softmax_crossentropy_backward(
    d_values: Array, labels: Array, probabilities: Array, out: Array | None = None
) -> Array:
    """Compute the gradient of `sparse_softmax_crossentropy` in the scores.

    ``d_logits = (probabilities - onehot(labels)) * d_values``: the difference between what
    the net believes and what is true.

    Parameters
    ----------
    d_values : ndarray, shape (N,)
        The gradient in each example's value.
    labels : ndarray of int, shape (N,)
        The true classes.
    probabilities : ndarray, shape (N, C)
        `softmax` of the scores.
    out : ndarray, shape (N, C), optional
        Where to write the result.

    Returns
    -------
    ndarray, shape (N, C)
        The gradient in the scores.

    Examples
    --------
    >>> sparse_softmax_crossentropy_backward(
    ...     np.array([2.0]), np.array([1]), np.array([[0.25, 0.75]]))
    array([[ 0.5, -0.5]])
    """
    d_logits: Array = np.positive(probabilities, out=out)
    d_logits[np.arange(len(labels)), labels] -= 1
    d_logits *= d_values[:, None]
    return d_logits


def softmax_crossentropy_step(
    labels: Array,
    logits: Array,
    d_values: Array,
    probabilities: Array,
    d_logits: Array,
    values: Array,
) -> None:
    """Do all of a softmax classifier's end in one go: probabilities, loss and gradient.

    The composition of `softmax`, `sparse_softmax_crossentropy` and its backward function.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        The true classes.
    logits : ndarray, shape (N, C)
        The scores.
    d_values : ndarray, shape (N,)
        The gradient in each example's value: 1/N for a plain mean.
    probabilities : ndarray, shape (N, C)
        Written: `softmax` of the scores.
    d_logits : ndarray, shape (N, C)
        Written: the gradient in the scores.
    values : ndarray, shape (N,)
        Written: the value of each example.

    Examples
    --------
    >>> logits = np.log([[0.25, 0.75]])
    >>> p, d, values = np.empty((1, 2)), np.empty((1, 2)), np.empty(1)
    >>> softmax_crossentropy_step(np.array([1]), logits, np.array([1.0]), p, d, values)
    >>> p, d, values
    (array([[0.25, 0.75]]), array([[ 0.25, -0.25]]), array([0.28768207]))
    """
    softmax(logits, probabilities)
    values[:] = sparse_softmax_crossentropy(labels, logits)
    sparse_softmax_crossentropy_backward(d_values, labels, probabilities, d_logits)


def sparse_crossentropy(labels: Array, probabilities: Array, epsilon: float) -> Array:
    """Compute the cross-entropy of a label from probabilities given as data.

    The probabilities are clipped to ``[epsilon, 1 - epsilon]`` and normalised:
    ``value = log(sum(q)) - log(q[label])``, where ``q = clip(probabilities)``. So a certain
    wrong answer costs about 16.1 and not infinity.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        The true classes, 0 to C - 1.
    probabilities : ndarray, shape (N, C)
        The predictions.
    epsilon : float
        How close to 0 and to 1 a probability may come.

    Returns
    -------
    ndarray, shape (N,)
        The value of each example.

    Examples
    --------
    >>> sparse_crossentropy(np.array([1]), np.array([[0.5, 0.5]]), 1e-7)
    array([0.69314718])
    """
    return sparse_softmax_crossentropy(labels, np.log(clip(probabilities, epsilon)))


def sparse_crossentropy_backward(
    d_values: Array, labels: Array, probabilities: Array, epsilon: float
) -> Array:
    """Compute the gradient of `sparse_crossentropy` in the probabilities.

    ``d_p = (1 / sum(q) - onehot(labels) / q) * d_values``, and 0 where ``q`` was clipped.

    Parameters
    ----------
    d_values : ndarray, shape (N,)
        The gradient in each example's value.
    labels : ndarray of int, shape (N,)
        The true classes.
    probabilities : ndarray, shape (N, C)
        The predictions.
    epsilon : float
        As in the forward function.

    Returns
    -------
    ndarray, shape (N, C)
        The gradient in the probabilities.

    Examples
    --------
    >>> sparse_crossentropy_backward(
    ...     np.array([1.0]), np.array([1]), np.array([[0.5, 0.5]]), 1e-7)
    array([[ 1., -1.]])
    """
    q = clip(probabilities, epsilon)
    d_p: Array = np.repeat(1 / np.sum(q, axis=-1, keepdims=True), q.shape[-1], axis=-1)
    rows = np.arange(len(labels))
    d_p[rows, labels] -= 1 / q[rows, labels]
    d_p *= d_values[:, None]
    d_p *= q == probabilities
    return d_p


def clip(probabilities: Array, epsilon: float) -> Array:
    """Clip probabilities to ``[epsilon, 1 - epsilon]``, both rounded to their type.

    Parameters
    ----------
    probabilities : ndarray
        The probabilities, of any shape.
    epsilon : float
        How close to 0 and to 1 they may come.

    Returns
    -------
    ndarray
        The clipped ones.

    Examples
    --------
    >>> clip(np.array([0.0, 0.5, 1.0]), 0.25)
    array([0.25, 0.5 , 0.75])
    """
    as_type = probabilities.dtype.type
    return np.clip(probabilities, as_type(epsilon), as_type(1 - epsilon))


# ---------------------------------------------------------------- optimizers, in place


def adam(
    w: Array,
    d_w: Array,
    m: Array,
    v: Array,
    alpha: float,
    one_minus_beta_1: float,
    one_minus_beta_2: float,
    epsilon: float,
) -> None:
    """Do one step of Adam: follow the gradient's running mean, measured in its running size.

    ``m += (d_w - m) * (1 - beta_1)``, ``v += (d_w**2 - v) * (1 - beta_2)``,
    ``w -= m * alpha / (sqrt(v) + epsilon)``; the correction of the bias that m and v have in
    the first steps is part of `alpha` (see `adam_step_size`). Kingma and Ba, "Adam: a method
    for stochastic optimization" (2015), the end of section 2: "epsilon hat".

    Parameters
    ----------
    w : ndarray, shape (P,)
        The weights; modified in place.
    d_w : ndarray, shape (P,)
        The gradient.
    m, v : ndarray, shape (P,)
        The running means of the gradient and of its square; modified in place.
    alpha : float
        The step size.
    one_minus_beta_1, one_minus_beta_2 : float
        How fast the running means forget.
    epsilon : float
        Keeps the division finite.

    Examples
    --------
    >>> w, d_w = np.array([1.0]), np.array([2.0])
    >>> m, v = np.zeros(1), np.zeros(1)
    >>> adam(w, d_w, m, v, 0.1, 0.5, 0.25, 0.0)
    >>> w, m, v
    (array([0.9]), array([1.]), array([1.]))
    """
    alpha, epsilon = w.dtype.type(alpha), w.dtype.type(epsilon)
    rate_1, rate_2 = w.dtype.type(one_minus_beta_1), w.dtype.type(one_minus_beta_2)
    for part in blocks(w.size):
        g = d_w[part]
        m[part] += (g - m[part]) * rate_1
        v[part] += (g * g - v[part]) * rate_2
        w[part] -= (m[part] * alpha) / (np.sqrt(v[part]) + epsilon)


def adam_step_size(
    learning_rate: float, beta_1: float, beta_2: float, step: int, dtype: Any = np.float32
) -> float:
    """Compute Adam's step size, which corrects the bias of its running means.

    Both start at 0 and reach ``1 - beta**step`` of what they estimate, hence
    ``alpha = learning_rate * sqrt(1 - beta_2**step) / (1 - beta_1**step)``. All of it is
    computed in the type of the weights, as Keras does, where it rounds differently.

    Parameters
    ----------
    learning_rate : float
        The step size without the correction.
    beta_1, beta_2 : float
        How much the running means keep.
    step : int
        The number of this step; the first is 1.
    dtype : dtype
        The type of the weights.

    Returns
    -------
    float
        The step size, of that type.

    Examples
    --------
    >>> float(adam_step_size(1.0, 0.5, 0.75, 1, np.float64))
    1.0
    """
    as_type = np.dtype(dtype).type
    one, t = as_type(1), as_type(step)
    root = np.sqrt(one - as_type(beta_2) ** t)
    alpha: float = as_type(learning_rate) * root / (one - as_type(beta_1) ** t)
    return alpha


def blocks(size: int) -> Iterator[slice]:
    """Cut a vector into slices that stay in the processor's cache while they are worked on.

    Parameters
    ----------
    size : int
        The vector's length.

    Yields
    ------
    slice
        One after the other; together they cover the vector.

    Examples
    --------
    >>> list(blocks(10_000))
    [slice(0, 8192, None), slice(8192, 10000, None)]
    """
    for start in range(0, size, 8192):
        yield slice(start, min(start + 8192, size))
