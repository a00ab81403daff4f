"""tinynet in one file: a network that recognizes handwritten digits, written with NumPy alone.

Read it from top to bottom; you need Python and the chain rule. It trains 784-128-10 for five epochs
on MNIST, as ``tinynet train`` does, and prints some predictions. From the same initial weights, the
numpy backend of the library computes bit-identical weights (with one thread for matrix products).
The other files make lines of this one robust, general or fast; docs/course.md lists them. d_z is
the gradient of the loss with respect to z.
"""

import argparse
import gzip
import itertools
import os
import sys
import urllib.request
from pathlib import Path

import numpy as np

URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"

# 1. Load: 60,000 training and 10,000 test images of 28 x 28 pixels from 0 to 255.


def load(folder):
    """Load the images and labels for training and testing; without a folder, download them."""
    here = folder or Path(os.environ.get("TINYNET_DATA") or "data") / "mnist"
    npz, names = here / "mnist.npz", ("x_train", "y_train", "x_test", "y_test")
    if all((here / f"{name}-ubyte.gz").exists() for name in IDX_FILES):
        return [read_idx(here / f"{name}-ubyte.gz") for name in IDX_FILES]
    if folder and not npz.exists():
        sys.exit(f"folder must contain mnist.npz or MNIST's four .gz files. Received: {folder}")
    if not npz.exists():
        download(npz)
    with np.load(npz) as arrays:
        return [arrays[name] for name in names]


def download(npz):
    """Download MNIST; an interrupted download leaves no incomplete file with the final name."""
    part = npz.with_suffix(".part")
    try:
        npz.parent.mkdir(parents=True, exist_ok=True)
        urllib.request.urlretrieve(URL, part)
        part.replace(npz)
    except OSError as error:
        sys.exit(f"MNIST could not be downloaded from {URL} to {npz}: {error}")


