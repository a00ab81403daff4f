"""Several steps of a net of dense layers."""

import math

import numpy as np

from tinynet.jit import jit
from tinynet.kernels.activations import add_bias, bias_relu, bias_relu_backward, relu, sum_rows
from tinynet.kernels.classification import softmax_crossentropy_step, sparse_matches
from tinynet.kernels.eager import UNITS, inlined, inner, matrix_at, scratch
from tinynet.kernels.helpers import (
    DENSE,
    HALF,
    LEARN_DENSE,
    LEARN_SPARSE,
    PRODUCT,
    PRODUCT_OF_ROWS,
    SMALLEST_COPY,
    SMALLEST_PRODUCT,
    SORT,
    TAKE,
    offer,
    product_of,
    work,
)
from tinynet.kernels.optimizers import adam, adam_step_size, learn_dense, learn_sparse
from tinynet.kernels.products import take_rows
from tinynet.kernels.sparse import add_sums, in_units, sort_by_column, sparse_forward


@inner
def _do(boxes, job, *arrays):
    """Do a job with the helpers."""
    offer(boxes, job, *arrays)
    work(boxes, 0)


@inlined
def _take(boxes, x, rows, out):
    """Copy the rows of a batch, with the helpers if there are any and it is large enough."""
    if boxes is not None and out.size >= SMALLEST_COPY:
        _do(boxes, TAKE, x, rows, out)
    else:
        take_rows(x, rows, out)


@inlined
def _multiply(boxes, job, a, b, out):
    """Do one of the two products, with the helpers if there are any and it is large enough."""
    if boxes is not None and a.size * out.shape[1] >= SMALLEST_PRODUCT:
        _do(boxes, job, a, b, out)
    else:
        product_of(job, a, b, out, 0, 1)


@inlined
def _add_bias(rectifies, z, bias):
    """Do what follows a layer's product."""
    if rectifies:
        bias_relu(z, bias)
    else:
        add_bias(z, bias)


@inlined
def _learn(boxes, x, d_y, d_w, w, m, v, numbers):
    """Change a kernel, with the helpers if there are any and it is large enough."""
    if boxes is not None and x.size * d_y.shape[1] >= SMALLEST_PRODUCT:
        _do(boxes, LEARN_DENSE, x, d_y, d_w, w, m, v, numbers)
    else:
        learn_dense(x, d_y, d_w, w, m, v, numbers, 0, 1)


