"""Implementations of the network of a `Task` for each contender.

All contenders train in float32, shuffle in every epoch, and start from the same weights. Libraries
with a `fit` method receive NumPy arrays. Hand-written loops have their data in tensors, and do not
compute metrics.
"""

# ruff: noqa: D102  # the methods are described once, in Net

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import check
from benchmarks.check import BETA_1, BETA_2, EPSILON, RHO, VARIANCE_EPSILON, WEIGHT_DECAY
from benchmarks.problem import Array, Arrays, Problem

#: Maximum size in bytes of data that are shuffled before an epoch, and not batch by batch.
SMALL = 8_000_000


class Net:
    """Interface of all networks."""

    epsilon_after = False  # position of the optimizer's epsilon, see check.train
    predicts = True

    def __init__(self, problem: Problem) -> None:
        self.problem, self.batch = problem, problem.task.batch
        self.x, self.y = problem.x, problem.y

    def check(self) -> str:
        """Compare three training steps with the float64 reference; changes the weights."""
        return check.check(self, self.problem)

    def train_batch(self, x: Array, y: Array) -> float:
        """Train one step; return the loss of the batch before the update."""
        raise NotImplementedError

    def weights(self) -> Arrays:
        """Return the trainable arrays of each layer, kernels of shape (inputs, units)."""
        raise NotImplementedError

    def epoch(self) -> None:
        """Train on all images, in a new order."""
        raise NotImplementedError

    def train(self, epochs: int) -> None:
        """Train for a number of epochs."""
        for _ in range(epochs):
            self.epoch()

    def loss(self) -> float | None:
        """Return the mean loss of the batches of the last epoch, or None."""
        return None

    def predict(self, x: Array) -> Array:
        """Compute the probabilities as a NumPy array."""
        raise NotImplementedError

    def call(self, x: Array) -> Any:
        """Call the model with the least overhead."""
        return self.predict(x)

    def evaluate(self, x: Array, y: Array) -> tuple[float, float]:
        """Return the mean loss and the accuracy."""
        p = self.predict(x)
        return check.mean_loss(p, y), float(np.mean(p.argmax(1) == y))


class Fitted(Net):
    """Model with the API of Keras, built with `library`."""

    def __init__(self, problem: Problem, library: Any, **options: Any) -> None:
        super().__init__(problem)
        layers, task = library.layers, problem.task
        penalty = library.regularizers.L2(task.l2) if task.l2 else None
        stack = [layers.Input((task.inputs,))]
        for units in task.hidden:
            activation = None if task.batch_norm else task.activation
            stack.append(layers.Dense(units, activation, kernel_regularizer=penalty))
            if task.batch_norm:
                stack += [layers.BatchNormalization(), layers.Activation(task.activation)]
            if task.dropout:
                stack.append(layers.Dropout(task.dropout))
        stack.append(layers.Dense(task.outputs, task.head, kernel_regularizer=penalty))
        self.model = library.Sequential(stack)
        optimizers = library.optimizers
        optimizer = {
            "adam": optimizers.Adam, "adamw": optimizers.AdamW,
            "rmsprop": optimizers.RMSprop, "sgd": optimizers.SGD,
        }[task.optimizer]  # fmt: skip
        loss: Any = task.loss
        if task.classifies and task.head == "linear":
            loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
        classes = "categorical" in task.loss
        measured = ["accuracy"] if classes else None
        self.model.compile(optimizer(task.learning_rate), loss, metrics=measured, **options)
        variables = self.model.trainable_variables
        for variable, w in zip(variables, problem.first_weights(), strict=True):
            variable.assign(w)

    def train_batch(self, x: Array, y: Array) -> float:
        return float(self.model.train_on_batch(x, y, return_dict=True)["loss"])

    def weights(self) -> Arrays:
        return [np.asarray(v) for v in self.model.trainable_variables]

    def epoch(self) -> None:
        self.train(1)

    def train(self, epochs: int) -> None:
        options = {"batch_size": self.batch, "epochs": epochs, "verbose": 0}
        self.history = self.model.fit(self.x, self.y, **options).history

    def loss(self) -> float | None:
        return float(self.history["loss"][-1])

    def predict(self, x: Array) -> Array:
        return np.asarray(self.model.predict(x, verbose=0))

    def call(self, x: Array) -> Any:
        return self.model(x)

    def evaluate(self, x: Array, y: Array) -> tuple[float, float]:
        loss, accuracy = self.model.evaluate(x, y, verbose=0)
        return float(loss), float(accuracy)


