"""One training step by hand: all values from a mini-batch of digits to the updated weights.

`model.fit` performs this step 1,875 times per epoch of MNIST. Here, the step is implemented with
functions of `tinynet.functional` only. ``d_x`` is the gradient of the loss with respect to ``x``,
and has the same shape as ``x``.
"""

import numpy as np

from tinynet import datasets
from tinynet import functional as f


def show(**arrays):
    for name, array in arrays.items():
        print(f"  {name:15} {array.shape!s:12} mean absolute value {np.abs(array).mean():.6f}")


# 32 digits of 28 x 28 pixels, flattened to rows of 784 values from 0 to 1.
(images, labels), _ = datasets.drawn_digits.load_data(n_train=32, n_test=0)
x = images.reshape(32, 784).astype(np.float32) / 255
labels = labels.astype(np.int64)
n = len(x)

print("Initialization: random kernels (Glorot uniform), biases of 0")
rng = np.random.default_rng(0)


def glorot_uniform(inputs, units):
    limit = np.sqrt(6 / (inputs + units))
    return rng.uniform(-limit, limit, (inputs, units)).astype(np.float32)


kernel_1, bias_1 = glorot_uniform(784, 128), np.zeros(128, np.float32)
kernel_2, bias_2 = glorot_uniform(128, 10), np.zeros(10, np.float32)
show(kernel_1=kernel_1, bias_1=bias_1, kernel_2=kernel_2, bias_2=bias_2)


def forward():
    z = f.dense(x, kernel_1, bias_1)
    hidden = f.relu(z)
    logits = f.dense(hidden, kernel_2, bias_2)
    probabilities = f.softmax(logits)
    losses = f.sparse_softmax_crossentropy(labels, logits)
    return z, hidden, logits, probabilities, losses


print("Forward pass: from pixels to probabilities, and the loss of each example")
z, hidden, logits, probabilities, losses = forward()
show(x=x, z=z, hidden=hidden, logits=logits, probabilities=probabilities, losses=losses)
loss_before = losses.mean()

print("Backward pass: the chain rule, from the loss back to every weight")
# The loss is the mean over the batch, so the gradient with respect to each term is 1/n.
d_losses = np.full(n, 1 / n, np.float32)
d_logits = f.sparse_softmax_crossentropy_backward(d_losses, labels, probabilities)
d_kernel_2, d_bias_2 = np.empty_like(kernel_2), np.empty_like(bias_2)
f.dense_gradients(hidden, d_logits, d_kernel_2, d_bias_2)
d_hidden = f.dense_backward(d_logits, kernel_2)
d_z = f.relu_backward(d_hidden, z, hidden)
d_kernel_1, d_bias_1 = np.empty_like(kernel_1), np.empty_like(bias_1)
f.dense_gradients(x, d_z, d_kernel_1, d_bias_1)
show(d_losses=d_losses, d_logits=d_logits, d_kernel_2=d_kernel_2, d_bias_2=d_bias_2)
show(d_hidden=d_hidden, d_z=d_z, d_kernel_1=d_kernel_1, d_bias_1=d_bias_1)

print("Adam: update every weight in the direction of the negative first moment estimate")
alpha = f.adam_step_size(learning_rate=0.001, beta_1=0.9, beta_2=0.999, step=1)
weights = {"kernel_1": kernel_1, "bias_1": bias_1, "kernel_2": kernel_2, "bias_2": bias_2}
gradients = [d_kernel_1, d_bias_1, d_kernel_2, d_bias_2]
for (name, w), d_w in zip(weights.items(), gradients, strict=True):
    before = w.copy()
    m, v = np.zeros_like(w), np.zeros_like(w)  # moment estimates, initially 0
    # Adam is an elementwise operation, implemented for flat arrays.
    flat = [array.reshape(-1) for array in (w, d_w, m, v)]
    f.adam(*flat, alpha, one_minus_beta_1=0.1, one_minus_beta_2=0.001, epsilon=1e-7)
    show(**{f"{name} change": w - before})

loss_after = forward()[-1].mean()
print(f"Loss before the step: {loss_before:.4f}")
print(f"Loss after the step:  {loss_after:.4f}")