@jit()
def train_steps(
    indptr, indices, values, rows, labels, batch_size, sizes, rectifies, from_logits, state,
    learning_rates, iteration, constants, stops, losses, matches, buffers, boxes=None,
):  # fmt: skip
    w, d_w, m, v = state
    beta_1, beta_2, epsilon = constants
    y_all, d_all, probabilities, row_losses, d_losses, batch_x, counts, samples, entries = buffers
    number, layers = w.dtype.type, sizes.shape[0] - 1
    numbers = scratch(4, np.float64)  # Adam's, of which the first changes
    numbers[1], numbers[2], numbers[3] = 1 - beta_1, 1 - beta_2, epsilon
    # While a helper sorts, or has begun to learn the first layer, there must be no other job.
    early = True
    for i in range(1, layers):
        d, u = sizes[i], sizes[i + 1]
        early &= batch_size * d * u < SMALLEST_PRODUCT
    for step in range(losses.shape[0]):
        first = step * batch_size
        last = min(first + batch_size, labels.shape[0])
        n, label = last - first, labels[first:last]
        x = batch_x[:n]
        size = samples.shape[1] // max(counts.shape[1], 1)
        chunks = -(-n // size)
        tables = counts[:chunks], samples[:chunks], entries[:chunks]
        # Forward; each layer's output and its gradient have places of their own.
        at = place = before = np.int64(0)
        for i in range(layers):
            d, u = sizes[i], sizes[i + 1]
            kernel, bias = matrix_at(w, at, d, u), w[at + d * u : at + d * u + u]
            y = matrix_at(y_all, place, n, u)
            if i > 0:
                inputs = matrix_at(y_all, before, n, d)
                _multiply(boxes, PRODUCT, inputs, kernel, y)
                _add_bias(rectifies[i], y, bias)
            elif values.ndim == 2:
                _take(boxes, values, rows[first:last], x)
                _multiply(boxes, PRODUCT, x, kernel, y)
                _add_bias(rectifies[i], y, bias)
            elif boxes is None:
                sparse_forward(indptr, indices, values, rows[first:last], kernel, bias, y)
            else:
                batch = indptr, indices, values, rows[first:last]
                if boxes.shape[0] == 2 and in_units(u):
                    # Each thread keeps the half of the weights that it changes in its own cache.
                    rest = matrix_at(d_all, 0, n, u)  # which the loss needs only later
                    _do(boxes, HALF, *batch, kernel, bias, y, rest)
                    for j in range(0, u, UNITS):
                        add_sums(rest, j, y, j)
                else:
                    _do(boxes, DENSE, *batch, kernel, bias, y)
                if early:
                    offer(boxes, SORT, *batch, *tables)
            if i == 0 and values.ndim == 1 and rectifies[i]:
                relu(y)
            at, before, place = at + d * u + u, place, place + n * u
        # The loss.
        classes = sizes[layers]
        logits = matrix_at(y_all, before, n, classes)
        d_y = matrix_at(d_all, before, n, classes)
        d_losses[:n] = 1 / n
        softmax_crossentropy_step(
            label, logits, d_losses[:n], probabilities[:n], d_y, row_losses[:n]
        )
        total = 0.0
        for i in range(n):
            total += row_losses[i]
        losses[step] = total / n
        matches[step] = sparse_matches(label, logits if from_logits else probabilities[:n])
        if stops and not math.isfinite(losses[step]):
            return step
        # Backward.
        alpha = adam_step_size(learning_rates[step], beta_1, beta_2, iteration + step + 1, number)
        numbers[0] = alpha
        for i in range(layers - 1, -1, -1):
            d, u = sizes[i], sizes[i + 1]
            place, end, middle = place - n * u, at, at - u
            at = middle - d * u
            d_y = matrix_at(d_all, place, n, u)
            if rectifies[i]:
                y = matrix_at(y_all, place, n, u)
                bias_relu_backward(d_y, y, d_w[middle:end])
            else:
                sum_rows(d_y, d_w[middle:end])
            adam(
                w[middle:end], d_w[middle:end], m[middle:end], v[middle:end],
                numbers[0], numbers[1], numbers[2], numbers[3], None,
            )  # fmt: skip
            if i > 0:
                d_inputs = matrix_at(d_all, place - n * d, n, d)
                _multiply(boxes, PRODUCT_OF_ROWS, d_y, matrix_at(w, at, d, u), d_inputs)
        # Each kernel changes, now that nothing needs its old values.
        before = np.int64(0)
        for i in range(layers):
            d, u = sizes[i], sizes[i + 1]
            d_y, middle = matrix_at(d_all, place, n, u), at + d * u
            gradient, own, mean, square = d_w[at:middle], w[at:middle], m[at:middle], v[at:middle]
            if i > 0:
                inputs = matrix_at(y_all, before, n, d)
                _learn(boxes, inputs, d_y, gradient, own, mean, square, numbers)
            elif values.ndim == 2:
                _learn(boxes, x, d_y, gradient, own, mean, square, numbers)
            elif boxes is None:
                sort_by_column(indptr, indices, values, rows[first:last], *tables)
                learn_sparse(*tables, d_y, gradient, own, mean, square, numbers, np.int64(0), d)
            else:
                if early:
                    work(boxes, 0)
                else:
                    sort_by_column(indptr, indices, values, rows[first:last], *tables)
                offer(boxes, LEARN_SPARSE, *tables, d_y, gradient, own, mean, square, numbers)
                if not early:
                    work(boxes, 0)
            at, before, place = middle + u, place, place + n * u
        if boxes is not None and early and values.ndim == 1:
            work(boxes, 0)  # the other layers have been learnt meanwhile
    return int(losses.shape[0])
