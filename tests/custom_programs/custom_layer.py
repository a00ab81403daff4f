"""A layer with its own weights and call."""

import tensorflow as tf


def data(rng):
    x = rng.standard_normal((96, 12)).astype("float32")
    return x, (x @ rng.standard_normal((12, 4))).argmax(axis=1)


class Linear(tf.keras.layers.Layer):
    def __init__(self, units=32, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="glorot_uniform", name="w"
        )
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b")

    def call(self, inputs):
        return tf.matmul(inputs, self.w) + self.b


def make():
    model = tf.keras.Sequential(
        [
            tf.keras.Input((12,)),
            Linear(16),
            tf.keras.layers.ReLU(),
            Linear(4),
            tf.keras.layers.Softmax(),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def train(model, x, y):
    return model.fit(x, y, batch_size=16, epochs=8, shuffle=False, verbose=0).history["loss"]
