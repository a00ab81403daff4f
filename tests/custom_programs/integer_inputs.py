"""Subclassed models with uint8 and index inputs, in arrays and in a dict."""

import numpy as np
import tensorflow as tf
from tensorflow import keras
from tensorflow.keras import layers

from tests.custom_programs import common


def data(rng):
    pixels = rng.integers(0, 256, (64, 4, 4), dtype=np.uint8)
    return pixels, rng.integers(0, 5, (64, 3)), rng.integers(0, 3, 64)


class Bytes(keras.Model):
    def __init__(self):
        super().__init__()
        self.flat, self.scale = layers.Flatten(), layers.Rescaling(1 / 255.0)
        self.d1, self.d2 = layers.Dense(12, "relu"), layers.Dense(3, "softmax")
        self.bn = layers.BatchNormalization()

    def call(self, x, training=False):
        x = self.scale(self.flat(x))
        return self.d2(self.bn(self.d1(x), training=training))


class OneHot(keras.Model):
    def __init__(self):
        super().__init__()
        self.table = self.add_weight(shape=(5, 4), name="table")
        self.d = layers.Dense(3)

    def call(self, idx):
        one = tf.one_hot(idx[:, 0], 5)
        looked = tf.gather(self.table, idx[:, 1])
        even = tf.cast(tf.equal(idx[:, 2:] % 2, 0), tf.float32)
        return tf.nn.softmax(self.d(tf.concat([one, looked, even], -1)))


class Both(keras.Model):
    def __init__(self):
        super().__init__()
        self.emb = layers.Embedding(5, 3)
        self.d = layers.Dense(3, "softmax")

    def call(self, inputs):
        pixels, idx = inputs["pixels"], inputs["idx"]
        h = tf.reduce_mean(self.emb(idx), axis=1)
        flat = tf.cast(tf.reshape(pixels, (-1, 16)), "float32") / 128.0 - 1.0
        return self.d(layers.concatenate([h, flat, tf.one_hot(idx[:, 0], 5)]))


def make():
    models = Bytes(), OneHot(), Both()
    pixels, idx = np.zeros((1, 4, 4), np.uint8), np.zeros((1, 3), int)
    for model, x in zip(models, (pixels, idx, {"pixels": pixels, "idx": idx})):
        model(x)
    return models


def train(models, pixels, idx, y):
    out = []
    for m, x in zip(models, [pixels, idx, {"pixels": pixels, "idx": idx}]):
        m.compile(keras.optimizers.Adam(0.01, epsilon=1e-4), "sparse_categorical_crossentropy")
        out += [*common.fit(m, x, y, epochs=3), m.evaluate(x, y, verbose=0)]
        out += m.predict(x, verbose=0)[:3].ravel().tolist()
    return out
