"""Functions and classes of every kind, saved, loaded with custom_objects, and trained on."""

import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf


def data(rng):
    x = rng.standard_normal((120, 8)).astype("float32")
    return x, (x[:, :1] * 2 + np.abs(x[:, 1:2])).astype("float32")


def my_softplus(z):
    return tf.math.log(1.0 + tf.exp(z))


def my_glorot_initializer(shape, dtype=tf.float32):
    stddev = tf.sqrt(2.0 / (shape[0] + shape[1]))
    return tf.random.normal(shape, stddev=stddev, dtype=dtype)


def my_l1_regularizer(weights):
    return tf.reduce_sum(tf.abs(0.01 * weights))


def my_positive_weights(weights):
    return tf.where(weights < 0.0, tf.zeros_like(weights), weights)


class HuberLoss(tf.keras.losses.Loss):
    def __init__(self, threshold=1.0, **kwargs):
        self.threshold = threshold
        super().__init__(**kwargs)

    def call(self, y_true, y_pred):
        error = y_true - y_pred
        is_small_error = tf.abs(error) < self.threshold
        squared_loss = tf.square(error) / 2
        linear_loss = self.threshold * tf.abs(error) - self.threshold**2 / 2
        return tf.where(is_small_error, squared_loss, linear_loss)

    def get_config(self):
        base_config = super().get_config()
        return {**base_config, "threshold": self.threshold}


class HuberMetric(tf.keras.metrics.Metric):
    def __init__(self, threshold=1.0, **kwargs):
        super().__init__(**kwargs)
        self.threshold = threshold
        self.huber_fn = self.create_huber(threshold)
        self.total = self.add_weight(name="total", initializer="zeros")
        self.count = self.add_weight(name="count", initializer="zeros")

    def create_huber(self, threshold):
        def huber_fn(y_true, y_pred):
            error = y_true - y_pred
            small = tf.abs(error) < threshold
            return tf.where(
                small, tf.square(error) / 2, threshold * tf.abs(error) - threshold**2 / 2
            )

        return huber_fn

    def update_state(self, y_true, y_pred, sample_weight=None):
        sample_metrics = self.huber_fn(y_true, y_pred)
        self.total.assign_add(tf.reduce_sum(sample_metrics))
        self.count.assign_add(tf.cast(tf.size(y_true), tf.float32))

    def result(self):
        return self.total / self.count

    def get_config(self):
        base_config = super().get_config()
        return {**base_config, "threshold": self.threshold}


class MyL1Regularizer(tf.keras.regularizers.Regularizer):
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, weights):
        return tf.reduce_sum(tf.abs(self.factor * weights))

    def get_config(self):
        return {"factor": self.factor}


def make():
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input((8,)),
            tf.keras.layers.Dense(
                12,
                activation="relu",
                kernel_initializer="he_normal",
                kernel_regularizer=MyL1Regularizer(0.001),
            ),
            tf.keras.layers.Dense(
                1,
                activation=my_softplus,
                kernel_initializer=my_glorot_initializer,
                kernel_regularizer=my_l1_regularizer,
                kernel_constraint=my_positive_weights,
            ),
        ]
    )


def train(model, x, y):
    model.compile(loss=HuberLoss(2.0), optimizer="nadam", metrics=["mae", HuberMetric(2.0)])
    h = model.fit(
        x, y, epochs=4, batch_size=20, validation_data=(x[:20], y[:20]), shuffle=False, verbose=0
    )
    parts = {
        "my_l1_regularizer": my_l1_regularizer,
        "my_positive_weights": my_positive_weights,
        "my_glorot_initializer": my_glorot_initializer,
        "my_softplus": my_softplus,
        "MyL1Regularizer": MyL1Regularizer,
        "HuberLoss": HuberLoss,
        "HuberMetric": HuberMetric,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "custom_parts.keras"
        model.save(path)
        loaded = tf.keras.models.load_model(path, custom_objects=parts)
    h2 = loaded.fit(x, y, epochs=2, batch_size=20, shuffle=False, verbose=0)
    values = [v for name in sorted(h.history) for v in h.history[name]]
    return values + h2.history["loss"] + loaded.predict(x[:4], verbose=0).ravel().tolist()
