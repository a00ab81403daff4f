"""Complete training step of a network of dense layers.

Read this file first, then the functions that it calls: all are defined in this folder. The layers,
losses and optimizers of the library call the same functions; the compiled kernels compute the same
results faster.

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
    """Compute the mean loss of a mini-batch and its gradient with respect to each weight.

    x: (N, D); labels: (N,), class labels from 0 to C - 1; `weights` is the list
    ``[kernel, bias, kernel, bias, ...]``, in which the last layer has C units. The gradients are
    returned in the same order.

    With zero weights, both classes have probability 0.5; the gradient of the bias is therefore
    (0.5 - 0, 0.5 - 1), and the gradient of the kernel is x = 2 times the gradient of the bias:

    >>> x, labels = np.array([[2.0]]), np.array([1])
    >>> loss, (d_kernel, d_bias) = gradients(x, labels, [np.zeros((1, 2)), np.zeros(2)])
    >>> round(float(loss), 4), d_kernel, d_bias
    (0.6931, array([[ 1., -1.]]), array([ 0.5, -0.5]))
    """
    # Forward: store the input of each layer, which the gradient of its kernel depends on.
    kernels, biases = weights[::2], weights[1::2]
    inputs = [x]
    for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
        inputs.append(relu(dense(inputs[-1], kernel, bias)))
    logits = dense(inputs[-1], kernels[-1], biases[-1])
    values, probabilities = softmax_with_crossentropy(labels, logits)

    # Backward: the chain rule, from the last layer to the first.
    mean = np.full(len(x), 1 / len(x), x.dtype)  # d(mean of N values) / d(value) = 1 / N
    d_z = sparse_softmax_crossentropy_backward(mean, labels, probabilities)
    d_weights: list[Array] = []
    for i in reversed(range(len(kernels))):
        d_x, *d_layer = dense_layer_backward(d_z, inputs[i], kernels[i], needs=(i > 0, True, True))
        d_weights = [d for d in d_layer if d is not None] + d_weights
        if d_x is not None:
            d_z = relu_backward(d_x, inputs[i], inputs[i])
    return values.mean(), d_weights


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
    """Train on one mini-batch: forward pass, backward pass, and an Adam update of each weight.

    The weights and their moment estimates m and v, initially 0, are updated in place. `step` is
    the step number, starting at 1. Returns the mean loss before the update.

    The size of Adam's first step is the learning rate, regardless of the size of the gradient:

    >>> weights = [np.zeros((1, 2)), np.zeros(2)]
    >>> m, v = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    >>> loss = training_step(np.array([[2.0]]), np.array([1]), weights, m, v, 1)
    >>> weights[1].round(4)
    array([-0.001,  0.001])
    """
    loss, d_weights = gradients(x, labels, weights)
    alpha = adam_step_size(learning_rate, beta_1, beta_2, step, x.dtype)
    for w, d_w, m_w, v_w in zip(weights, d_weights, m, v, strict=True):
        adam(w, d_w, m_w, v_w, alpha, 1 - beta_1, 1 - beta_2, epsilon)
    return loss
