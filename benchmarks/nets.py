"""The same net in each contender: 784 inputs, dense layers with relu, softmax, Adam.

Everybody trains on float32, shuffles every epoch, and starts from the same weights. Libraries with
a `fit` get NumPy arrays, as their users pass them. The hand-written loops get what their authors
would give them: data that is already in tensors, and no metrics.
"""

# ruff: noqa: D102  # the methods are described once, in Net

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from benchmarks.check import BETA_1, BETA_2, EPSILON, LEARNING_RATE, mean_loss
from benchmarks.problem import Array, Arrays, Problem


class Net:
    """What can be measured."""

    epsilon_after = False  # Adam's epsilon is added after the bias correction
    predicts = True

    def __init__(self, problem: Problem) -> None:
        self.problem, self.batch = problem, problem.task.batch
        self.x, self.y = problem.x, problem.y

    def check(self) -> str:
        """Train three steps as the check in float64 does; spoils the net."""
        from benchmarks.check import check

        return check(self, self.problem)

    def train_batch(self, x: Array, y: Array) -> float:
        """Train one step; return the batch's loss from before it."""
        raise NotImplementedError

    def weights(self) -> Arrays:
        """Return kernel and bias of each layer, kernels of shape (inputs, units)."""
        raise NotImplementedError

    def epoch(self) -> None:
        """Train on all images, in a new order."""
        raise NotImplementedError

    def train(self, epochs: int) -> None:
        """Train so many epochs in a row, as a program would."""
        for _ in range(epochs):
            self.epoch()

    def predict(self, x: Array) -> Array:
        """Compute the probabilities of an array, as an array."""
        raise NotImplementedError

    def call(self, x: Array) -> Any:
        """Apply the model in the shortest way."""
        return self.predict(x)

    def evaluate(self, x: Array, y: Array) -> tuple[float, float]:
        """Return the mean loss and the accuracy."""
        p = self.predict(x)
        return mean_loss(p, y), float(np.mean(p.argmax(1) == y))


