"""An activation written as a function, and Lambda layers."""

import tensorflow as tf
from tensorflow import keras


def data(rng):
    x = rng.standard_normal((96, 12)).astype("float32")
    return x, (x @ rng.standard_normal((12, 4))).argmax(axis=1)


def leaky_swish(x):
    return x * tf.nn.sigmoid(1.5 * x) + 0.01 * x


def make():
    model = keras.models.Sequential()
    model.add(keras.layers.Input(shape=(12,)))
    model.add(keras.layers.Lambda(lambda x: x / 2.0 - 0.1))
    model.add(keras.layers.Dense(18, activation=leaky_swish))
    model.add(keras.layers.Lambda(lambda x: tf.math.l2_normalize(x, axis=-1)))
    model.add(keras.layers.Dense(4, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def train(model, x, y):
    return model.fit(x, y, batch_size=16, epochs=8, shuffle=False, verbose=0).history["loss"]
