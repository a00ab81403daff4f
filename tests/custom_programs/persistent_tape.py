"""One persistent tape for two losses of a model with two heads."""

import tensorflow as tf
from tensorflow import keras


def data(rng):
    x = rng.standard_normal((96, 8)).astype("float32")
    return x, (x[:, :1] > 0).astype("float32")


def make():
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(12, activation="sigmoid")(inputs)
    outputs = [keras.layers.Dense(1)(hidden), keras.layers.Dense(8)(hidden)]
    return keras.Model(inputs, outputs)


def train(model, x, y):
    optimizer = keras.optimizers.SGD(0.1)
    losses = []
    for _step in range(30):
        with tf.GradientTape(persistent=True) as tape:
            logit, copy = model(x, training=True)
            bce = tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logit)
            first, second = tf.reduce_mean(bce), tf.reduce_mean((copy - x) ** 2)
        one = tape.gradient(first, model.trainable_weights[:4])
        two = tape.gradient(second, model.trainable_weights)
        assert two[2] is None  # the head of the other loss
        del tape
        one += [None] * (len(two) - len(one))
        total = [
            0.5 * b if a is None else a if b is None else a + 0.5 * b for a, b in zip(one, two)
        ]
        optimizer.apply_gradients(zip(total, model.trainable_weights))
        losses.append(float(first + second))
    return losses