IDX_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def read_idx(path):
    """Read a file of MNIST: the number of dimensions, the sizes, and the values as bytes."""
    data = gzip.decompress(path.read_bytes())
    sizes = np.frombuffer(data, ">i4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes)


# 2. Normalize: pixels from 0 to 1, and one row of 784 pixels for each image.


def normalize(images):
    """Convert (N, 28, 28) bytes to (N, 784) numbers from 0 to 1."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


# 3. Build: two dense layers. The kernel of a layer has a column for each unit.


def initialize(rng, sizes=(784, 128, 10)):
    """Draw kernels from Glorot's uniform distribution, which preserves the size of activations."""
    weights = []
    for inputs, units in itertools.pairwise(sizes):
        limit = np.sqrt(6 / (inputs + units))
        kernel = rng.uniform(-limit, limit, (inputs, units)).astype(np.float32)
        weights += [kernel, np.zeros(units, np.float32)]
    return weights


# 4. Predict: from images to the probabilities of the ten digits.


def forward(x, weights):
    """Compute hidden activations (N, 128) and logits (N, 10)."""
    kernel_1, bias_1, kernel_2, bias_2 = weights
    hidden = np.maximum(x @ kernel_1 + bias_1, 0)  # the rectifier makes the network nonlinear
    return hidden, hidden @ kernel_2 + bias_2


def softmax(logits):
    """Convert logits to probabilities; subtracting the maximum avoids overflow of exp."""
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def crossentropy(labels, logits):
    """Compute -log(probability of the label) for each image, without rounding it to 0 first."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]


# 5. Differentiate: the chain rule, from the loss back to the weights.


def gradients(x, labels, weights):
    """Compute the gradient of the mean cross-entropy with respect to each weight."""
    hidden, logits = forward(x, weights)
    # The derivative of log(sum(exp(logits))) is softmax; that of the label's logit is 1.
    d_logits = softmax(logits)
    d_logits[np.arange(len(labels)), labels] -= 1
    d_logits *= np.float32(1 / len(labels))  # the loss is a mean
    # y = x @ kernel + bias: each weight is multiplied by an input, and the images are summed.
    d_kernel_2, d_bias_2 = hidden.T @ d_logits, d_logits.sum(axis=0)
    d_hidden = d_logits @ weights[2].T
    d_z = d_hidden * (hidden > 0)  # the slope of the rectifier is 1 or 0
    return [x.T @ d_z, d_z.sum(axis=0), d_kernel_2, d_bias_2]


# 6. Update: Adam moves each weight by about the learning rate, against its mean gradient.


class Adam:
    """Adam, with an exponential moving average of each gradient (m) and of its square (v)."""

    def __init__(self, weights, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
        self.learning_rate, self.epsilon = np.float32(learning_rate), np.float32(epsilon)
        self.beta_1, self.beta_2, self.step = beta_1, beta_2, 0
        self.m = [np.zeros_like(w) for w in weights]
        self.v = [np.zeros_like(w) for w in weights]

    def update(self, weights, d_weights):
        """Change the weights in place."""
        self.step += 1
        # The averages start at 0; this corrects them (bias correction).
        correction_1 = 1 - np.float32(np.float64(np.float32(self.beta_1)) ** self.step)
        correction_2 = 1 - np.float32(np.float64(np.float32(self.beta_2)) ** self.step)
        alpha = self.learning_rate * np.sqrt(correction_2) / correction_1
        for w, d_w, m, v in zip(weights, d_weights, self.m, self.v, strict=True):
            m += (d_w - m) * np.float32(1 - self.beta_1)
            v += (d_w * d_w - v) * np.float32(1 - self.beta_2)
            m[np.abs(m) < 1e-30] = 0  # processors are slow with even smaller numbers
            v[v < 1e-30] = 0
            w -= m * alpha / (np.sqrt(v) + self.epsilon)


# 7. Train: mini-batches of 32 images, in a new random order in each epoch.


def train(weights, x, labels, rng, epochs=5, batch_size=32, after_step=lambda weights: None):
    """Train the weights in place."""
    adam = Adam(weights)
    for epoch in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch_size):
            batch = order[start : start + batch_size]
            adam.update(weights, gradients(x[batch], labels[batch], weights))
            after_step(weights)
        print(f"Epoch {epoch + 1}: training {describe(x, labels, weights)}")


# 8. Evaluate: on images that the network has not been trained on.


def describe(x, labels, weights):
    """Return the mean loss and the accuracy as text."""
    _, logits = forward(x, weights)
    loss, accuracy = crossentropy(labels, logits).mean(), (logits.argmax(axis=1) == labels).mean()
    return f"loss {loss:.4f}, accuracy {accuracy:.4f}"


def plot(images, labels, probabilities):
    """Plot images side by side as text, with the true label and the prediction of each."""
    pairs = zip(labels, probabilities, strict=True)
    titles = [f"{y}: {p.argmax()} ({p.max():.0%})" for y, p in pairs]
    print("".join(f"{title:<29}" for title in titles))
    for rows in np.transpose(images[:, ::2], (1, 0, 2)):  # a character is twice as high as wide
        print("".join("".join(" .:*#@"[p // 43] for p in row) + " " for row in rows))


def main():
    """Load, train, evaluate and plot."""
    parser = argparse.ArgumentParser(description="Train a network that recognizes digits.")
    where = "folder with mnist.npz or MNIST's four .gz files; default: data/mnist, by download"
    parser.add_argument("folder", nargs="?", type=Path, help=where)
    x_train, y_train, x_test, y_test = load(parser.parse_args().folder)
    rng = np.random.default_rng(0)
    weights = initialize(rng)
    train(weights, normalize(x_train), y_train, rng)
    print("Test", describe(normalize(x_test), y_test, weights))
    plot(x_test[:4], y_test[:4], softmax(forward(normalize(x_test[:4]), weights)[1]))


if __name__ == "__main__":
    main()
