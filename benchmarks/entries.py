"""Entries of the benchmark `time_to_accuracy`: how each library follows a recipe.

An entry is a function of a recipe, uint8 images of shape (n, 28, 28), labels and a seed. It trains
and returns a function that classifies images. Its time includes every conversion of the arrays; a
first call, which is not timed, imports and compiles.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.recipes import Array, Recipe

Predict = Callable[[Array], Array]


def ahead(items: Iterator[Any]) -> Iterator[Any]:
    """Yield items that a thread computes while the caller uses the item before."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, items, None)
        while (found := following.result()) is not None:
            following = thread.submit(next, items, None)
            yield found


# ---------------------------------------------------------------- tinynet


def tinynet(recipe: Recipe, x: Array, y: Array, seed: int) -> Predict:
    """Train on images in CSR format, in which a shift only changes the column indices."""
    import tinynet
    from tinynet import layers, losses, optimizers

    tinynet.config.set_num_threads("auto")
    tinynet.utils.set_random_seed(seed)
    hidden = [layers.Dense(units, "relu") for units in recipe.hidden]
    model = tinynet.Sequential([layers.Flatten(), *hidden, layers.Dense(10)])
    rising, falling = recipe.steps(x)
    rate: Any = recipe.rate
    if recipe.decays:
        warmup = {"warmup_target": rate, "warmup_steps": rising}
        rate = optimizers.schedules.CosineDecay(0.0, falling, **warmup)
    averaged: Any = {"use_ema": True, "ema_momentum": recipe.momentum} if recipe.momentum else {}
    adam = optimizers.Adam(rate, recipe.beta_1, recipe.beta_2, recipe.epsilon, **averaged)
    loss: Any = losses.SparseCategoricalCrossentropy(from_logits=True)
    if recipe.smoothing:
        y = tinynet.utils.to_categorical(y, 10)
        loss = losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.smoothing)
    model.compile(adam, loss)
    if recipe.variations:
        for epoch, rows in enumerate(ahead(epochs_of_rows(recipe, x, seed))):
            model.fit(rows, y, recipe.batch, epoch + 1, 0, initial_epoch=epoch)
    else:
        model.fit(_rows(x), y, recipe.batch, recipe.epochs, 0)
    return lambda images: np.argmax(model.predict(_rows(images), verbose=0), axis=1)


def _rows(images: Array) -> Any:
    """Convert images to CSR format, with values from 0 to 1."""
    from tinynet.sparse import CompressedRows

    rows = CompressedRows(images, "float32")
    rows.values /= np.float32(255)
    return rows


def epochs_of_rows(recipe: Recipe, x: Array, seed: int) -> Iterator[Any]:
    """Yield the images of each epoch in CSR format."""
    if recipe.variations == "strokes":
        yield from map(_rows, recipe.epochs_of(x, seed))
        return
    rows = _rows(x)
    counts = np.diff(rows.indptr)
    for shifts in recipe.shifts(x, seed):
        columns = (28 * shifts[:, 0] + shifts[:, 1]).astype(np.uint16)
        moved = rows.reshape(rows.shape)
        moved.indices = rows.indices.copy()
        moved.indices[: rows.indptr[-1]] += np.repeat(columns, counts)  # modulo 2**16
        yield moved


# ---------------------------------------------------------------- PyTorch


