"""Custom functions and classes, saved, loaded with `custom_objects`, and trained further."""

import tempfile
from pathlib import Path

import tensorflow as tf
from tensorflow.keras import layers

from tests.custom_programs import common

data = common.numbers


def my_softplus(z):
    return tf.math.log(1.0 + tf.exp(z))


def my_glorot_initializer(shape, dtype=tf.float32):
    stddev = tf.sqrt(2.0 / (shape[0] + shape[1]))
    return tf.random.normal(shape, stddev=stddev, dtype=dtype)


def my_l1_regularizer(weights):
    return tf.reduce_sum(tf.abs(0.01 * weights))


def my_positive_weights(weights):
    return tf.where(weights < 0.0, tf.zeros_like(weights), weights)


def create_huber(threshold):
    def huber_fn(y_true, y_pred):
        error = y_true - y_pred
        linear_loss = threshold * tf.abs(error) - threshold**2 / 2
        return tf.where(tf.abs(error) < threshold, tf.square(error) / 2, linear_loss)

    return huber_fn


class HuberLoss(tf.keras.losses.Loss):
    def __init__(self, threshold=1.0, **kwargs):
        self.threshold = threshold
        super().__init__(**kwargs)

    def call(self, y_true, y_pred):
        return create_huber(self.threshold)(y_true, y_pred)

    def get_config(self):
        return {**super().get_config(), "threshold": self.threshold}


class HuberMetric(tf.keras.metrics.Metric):
    def __init__(self, threshold=1.0, **kwargs):
        super().__init__(**kwargs)
        self.threshold = threshold
        self.huber_fn = create_huber(threshold)
        self.total = self.add_weight(name="total", initializer="zeros")
        self.count = self.add_weight(name="count", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(tf.reduce_sum(self.huber_fn(y_true, y_pred)))
        self.count.assign_add(tf.cast(tf.size(y_true), tf.float32))

    def result(self):
        return self.total / self.count

    def get_config(self):
        return {**super().get_config(), "threshold": self.threshold}


class MyL1Regularizer(tf.keras.regularizers.Regularizer):
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, weights):
        return tf.reduce_sum(tf.abs(self.factor * weights))

    def get_config(self):
        return {"factor": self.factor}


FUNCTIONS = [my_softplus, my_glorot_initializer, my_l1_regularizer, my_positive_weights]
PARTS = {p.__name__: p for p in [*FUNCTIONS, HuberLoss, HuberMetric, MyL1Regularizer]}


def make():
    model = tf.keras.Sequential([layers.Input((6,))])
    model.add(layers.Dense(12, "relu", kernel_regularizer=MyL1Regularizer(0.001)))
    model.add(
        layers.Dense(
            1,
            activation=my_softplus,
            kernel_initializer=my_glorot_initializer,
            kernel_regularizer=my_l1_regularizer,
            kernel_constraint=my_positive_weights,
        )
    )
    return model


def train(model, x, y):
    model.compile(loss=HuberLoss(2.0), optimizer="nadam", metrics=["mae", HuberMetric(2.0)])
    figures = common.fit(model, x, y, epochs=4, validation_data=(x[:20], y[:20]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "custom_parts.keras"
        model.save(path)
        loaded = tf.keras.models.load_model(path, custom_objects=PARTS)
    figures += common.fit(loaded, x, y, epochs=2)
    return figures + loaded.predict(x[:4], verbose=0).ravel().tolist()
