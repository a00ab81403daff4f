"""Custom training loops in the style of TensorFlow's guides.

Each function takes the library (`tensorflow` or `tinynet.compat.tensorflow`) as its argument, and
returns the trained weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def perceptron(tf: Any) -> list[Any]:
    """Train a network of `tf.Module` layers with a hand-written optimizer."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 6, 6, 1)).astype("uint8")
    labels = rng.integers(0, 10, 300)

    def preprocess(x: Any, y: Any) -> Any:
        return tf.reshape(x, shape=[-1, 36]) / 255, y

    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(64).map(preprocess)

    def xavier(shape: Any) -> Any:
        limit = tf.sqrt(6.0) / tf.sqrt(tf.cast(shape[0] + shape[1], tf.float32))
        return tf.constant(rng.uniform(-1, 1, shape).astype("float32")) * limit

    class Dense(tf.Module):  # type: ignore[misc]  # the base class depends on the library
        def __init__(self, units: int, activation: Any = tf.identity) -> None:
            super().__init__()
            self.units, self.activation, self.built = units, activation, False

        def __call__(self, x: Any) -> Any:
            if not self.built:
                self.w = tf.Variable(xavier(shape=(x.shape[1], self.units)))
                self.b = tf.Variable(tf.zeros(shape=(self.units,)))
                self.built = True
            return self.activation(tf.add(tf.matmul(x, self.w), self.b))

    class Stack(tf.Module):  # type: ignore[misc]  # the base class depends on the library
        def __init__(self, layers: Any) -> None:
            super().__init__()
            self.layers = layers

        def __call__(self, x: Any) -> Any:
            for layer in self.layers:
                x = layer(x)
            return x

    model = Stack([Dense(16, tf.nn.relu), Dense(10)])
    means: list[Any] = []
    for step in range(3):
        for x, y in batches:
            with tf.GradientTape() as tape:
                scores = model(x)
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=scores)
                )
            gradients = tape.gradient(loss, model.variables)
            if not means:
                means = [tf.Variable(tf.zeros(shape=v.shape)) for v in model.variables]
            for variable, mean, gradient in zip(model.variables, means, gradients, strict=True):
                mean.assign(0.9 * mean + 0.1 * tf.square(gradient))
                variable.assign_sub(0.01 * gradient / (tf.sqrt(mean) + 1e-7))
            right = tf.equal(y, tf.argmax(scores, axis=1))
            assert 0 <= float(tf.reduce_mean(tf.cast(right, tf.float32))) <= 1, step
    return [*model.variables]


def network(tf: Any, sizes: list[int], seed: int) -> Any:
    rng = np.random.default_rng(seed)
    layers = [tf.keras.layers.Dense(n, activation="tanh") for n in sizes[1:-1]]
    model = tf.keras.Sequential(
        [tf.keras.Input((sizes[0],)), *layers, tf.keras.layers.Dense(sizes[-1])]
    )
    weights = [rng.standard_normal(w.shape).astype("float32") / 3 for w in model.get_weights()]
    model.set_weights(weights)
    return model


def adversarial(tf: Any) -> list[Any]:
    """Train a GAN with two gradient tapes; the dataset drops the final partial batch."""
    rng = np.random.default_rng(1)
    real = (rng.standard_normal((100, 6)) / 2 + 1).astype("float32")
    generator, critic = network(tf, [4, 8, 6], 1), network(tf, [6, 8, 1], 2)
    entropy = tf.keras.losses.BinaryCrossentropy(from_logits=True)
    optimizers = tf.keras.optimizers.Adam(0.01), tf.keras.optimizers.Adam(0.01, beta_1=0.5)

    @tf.function(reduce_retracing=True)
    def step(examples: Any, noise: Any) -> None:
        with tf.GradientTape() as first, tf.GradientTape() as second:
            made = critic(generator(noise, training=True), training=True)
            given = critic(examples, training=True)
            generator_loss = entropy(tf.ones_like(made), made)
            critic_loss = entropy(tf.ones_like(given), given) + entropy(tf.zeros_like(made), made)
        for model, tape, loss, optimizer in zip(
            (generator, critic), (first, second), (generator_loss, critic_loss), optimizers,
            strict=True,
        ):  # fmt: skip
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    dataset = tf.data.Dataset.from_tensor_slices(real).batch(32, drop_remainder=True).prefetch(1)
    for examples in dataset.repeat(5):
        step(examples, tf.constant(rng.standard_normal((32, 4)), dtype=tf.float32))
    return generator.get_weights() + critic.get_weights()


def q_learning(tf: Any) -> list[Any]:
    """Train a Q-network, using `gather` with `batch_dims`, one-hot masks and clipped gradients."""
    rng = np.random.default_rng(2)
    model, optimizer = network(tf, [4, 8, 3], 3), tf.keras.optimizers.RMSprop(0.01)
    huber = tf.keras.losses.Huber()
    for step in range(20):
        state = rng.standard_normal((16, 4)).astype("float32")
        action = rng.integers(0, 3, 16)
        reward = rng.standard_normal(16).astype("float32")
        target = reward + 0.9 * tf.reduce_max(model(state), axis=1)
        with tf.GradientTape() as tape:
            values = model(state)
            if step % 2:
                value = tf.gather(values, action, axis=1, batch_dims=1)
            else:
                value = tf.reduce_sum(tf.multiply(values, tf.one_hot(action, 3)), axis=1)
            loss = huber(target, value)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, model.trainable_variables), 0.5)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return model.get_weights()


def reversed_gradient(tf: Any) -> list[Any]:
    """Train with a gradient reversal layer and an L2 penalty, using a persistent tape."""

    @tf.custom_gradient
    def reverse(x: Any) -> Any:
        return x, lambda upstream: -0.5 * upstream

    rng = np.random.default_rng(3)
    body, head = network(tf, [5, 6], 4), network(tf, [6, 1], 5)
    dataset = tf.data.Dataset.from_tensor_slices(
        {"x": rng.standard_normal((40, 5)).astype("float32"), "y": rng.integers(0, 2, 40)}
    ).cache()
    optimizer = tf.keras.optimizers.SGD(0.1)
    for batch in dataset.batch(10).repeat(4):
        x, y = batch["x"], tf.cast(batch["y"], tf.float32)[:, tf.newaxis]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            scores = head(reverse(body(x)))
            loss = tf.reduce_mean(
                tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=scores)
            ) + 0.01 * tf.add_n([tf.nn.l2_loss(v) for v in body.trainable_variables])
        assert tape.gradient(loss, x).shape == (10, 5)
        variables = body.trainable_variables + head.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    return body.get_weights() + head.get_weights()


PROGRAMS = (perceptron, adversarial, q_learning, reversed_gradient)
