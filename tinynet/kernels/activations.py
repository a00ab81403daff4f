"""A dense layer beside its product: bias and relu, forward and backward."""

from tinynet.jit import jit
from tinynet.kernels.eager import inner


@jit()
def bias_relu(z, bias):
    zero = z.dtype.type(0)
    for i in range(z.shape[0]):
        for u in range(z.shape[1]):
            sum_ = z[i, u] + bias[u]
            z[i, u] = zero if sum_ < zero else sum_  # NaN stays NaN


@jit()
def bias_relu_backward(d_y, y, d_bias):
    zero = d_y.dtype.type(0)
    for u in range(d_y.shape[1]):
        d_bias[u] = zero
    for i in range(d_y.shape[0]):
        for u in range(d_y.shape[1]):
            d = d_y[i, u] if y[i, u] > zero else d_y[i, u] * zero
            d_y[i, u] = d
            d_bias[u] += d


@inner
def add_bias(z, bias):
    for i in range(z.shape[0]):
        for u in range(z.shape[1]):
            z[i, u] += bias[u]


@inner
def sum_rows(x, out):
    """Out = the sum of x's rows."""
    for u in range(x.shape[1]):
        out[u] = 0
    for i in range(x.shape[0]):
        for u in range(x.shape[1]):
            out[u] += x[i, u]


@inner
def relu(z):
    zero = z.dtype.type(0)
    for i in range(z.shape[0]):
        for u in range(z.shape[1]):
            z[i, u] = zero if z[i, u] < zero else z[i, u]  # NaN stays NaN
