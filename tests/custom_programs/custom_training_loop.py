"""A training loop with a gradient tape, over shuffled batches."""

import tensorflow as tf
from tensorflow import keras


def data(rng):
    x = rng.standard_normal((96, 12)).astype("float32")
    return x, (x @ rng.standard_normal((12, 4))).argmax(axis=1)


def make():
    return keras.Sequential(
        [
            keras.layers.Input((12,)),
            keras.layers.Dense(24, activation="relu"),
            keras.layers.Dense(24, activation="relu"),
            keras.layers.Dense(4),
        ]
    )


def train(model, x, y):
    optimizer = keras.optimizers.SGD(learning_rate=0.05, momentum=0.9)
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    losses = []
    for _epoch in range(8):
        for x_batch, y_batch in dataset:
            with tf.GradientTape() as tape:
                logits = model(x_batch, training=True)
                loss_value = loss_fn(y_batch, logits)
            grads = tape.gradient(loss_value, model.trainable_weights)
            optimizer.apply_gradients(zip(grads, model.trainable_weights))
            losses.append(float(loss_value))
    return losses
