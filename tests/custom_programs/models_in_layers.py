"""Models in a custom layer in a model, a gate with keyword arguments, and a metric by ops."""

import keras
import numpy as np
from keras import layers, ops

from tests.custom_programs import common


def data(rng):
    x = rng.standard_normal((96, 9)).astype("float32")
    y = (x[:, :1] * x[:, 1:2] > 0).astype("float32")
    return x, y, np.where(y[:, 0] > 0, 2.0, 0.5).astype("float32")


class BinaryF1(keras.metrics.Metric):
    def __init__(self, name="f1", threshold=0.5, **kwargs):
        super().__init__(name=name, **kwargs)
        self.threshold = threshold
        self.tp = self.add_weight(name="tp", initializer="zeros")
        self.wrong = self.add_weight(name="wrong", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.cast(y_true, "bool")
        y_pred = ops.greater(y_pred, self.threshold)
        false_positive = ops.logical_and(ops.logical_not(y_true), y_pred)
        false_negative = ops.logical_and(y_true, ops.logical_not(y_pred))
        self.tp.assign_add(ops.sum(ops.cast(ops.logical_and(y_true, y_pred), self.dtype)))
        for wrong in (false_positive, false_negative):
            self.wrong.assign_add(ops.sum(ops.cast(wrong, self.dtype)))

    def result(self):
        return 2 * self.tp / (2 * self.tp + self.wrong + keras.backend.epsilon())


class GatedBlock(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.body = keras.Sequential(
            [layers.Dense(units, "relu"), layers.LayerNormalization(), layers.Dense(units)]
        )
        self.parts = {"gate": layers.Dense(units, "sigmoid"), "skip": [layers.Dense(units)]}

    def build(self, input_shape):
        for part in (self.body, self.parts["gate"], self.parts["skip"][0]):
            part.build(input_shape)
        self.built = True

    def call(self, x, context, *, strength=1.0):
        gate = self.parts["gate"](context) * strength
        return gate * self.body(x) + (1.0 - gate) * self.parts["skip"][0](x)


def make():
    inputs = keras.Input((9,))
    context = layers.Dense(9, activation="tanh")(inputs)
    x = GatedBlock(10)(inputs, context, strength=0.9)
    y = layers.Dense(1, activation="sigmoid")(layers.Dropout(0.0)(x))
    model = keras.Model(inputs, y)
    model.compile(
        keras.optimizers.Lion(0.001), "binary_crossentropy", metrics=[BinaryF1(), "accuracy"]
    )
    return model


def train(model, x, y, weights):
    return common.fit(model, x, y, sample_weight=weights)