class Tinynet(Fitted):
    """tinynet with the numba backend."""

    backend = "numba"

    def __init__(self, problem: Problem, threads: int) -> None:
        import tinynet

        tinynet.config.set_backend(self.backend)
        tinynet.config.set_num_threads(threads)
        super().__init__(problem, tinynet)


class TinynetNumpy(Tinynet):
    """tinynet with the numpy backend."""

    backend = "numpy"


class Keras(Fitted):
    """Keras, with backend and threads configured by environment variables."""

    def __init__(self, problem: Problem, threads: int) -> None:
        import keras

        super().__init__(problem, keras)


class KerasXla(Fitted):
    """Keras with a training step compiled by XLA, and many steps per call."""

    def __init__(self, problem: Problem, threads: int) -> None:
        import keras

        steps = -(-len(problem.x) // problem.task.batch)
        super().__init__(problem, keras, jit_compile=True, steps_per_execution=min(steps, 100))


class Torch(Net):
    """PyTorch with the training loop of its tutorials, and batches selected from a tensor."""

    epsilon_after = True

    def __init__(self, problem: Problem, threads: int) -> None:
        import torch

        super().__init__(problem)
        self.torch: Any = torch
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.model, self.criterion = self._model(), self._criterion()
        with torch.no_grad():
            for parameter, w in zip(self.model.parameters(), problem.first_weights(), strict=True):
                parameter.copy_(torch.from_numpy(w.T))
        self.optimizer = self._optimizer()
        self.tensors = torch.from_numpy(self.x), torch.from_numpy(self.y)

    def _model(self) -> Any:
        """Build the layers; a cross-entropy loss includes the output activation."""
        nn, task = self.torch.nn, self.problem.task
        activations = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
        layers: list[Any] = []
        for fan_in, units in itertools.pairwise(task.sizes[:-1]):
            layers.append(nn.Linear(fan_in, units))
            if task.batch_norm:
                layers.append(nn.BatchNorm1d(units, VARIANCE_EPSILON, 0.01))
            layers.append(activations[task.activation]())
            if task.dropout:
                layers.append(nn.Dropout(task.dropout))
        layers.append(nn.Linear(*task.sizes[-2:]))
        if task.loss == "mse" and task.head != "linear":
            layers.append(activations[task.head]())
        return nn.Sequential(*layers)

    def _criterion(self) -> Any:
        nn, loss = self.torch.nn, self.problem.task.loss
        losses = {"mse": nn.MSELoss, "binary_crossentropy": nn.BCEWithLogitsLoss}
        return losses.get(loss, nn.CrossEntropyLoss)()

    def _optimizer(self) -> Any:
        """Build the fastest variant of the optimizer, with `weight_decay` as L2 penalty."""
        optim, task = self.torch.optim, self.problem.task
        groups: list[Any] = [{"params": [p for p in self.model.parameters() if p.ndim == 1]}]
        kernels = [p for p in self.model.parameters() if p.ndim == 2]
        groups.append({"params": kernels, **({"weight_decay": 2 * task.l2} if task.l2 else {})})
        if task.optimizer == "sgd":
            return optim.SGD(groups, task.learning_rate, fused=True)
        if task.optimizer == "rmsprop":
            return optim.RMSprop(groups, task.learning_rate, RHO, EPSILON, foreach=True)
        options = {"betas": (BETA_1, BETA_2), "eps": EPSILON, "fused": True}
        if task.optimizer == "adamw":
            return optim.AdamW(groups, task.learning_rate, weight_decay=WEIGHT_DECAY, **options)
        return optim.Adam(groups, task.learning_rate, **options)

    def _step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _penalty(self) -> float:
        """Compute the L2 penalty; the optimizer adds only its gradient, so the loss must add it."""
        kernels = [p for p in self.model.parameters() if p.ndim == 2]
        return self.problem.task.l2 * sum(float((p.detach() ** 2).sum()) for p in kernels)

    def train_batch(self, x: Array, y: Array) -> float:
        penalty = self._penalty()
        loss: float = self._step(self.torch.from_numpy(x), self.torch.from_numpy(y)).item()
        return loss + penalty

    def weights(self) -> Arrays:
        return [p.detach().numpy().T for p in self.model.parameters()]

    def _batches(self) -> Iterator[tuple[Any, Any]]:
        x, y = self.tensors
        order = self.torch.randperm(len(x))
        if x.nbytes < SMALL:
            return zip(x[order].split(self.batch), y[order].split(self.batch), strict=True)
        parts = order.split(self.batch)
        return ((x.index_select(0, rows), y.index_select(0, rows)) for rows in parts)

    def epoch(self) -> None:
        self.model.train()
        self.losses = [self._step(x, y) for x, y in self._batches()]

    def loss(self) -> float | None:
        return float(self.torch.stack(self.losses).mean()) + self._penalty()

    def call(self, x: Array) -> Any:
        with self.torch.inference_mode():
            return self.torch.softmax(self.model(self.torch.from_numpy(x)), 1)

    def predict(self, x: Array) -> Array:
        return np.asarray(self.call(x).numpy())

    def evaluate(self, x: Array, y: Array) -> tuple[float, float]:
        self.model.eval()
        with self.torch.inference_mode():
            labels = self.torch.from_numpy(y)
            scores = self.model(self.torch.from_numpy(x))
            right = (scores.argmax(1) == labels).float().mean()
            return float(self.criterion(scores, labels)), float(right)


class TorchCompiled(Torch):
    """PyTorch with forward pass, backward pass and optimizer in one compiled function."""

    epsilon_after = False

    def __init__(self, problem: Problem, threads: int) -> None:
        super().__init__(problem, threads)
        torch, task = self.torch, problem.task
        if task.batch_norm:
            raise NotImplementedError("torch.func.grad does not update the moving averages")
        named = {name: p.detach() for name, p in self.model.named_parameters()}
        m, v = ([torch.zeros_like(p) for p in named.values()] for _ in range(2))
        self.steps, self.rate = 0, torch.tensor(task.learning_rate)

        def mean_loss(parameters: Any, x: Any, y: Any) -> Any:
            z = torch.func.functional_call(self.model, parameters, (x,))
            penalty = task.l2 * sum((p * p).sum() for p in parameters.values() if p.ndim == 2)
            return self.criterion(z, y) + (penalty if task.l2 else 0)

        def step(x: Any, y: Any, rate: Any) -> Any:
            gradients, loss = torch.func.grad_and_value(mean_loss)(named, x, y)
            for (name, w), m_w, v_w in zip(named.items(), m, v, strict=True):
                g = gradients[name]
                if task.optimizer == "sgd":
                    w.sub_(rate * g)
                elif task.optimizer == "rmsprop":
                    v_w.add_((g * g - v_w) * (1 - RHO))
                    w.sub_(rate * g * torch.rsqrt(v_w + EPSILON))
                else:
                    m_w.add_((g - m_w) * (1 - BETA_1))
                    v_w.add_((g * g - v_w) * (1 - BETA_2))
                    if task.optimizer == "adamw":
                        w.mul_(1 - task.learning_rate * WEIGHT_DECAY)
                    w.sub_(rate * m_w / (torch.sqrt(v_w) + EPSILON))
            return loss

        import torch._dynamo
        import torch._inductor.config

        torch._dynamo.reset()  # compile for this task only, for its two batch sizes
        torch._inductor.config.fx_graph_cache = False  # slow, as it inspects all modules
        self._compiled = torch.compile(step, dynamic=False)

    def _step(self, x: Any, y: Any) -> Any:
        if self.problem.task.optimizer in ("adam", "adamw"):
            self.steps += 1
            correction = (1 - BETA_2**self.steps) ** 0.5 / (1 - BETA_1**self.steps)
            self.rate.fill_(self.problem.task.learning_rate * correction)
        return self._compiled(x, y, self.rate)

    def _penalty(self) -> float:
        return 0.0  # included in the loss


class Jax(Net):
    """JAX with an epoch compiled to one `scan`, and weights updated in place."""

    def __init__(self, problem: Problem, threads: int) -> None:
        import jax
        import jax.numpy as jnp

        super().__init__(problem)
        self.jax: Any = jax
        self.rng = np.random.default_rng(0)
        task = problem.task
        each = 4 if task.batch_norm else 2
        last = each * len(task.hidden)
        activations = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}

        def drop(x: Any, key: Any) -> Any:
            keep = jax.random.bernoulli(key, 1 - task.dropout, x.shape)
            return jnp.where(keep, x / (1 - task.dropout), 0)

        def scores(weights: Any, x: Any, key: Any) -> tuple[Any, list[Any]]:
            """Return the output pre-activations, and the statistics of batch normalization."""
            statistics = []
            keys = jax.random.split(key, len(task.hidden)) if task.dropout else task.hidden
            for i, key in zip(range(0, last, each), keys, strict=True):
                x = x @ weights[i] + weights[i + 1]
                if task.batch_norm:
                    mean, variance = x.mean(0), x.var(0)
                    scale = weights[i + 2] * jax.lax.rsqrt(variance + VARIANCE_EPSILON)
                    x = (x - mean) * scale + weights[i + 3]
                    statistics += [mean, variance]
                x = activations[task.activation](x)
                if task.dropout:
                    x = drop(x, key)
            return x @ weights[last] + weights[last + 1], statistics

        def mean_loss(weights: Any, x: Any, y: Any, key: Any) -> Any:
            z, statistics = scores(weights, x, key)
            if task.loss == "binary_crossentropy":
                loss = (jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z)))).mean()
            elif task.loss == "mse":
                loss = ((activations.get(task.head, lambda z: z)(z) - y) ** 2).mean()
            elif y.ndim == 2:
                loss = -(jax.nn.log_softmax(z) * y).sum(1).mean()
            else:
                loss = -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1).mean()
            if task.l2:
                loss += task.l2 * sum((w * w).sum() for w in weights[::each])
            return loss, statistics

        def update(w: Any, g: Any, m: Any, v: Any, t: Any) -> Any:
            rate = task.learning_rate
            if task.optimizer == "sgd":
                return w - rate * g, m, v
            if task.optimizer == "rmsprop":
                v = v + (g * g - v) * (1 - RHO)
                return w - rate * g * jax.lax.rsqrt(v + EPSILON), m, v
            m = m + (g - m) * (1 - BETA_1)
            v = v + (g * g - v) * (1 - BETA_2)
            if task.optimizer == "adamw":
                w = w - w * (rate * WEIGHT_DECAY)
            alpha = rate * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
            return w - alpha * m / (jnp.sqrt(v) + EPSILON), m, v

        def step(state: Any, x: Any, y: Any) -> Any:
            weights, m, v, moving, key, t = state
            t = t + 1
            key, now = jax.random.split(key) if task.dropout else (key, key)
            (loss, statistics), g = jax.value_and_grad(mean_loss, has_aux=True)(weights, x, y, now)
            moving = [0.99 * a + 0.01 * b for a, b in zip(moving, statistics, strict=True)]
            each = [update(*arrays, t) for arrays in zip(weights, g, m, v, strict=True)]
            weights, m, v = ([arrays[i] for arrays in each] for i in range(3))
            return (weights, m, v, moving, key, t), loss

        def pick(array: Any, rows: Any) -> Any:
            return array.at[rows].get(mode="promise_in_bounds")  # without bounds checks

        def epoch(state: Any, x: Any, y: Any, order: Any) -> Any:
            whole = len(order) // self.batch * self.batch
            parts = order[:whole].reshape(-1, self.batch)
            if x.nbytes < SMALL:
                batches = pick(x, parts), pick(y, parts)
                state, losses = jax.lax.scan(lambda state, b: step(state, *b), state, batches)
            else:
                state, losses = jax.lax.scan(
                    lambda state, rows: step(state, pick(x, rows), pick(y, rows)), state, parts
                )
            if rest := len(order) - whole:
                state, loss = step(state, pick(x, order[-rest:]), pick(y, order[-rest:]))
                losses = jnp.append(losses, loss)
            return state, losses.mean()

        self._step = jax.jit(step)
        self._epoch = jax.jit(epoch, donate_argnums=0)
        self._probabilities = jax.jit(
            lambda weights, x: jax.nn.softmax(scores(weights, x, None)[0])
        )
        weights = [jnp.asarray(w) for w in problem.first_weights()]
        m, v = ([jnp.zeros_like(w) for w in weights] for _ in range(2))
        moving = [jnp.full(n, i, jnp.float32) for n in task.hidden for i in (0, 1)]
        key = jax.random.key(0)
        self.state = (weights, m, v, moving if task.batch_norm else [], key, jnp.float32(0))
        y = self.y.astype(np.int32) if task.classifies else self.y
        self.arrays = jnp.asarray(self.x), jnp.asarray(y)

    def train_batch(self, x: Array, y: Array) -> float:
        self.state, loss = self._step(self.state, x, y)
        return float(loss)

    def weights(self) -> Arrays:
        return [np.asarray(w) for w in self.state[0]]

    def epoch(self) -> None:
        order = self.rng.permutation(len(self.x)).astype(np.int32)
        self.state, self.mean_loss = self._epoch(self.state, *self.arrays, order)
        self.jax.block_until_ready((self.state, self.mean_loss))

    def loss(self) -> float | None:
        return float(self.mean_loss)

    def call(self, x: Array) -> Any:
        return self._probabilities(self.state[0], x).block_until_ready()

    def predict(self, x: Array) -> Array:
        return np.asarray(self.call(x))