class Fitted(Net):
    """A model with Keras' methods; `library` is who makes it."""

    def __init__(self, problem: Problem, library: Any) -> None:
        super().__init__(problem)
        layers = library.layers
        *hidden, classes = problem.task.sizes[1:]
        self.model = library.Sequential(
            [
                layers.Input((784,)),
                *(layers.Dense(units, activation="relu") for units in hidden),
                layers.Dense(classes, activation="softmax"),
            ]
        )
        self.model.compile(
            optimizer=library.optimizers.Adam(LEARNING_RATE, BETA_1, BETA_2, EPSILON),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        self.model.set_weights(problem.first_weights())

    def train_batch(self, x: Array, y: Array) -> float:
        return float(self.model.train_on_batch(x, y, return_dict=True)["loss"])

    def weights(self) -> Arrays:
        return list(self.model.get_weights())

    def epoch(self) -> None:
        self.train(1)

    def train(self, epochs: int) -> None:
        self.model.fit(self.x, self.y, batch_size=self.batch, epochs=epochs, verbose=0)

    def predict(self, x: Array) -> Array:
        return np.asarray(self.model.predict(x, verbose=0))

    def call(self, x: Array) -> Any:
        return self.model(x)

    def evaluate(self, x: Array, y: Array) -> tuple[float, float]:
        loss, accuracy = self.model.evaluate(x, y, verbose=0)
        return float(loss), float(accuracy)


class Tinynet(Fitted):
    """tinynet on as many threads as it has cores."""

    backend = "numba"

    def __init__(self, problem: Problem, threads: int) -> None:
        import tinynet

        tinynet.config.set_backend(self.backend)
        if hasattr(tinynet.config, "set_num_threads"):
            tinynet.config.set_num_threads(threads)
        elif threads > 1:
            raise NotImplementedError("this tinynet has no set_num_threads")
        super().__init__(problem, tinynet)


class TinynetNumpy(Tinynet):
    """tinynet without its kernels."""

    backend = "numpy"


class Keras(Fitted):
    """Keras on the backend that the environment names, with the threads it names."""

    def __init__(self, problem: Problem, threads: int) -> None:
        import keras

        super().__init__(problem, keras)


class Torch(Net):
    """PyTorch as its tutorials write it, with batches picked from one resident tensor."""

    epsilon_after = True

    def __init__(self, problem: Problem, threads: int) -> None:
        import torch

        super().__init__(problem)
        self.torch: Any = torch
        torch.set_num_threads(threads)
        layers: list[Any] = []
        sizes = problem.task.sizes
        for fan_in, fan_out in itertools.pairwise(sizes):
            layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1])
        with torch.no_grad():
            for parameter, w in zip(self.model.parameters(), problem.first_weights(), strict=True):
                parameter.copy_(torch.from_numpy(w.T))
        self.loss = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), LEARNING_RATE, (BETA_1, BETA_2), EPSILON, fused=True
        )
        self.tensors = torch.from_numpy(self.x), torch.from_numpy(self.y)

    def _step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = self.loss(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def train_batch(self, x: Array, y: Array) -> float:
        loss: float = self._step(self.torch.from_numpy(x), self.torch.from_numpy(y)).item()
        return loss

    def weights(self) -> Arrays:
        return [p.detach().numpy().T for p in self.model.parameters()]

    def epoch(self) -> None:
        x, y = self.tensors
        for rows in self.torch.randperm(len(x)).split(self.batch):
            self._step(x.index_select(0, rows), y.index_select(0, rows))

    def call(self, x: Array) -> Any:
        with self.torch.inference_mode():
            return self.torch.softmax(self.model(self.torch.from_numpy(x)), 1)

    def predict(self, x: Array) -> Array:
        return np.asarray(self.call(x).numpy())

    def evaluate(self, x: Array, y: Array) -> tuple[float, float]:
        with self.torch.inference_mode():
            labels = self.torch.from_numpy(y)
            scores = self.model(self.torch.from_numpy(x))
            right = (scores.argmax(1) == labels).float().mean()
            return float(self.loss(scores, labels)), float(right)


class Jax(Net):
    """JAX: Adam written out, a whole epoch compiled into one `scan`, weights updated in place."""

    def __init__(self, problem: Problem, threads: int) -> None:
        import jax
        import jax.numpy as jnp

        super().__init__(problem)
        self.jax: Any = jax
        self.rng = np.random.default_rng(0)

        def scores(weights: Any, x: Any) -> Any:
            for i in range(0, len(weights), 2):
                x = x @ weights[i] + weights[i + 1]
                if i < len(weights) - 2:
                    x = jax.nn.relu(x)
            return x

        def mean_loss(weights: Any, x: Any, y: Any) -> Any:
            logs = jax.nn.log_softmax(scores(weights, x))
            return -jnp.take_along_axis(logs, y[:, None], 1).mean()

        def step(state: Any, x: Any, y: Any) -> Any:
            weights, m, v, t = state
            t = t + 1
            loss, g = jax.value_and_grad(mean_loss)(weights, x, y)
            alpha = LEARNING_RATE * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
            m = [m + (g - m) * (1 - BETA_1) for m, g in zip(m, g, strict=True)]
            v = [v + (g * g - v) * (1 - BETA_2) for v, g in zip(v, g, strict=True)]
            weights = [
                w - alpha * m / (jnp.sqrt(v) + EPSILON)
                for w, m, v in zip(weights, m, v, strict=True)
            ]
            return (weights, m, v, t), loss

        def pick(array: Any, rows: Any) -> Any:
            return array.at[rows].get(mode="promise_in_bounds")  # the quickest way

        def epoch(state: Any, x: Any, y: Any, order: Any) -> Any:
            whole = len(order) // self.batch * self.batch
            state, losses = jax.lax.scan(
                lambda state, rows: step(state, pick(x, rows), pick(y, rows)),
                state,
                order[:whole].reshape(-1, self.batch),
            )
            if rest := len(order) - whole:
                state, _ = step(state, pick(x, order[-rest:]), pick(y, order[-rest:]))
            return state, losses.mean()

        self._step = jax.jit(step)
        self._epoch = jax.jit(epoch, donate_argnums=0)
        self._probabilities = jax.jit(lambda weights, x: jax.nn.softmax(scores(weights, x)))
        weights = [jnp.asarray(w) for w in problem.first_weights()]
        zeros = [[jnp.zeros_like(w) for w in weights] for _ in range(2)]
        self.state = (weights, *zeros, jnp.float32(0))
        self.arrays = jnp.asarray(self.x), jnp.asarray(self.y.astype(np.int32))

    def train_batch(self, x: Array, y: Array) -> float:
        self.state, loss = self._step(self.state, x, y)
        return float(loss)

    def weights(self) -> Arrays:
        return [np.asarray(w) for w in self.state[0]]

    def epoch(self) -> None:
        order = self.rng.permutation(len(self.x)).astype(np.int32)
        self.state, loss = self._epoch(self.state, *self.arrays, order)
        self.jax.block_until_ready((self.state, loss))

    def call(self, x: Array) -> Any:
        return self._probabilities(self.state[0], x).block_until_ready()

    def predict(self, x: Array) -> Array:
        return np.asarray(self.call(x))


class Sklearn(Net):
    """scikit-learn; `partial_fit` is one epoch, and on one batch it is one step."""

    def __init__(self, problem: Problem, threads: int) -> None:
        from sklearn.neural_network import MLPClassifier

        super().__init__(problem)
        self.model = MLPClassifier(
            problem.task.hidden,
            alpha=0.0,
            batch_size=self.batch,
            learning_rate_init=LEARNING_RATE,
            beta_1=BETA_1,
            beta_2=BETA_2,
            epsilon=EPSILON,
            random_state=0,
        )
        # It makes its arrays in a first step, which is then taken back.
        self.model.partial_fit(self.x[: self.batch], self.y[: self.batch], classes=np.arange(10))
        for array, w in zip(self._arrays(), problem.first_weights(), strict=True):
            array[...] = w
        del self.model._optimizer

    def _arrays(self) -> Arrays:
        pairs = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return [array for pair in pairs for array in pair]

    def train_batch(self, x: Array, y: Array) -> float:
        self.model.partial_fit(x, y)
        return float(self.model.loss_)

    def weights(self) -> Arrays:
        return self._arrays()

    def epoch(self) -> None:
        self.model.partial_fit(self.x, self.y)

    def predict(self, x: Array) -> Array:
        return np.asarray(self.model.predict_proba(x))


class Blas(Net):
    """No net: only ``x @ kernel`` and ``x.T @ d`` of the first layer, for batches in a row.

    A library that computes them densely can't be faster than this.
    """

    predicts = False

    def __init__(self, problem: Problem, threads: int) -> None:
        super().__init__(problem)
        self.kernel = problem.first_weights()[0]
        self.d = np.full((self.batch, self.kernel.shape[1]), 1e-3, np.float32)
        self.z, self.d_kernel = np.empty_like(self.d), np.empty_like(self.kernel)

    def _products(self, x: Array) -> None:
        np.matmul(x, self.kernel, self.z[: len(x)])
        np.matmul(x.T, self.d[: len(x)], self.d_kernel)

    def check(self) -> str:
        x = self.x[: self.batch].astype(np.float64)
        self._products(self.x[: self.batch])
        # Sums of up to 784 terms, added in another order than float64's: eps sqrt(784) of them.
        np.testing.assert_allclose(self.z, x @ self.kernel, atol=1e-4)
        np.testing.assert_allclose(self.d_kernel, x.T @ self.d, rtol=1e-4, atol=1e-7)
        return "the two products"

    def epoch(self) -> None:
        for start in range(0, len(self.x), self.batch):
            self._products(self.x[start : start + self.batch])
