"""Attention over the steps of a sequence with a mask, several outputs and a custom loss."""

import keras
import numpy as np
from keras import layers, ops

from tests.custom_programs import common

train = common.fit


def data(rng):
    x = rng.standard_normal((96, 5, 6)).astype("float32")
    mask = (rng.random((96, 5)) > 0.2).astype("float32")
    mask[:, 0] = 1.0
    return {"steps": x, "mask": mask}, (x[:, 0, :1] + np.tanh(x[:, 1, 1:2])).astype("float32")


class AttentionPooling(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.query = layers.Dense(units, activation="tanh")

    def build(self, input_shape):
        self.query.build(input_shape)
        self.context = self.add_weight(shape=(self.units,), initializer="glorot_uniform", name="u")

    def call(self, x, present=None, training=None):
        scores = ops.sum(self.query(x) * self.context, axis=-1)
        if present is not None:
            scores = scores + (1.0 - present) * -1e4
        weights = ops.softmax(scores, axis=1)
        self.add_loss(0.1 * ops.mean(ops.square(weights)))
        return ops.sum(x * ops.expand_dims(weights, -1), axis=1), weights

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1]), input_shape[:2]


def make():
    steps, mask = keras.Input((5, 6), name="steps"), keras.Input((5,), name="mask")
    x = layers.TimeDistributed(layers.Dense(8, activation="relu"))(steps)
    pooled, _ = AttentionPooling(7)(x, present=mask)
    model = keras.Model({"steps": steps, "mask": mask}, layers.Dense(1)(pooled))
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.01), "mse")
    return model
