"""Regularizer, constraint and initializer written as functions."""

import numpy as np
import tensorflow as tf
from tensorflow import keras


def data(rng):
    x = rng.standard_normal((96, 6)).astype("float32")
    return x, (x[:, :1] * x[:, 1:2] + np.sin(x[:, 2:3])).astype("float32")


def my_l1_regularizer(weights):
    return tf.reduce_sum(tf.abs(0.01 * weights))


def my_positive_weights(weights):
    return tf.where(weights < 0.0, tf.zeros_like(weights), weights)


def my_initializer(shape, dtype=None):
    return tf.ones(shape, dtype=dtype or "float32") * 0.1


def make():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(
                12,
                activation=lambda z: tf.math.log(tf.exp(z) + 1.0),
                kernel_regularizer=my_l1_regularizer,
                kernel_constraint=my_positive_weights,
                bias_initializer=my_initializer,
            ),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    return model


def train(model, x, y):
    return model.fit(x, y, batch_size=16, epochs=8, shuffle=False, verbose=0).history["loss"]