class Onnx(Net):
    """ONNX Runtime with a network exported by tinynet."""

    def __init__(self, problem: Problem, threads: int) -> None:
        import onnxruntime

        import tinynet

        super().__init__(problem)
        self.model = Fitted(problem, tinynet).model
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "net.onnx")
            self.model.export(path)
            self.session = onnxruntime.InferenceSession(path.read_bytes(), options)
        self.input = self.session.get_inputs()[0].name

    def check(self) -> str:
        x = self.x[:256]
        p = check.predict(self.problem.task, self.problem.first_weights(), x)
        np.testing.assert_allclose(self.predict(x), p, atol=1e-5)
        return "predictions"

    def epoch(self) -> None:
        raise NotImplementedError("ONNX Runtime does not support training")

    def predict(self, x: Array) -> Array:
        return np.asarray(self.session.run(None, {self.input: x})[0])


class Sklearn(Net):
    """scikit-learn; `partial_fit` trains for one epoch, or one step if it receives one batch."""

    def __init__(self, problem: Problem, threads: int) -> None:
        from sklearn.neural_network import MLPClassifier

        super().__init__(problem)
        adam = {"beta_1": BETA_1, "beta_2": BETA_2, "epsilon": EPSILON, "alpha": 0.0}
        settings = {"batch_size": self.batch, "learning_rate_init": problem.task.learning_rate}
        self.model = MLPClassifier(problem.task.hidden, **settings, **adam, random_state=0)
        # The first step creates the arrays; its update and optimizer state are then discarded.
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
    """Matrix products ``x @ kernel`` and ``x.T @ d`` of the first layer, without a network.

    This is a lower bound for libraries that compute them as dense products.
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
        # Rounding error of a float32 sum of up to 784 terms: eps sqrt(784).
        np.testing.assert_allclose(self.z, x @ self.kernel, atol=1e-4)
        np.testing.assert_allclose(self.d_kernel, x.T @ self.d, rtol=1e-4, atol=1e-7)
        return "the two products"

    def epoch(self) -> None:
        for start in range(0, len(self.x), self.batch):
            self._products(self.x[start : start + self.batch])
