"""Windows of a time series from tf.data, a scheduler by epoch, forecasts one by one."""

import numpy as np
import tensorflow as tf

from tests.custom_programs import common


def data(rng):
    t = np.arange(200, dtype="float32")
    return ((np.sin(t / 5) + 0.1 * rng.standard_normal(200)).astype("float32"),)


def windowed_dataset(series, window_size, batch_size):
    dataset = tf.data.Dataset.from_tensor_slices(series)
    dataset = dataset.window(window_size + 1, shift=1, drop_remainder=True)
    dataset = dataset.flat_map(lambda window: window.batch(window_size + 1))
    dataset = dataset.map(lambda window: (window[:-1], window[-1]))
    return dataset.batch(batch_size).prefetch(1)


def make():
    hidden = [tf.keras.layers.Dense(10, activation="relu") for _ in range(2)]
    out = [tf.keras.layers.Dense(1), tf.keras.layers.Lambda(lambda x: x * 2.0)]
    return tf.keras.models.Sequential([tf.keras.Input(shape=(10,)), *hidden, *out])


def train(model, series):
    batches = windowed_dataset(series[:150], 10, 16)
    schedule = tf.keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3 * 10 ** (epoch / 20))
    optimizer = tf.keras.optimizers.SGD(learning_rate=1e-3, momentum=0.9)
    model.compile(loss=tf.keras.losses.Huber(), optimizer=optimizer, metrics=["mae"])
    figures = common.fit(model, batches, epochs=5, batch_size=None, callbacks=[schedule])
    for time in range(150, 160):
        forecast = model.predict(series[time - 10 : time][np.newaxis], verbose=0)
        figures.append(forecast[0, 0])
    return figures
