"""Activations and a loss as functions, Lambda layers, and all kinds of penalties."""

import tensorflow as tf
from tensorflow import keras
from tensorflow.keras import layers, regularizers

from tests.custom_programs import common

data, train = common.numbers, common.fit


def leaky_swish(x):
    return x * tf.nn.sigmoid(1.5 * x) + 0.01 * x


def log_cosh_by_hand(y_true, y_pred):
    error = tf.abs(y_pred - y_true)
    return tf.reduce_mean(error + tf.math.log1p(tf.exp(-2.0 * error)), axis=-1)


def make():
    model = keras.models.Sequential()
    model.add(layers.Input(shape=(6,)))
    model.add(layers.Lambda(lambda x: x / 2.0 - 0.1))
    model.add(layers.Dense(16, leaky_swish, activity_regularizer=regularizers.L2(1e-2)))
    model.add(layers.Lambda(lambda x: tf.math.l2_normalize(x, axis=-1)))
    model.add(layers.ActivityRegularization(l1=1e-3))
    softplus_by_hand = lambda z: tf.math.log(tf.exp(z) + 1.0)  # noqa: E731
    model.add(layers.Dense(12, softplus_by_hand, kernel_regularizer=regularizers.L1L2(1e-4, 1e-3)))
    model.add(layers.Dense(1))
    rate = keras.optimizers.schedules.ExponentialDecay(0.02, 10, 0.9)
    model.compile(keras.optimizers.RMSprop(rate), loss=log_cosh_by_hand, metrics=["mae"])
    return model
