"""An autoencoder whose decoder uses the encoder's kernels, transposed."""

import keras
from keras import layers, ops

from tests.custom_programs import common

train = common.fit


def data(rng):
    x = rng.random((96, 16)).astype("float32")
    return x, x


class DenseTranspose(keras.layers.Layer):
    def __init__(self, dense, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.dense = dense
        self.activation = keras.activations.get(activation)

    def build(self, batch_input_shape):
        shape = self.dense.input.shape[-1:]
        self.biases = self.add_weight(name="bias", shape=shape, initializer="zeros")
        super().build(batch_input_shape)

    def call(self, inputs):
        z = ops.matmul(inputs, ops.transpose(self.dense.kernel))
        return self.activation(z + self.biases)


def make():
    dense_1 = layers.Dense(10, activation="selu")
    dense_2 = layers.Dense(4, activation="selu")
    encoder = keras.Sequential([keras.Input((16,)), dense_1, dense_2])
    decoder = keras.Sequential(
        [DenseTranspose(dense_2, activation="selu"), DenseTranspose(dense_1, activation="sigmoid")]
    )
    model = keras.Sequential([encoder, decoder])
    model.build((None, 16))
    model.compile(loss="binary_crossentropy", optimizer="nadam")
    return model