def torch(recipe: Recipe, x: Array, y: Array, seed: int) -> Predict:
    """Train in a loop with fused Adam, on batches that are converted from uint8."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    sizes = (784, *recipe.hidden, 10)
    stack: list[Any] = [nn.Flatten()]
    for fan_in, units in itertools.pairwise(sizes):
        stack += [nn.Linear(fan_in, units), nn.ReLU()]
    model = nn.Sequential(*stack[:-1])
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    betas = (recipe.beta_1, recipe.beta_2)
    adam = torch.optim.Adam(model.parameters(), recipe.rate, betas, recipe.epsilon, fused=True)
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    rates, labels = iter(recipe.rates(x).tolist()), torch.from_numpy(y.astype(np.int64))

    def scaled(images: Any) -> Any:
        return images.float().mul_(1 / 255)

    for images, shifts in ahead(epochs_of_images(recipe, x, seed)):
        pixels = torch.from_numpy(images)
        if shifts is not None:
            windows = pixels.unfold(1, 28, 1).unfold(2, 28, 1)
            down, right = torch.from_numpy(1 - shifts.astype(np.int64)).T
        for rows in torch.randperm(len(x)).split(recipe.batch):
            if shifts is None:
                batch = pixels.index_select(0, rows)
            else:
                batch = windows[rows, down[rows], right[rows]]
            adam.zero_grad()
            criterion(model(scaled(batch)), labels[rows]).backward()
            adam.param_groups[0]["lr"] = next(rates)
            adam.step()

    def predict(images: Array) -> Array:
        with torch.inference_mode():
            found: Array = model(scaled(torch.from_numpy(images))).argmax(1).numpy()
            return found

    return predict


def epochs_of_images(recipe: Recipe, x: Array, seed: int) -> Iterator[tuple[Array, Any]]:
    """Yield the images of each epoch, and None or shifts in images with a margin of one pixel."""
    if recipe.variations == "shifts":
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        yield from ((padded, shifts) for shifts in recipe.shifts(x, seed))
    else:
        yield from ((images, None) for images in recipe.epochs_of(x, seed))


# ---------------------------------------------------------------- JAX


def jax(recipe: Recipe, x: Array, y: Array, seed: int) -> Predict:
    """Train with one compiled scan per epoch, on batches that are converted from uint8."""
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.key(seed), len(recipe.hidden) + 1)
    initial = jax.nn.initializers.glorot_uniform()
    weights = [
        (initial(key, sizes), jnp.zeros(sizes[1]))
        for key, sizes in zip(keys, itertools.pairwise((784, *recipe.hidden, 10)), strict=True)
    ]
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = (weights, zeros, jax.tree.map(jnp.zeros_like, weights), jnp.float32(0))
    epoch, scores = _compiled(recipe)
    rng, rates = np.random.default_rng(seed), recipe.rates(x).reshape(recipe.epochs, -1)
    labels = jnp.asarray(y.astype(np.int32))
    for (images, shifts), rate in zip(ahead(epochs_of_images(recipe, x, seed)), rates, strict=True):
        order = rng.permutation(len(x)).astype(np.int32).reshape(-1, recipe.batch)
        begin = None if shifts is None else 1 - shifts.astype(np.int32)
        state = epoch(state, images, begin, labels, order, rate)
    jax.block_until_ready(state)
    return lambda images: np.asarray(scores(state[0], images).argmax(1))


@functools.cache
def _compiled(recipe: Recipe) -> tuple[Any, Any]:
    """Return the compiled functions that train for an epoch and compute the logits of images."""
    import jax
    import jax.numpy as jnp

    def scores(weights: Any, images: Any) -> Any:
        x = images.reshape(len(images), 784).astype(jnp.float32) * jnp.float32(1 / 255)
        for kernel, bias in weights[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        return x @ weights[-1][0] + weights[-1][1]

    def loss(weights: Any, images: Any, labels: Any) -> Any:
        found = jax.nn.log_softmax(scores(weights, images))
        right = jnp.take_along_axis(found, labels[:, None], 1).mean()
        return (recipe.smoothing - 1) * right - recipe.smoothing * found.mean()

    def pick(array: Any, rows: Any) -> Any:
        return array.at[rows].get(mode="promise_in_bounds")  # without bounds checks

    def epoch(state: Any, images: Any, begin: Any, labels: Any, order: Any, rates: Any) -> Any:
        def window(row: Any) -> Any:
            start = (row, *pick(begin, row))
            return jax.lax.dynamic_slice(images, start, (1, 28, 28))[0]

        def step(state: Any, inputs: Any) -> Any:
            weights, m, v, t = state
            rows, rate = inputs
            batch = pick(images, rows) if begin is None else jax.vmap(window)(rows)
            gradients = jax.grad(loss)(weights, batch, pick(labels, rows))
            t = t + 1
            b1, b2 = recipe.beta_1, recipe.beta_2
            m = jax.tree.map(lambda m, g: m + (g - m) * (1 - b1), m, gradients)
            v = jax.tree.map(lambda v, g: v + (g * g - v) * (1 - b2), v, gradients)
            alpha = rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
            weights = jax.tree.map(
                lambda w, m, v: w - alpha * m / (jnp.sqrt(v) + recipe.epsilon), weights, m, v
            )
            return (weights, m, v, t), None

        return jax.lax.scan(step, state, (order, rates))[0]

    return jax.jit(epoch, donate_argnums=0), jax.jit(scores)


ENTRIES = {"tinynet": tinynet, "PyTorch": torch, "JAX": jax}
