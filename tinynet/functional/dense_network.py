"""One page: a whole training step of a network of dense layers.

Read this file first. Each line calls a function of this folder, which explains itself; the layers,
the losses and the optimizers of the library call the same functions, and the kernels compute the
same numbers faster.

::

    x -> dense -> relu -> ... -> dense -> softmax -> cross-entropy      forward
    d_kernel, d_bias <- dense <- relu <- ... <- dense <- d_logits       backward
    w, m, v <- adam                                                     update
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinynet.functional.activations import relu, relu_backward
from tinynet.functional.arrays import Array
from tinynet.functional.dense_layer import dense, dense_layer_backward
from tinynet.functional.losses import (
    softmax_with_crossentropy,
    sparse_softmax_crossentropy_backward,
)
from tinynet.functional.optimizers import adam, adam_step_size

__all__ = ["gradients", "training_step"]


def gradients(x: Array, labels: Array, weights: Sequence[Array]) -> tuple[Array, list[Array]]:
    """Compute the mean loss of a batch, and its gradient with respect to each weight.

    Parameters
    ----------
    x : ndarray, shape (N, D)
        Inputs.
    labels : ndarray of int, shape (N,)
        Class labels, 0 to C - 1.
    weights : sequence of ndarray
        ``[kernel, bias, kernel, bias, ...]``; the last layer has C units.

    Returns
    -------
    ndarray, shape ()
        Mean loss.
    list of ndarray
        Gradients, in the order of `weights`.

    Examples
    --------
    With all weights 0, both classes have the probability 0.5, so the bias gradients are
    0.5 - 0 and 0.5 - 1:

    >>> x, labels = np.array([[2.0]]), np.array([1])
    >>> loss, (d_kernel, d_bias) = gradients(x, labels, [np.zeros((1, 2)), np.zeros(2)])
    >>> round(float(loss), 4), d_kernel, d_bias
    (0.6931, array([[ 1., -1.]]), array([ 0.5, -0.5]))
    """
    # Forward: the inputs of each layer are kept, since the gradients of its weights need them.
    kernels, biases = weights[::2], weights[1::2]
    inputs = [x]
    for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
        inputs.append(relu(dense(inputs[-1], kernel, bias)))
    logits = dense(inputs[-1], kernels[-1], biases[-1])
    values, probabilities = softmax_with_crossentropy(labels, logits)

    # Backward: the chain rule, from the last layer to the first.
    mean = np.full(len(x), 1 / len(x), x.dtype)  # the gradient of the mean of N values
    d_z = sparse_softmax_crossentropy_backward(mean, labels, probabilities)
    found: list[Array] = []
    for i in reversed(range(len(kernels))):
        d_x, *own = dense_layer_backward(d_z, inputs[i], kernels[i], needs=(i > 0, True, True))
        found = [d for d in own if d is not None] + found
        if d_x is not None:
            d_z = relu_backward(d_x, inputs[i], inputs[i])
    return values.mean(), found


def training_step(
    x: Array,
    labels: Array,
    weights: Sequence[Array],
    m: Sequence[Array],
    v: Sequence[Array],
    step: int,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> Array:
    """Train on one batch: forward pass, backward pass, and an Adam update of each weight.

    Parameters
    ----------
    x, labels : ndarray
        As for `gradients`.
    weights : sequence of ndarray
        As for `gradients`; modified in place.
    m, v : sequence of ndarray
        Moment estimates of each weight, 0 at first; modified in place.
    step : int
        Number of this step; the first is 1.
    learning_rate, beta_1, beta_2, epsilon : float
        As for `tinynet.optimizers.Adam`.

    Returns
    -------
    ndarray, shape ()
        Mean loss of the batch before the update.

    Examples
    --------
    Adam's first step has the size of the learning rate, whatever the gradient's size:

    >>> weights = [np.zeros((1, 2)), np.zeros(2)]
    >>> m, v = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    >>> loss = training_step(np.array([[2.0]]), np.array([1]), weights, m, v, 1)
    >>> weights[1].round(4)
    array([-0.001,  0.001])
    """
    loss, found = gradients(x, labels, weights)
    alpha = adam_step_size(learning_rate, beta_1, beta_2, step, x.dtype)
    for w, d_w, first, second in zip(weights, found, m, v, strict=True):
        adam(w, d_w, first, second, alpha, 1 - beta_1, 1 - beta_2, epsilon)
    return loss
