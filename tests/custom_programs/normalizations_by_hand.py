"""Custom batch, weight and spectral normalization, where `call` assigns to some weights."""

import keras
import tensorflow as tf
from keras import layers, ops

from tests.custom_programs import common

data = common.numbers


class MyBatchNorm(layers.Layer):
    def __init__(self, momentum=0.9, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        self.mean = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="mean")
        self.var = self.add_weight(shape=shape, initializer="ones", trainable=False, name="var")

    def call(self, x, training=None):
        if training:
            mean, var = ops.moments(x, axes=[0])
            self.mean.assign(self.momentum * self.mean + (1 - self.momentum) * mean)
            self.var.assign(self.momentum * self.var + (1 - self.momentum) * var)
        else:
            mean, var = self.mean, self.var
        return self.gamma * (x - mean) / ops.sqrt(var + self.epsilon) + self.beta


class SpectralDense(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        shape = (input_shape[-1], self.units)
        self.w = self.add_weight(shape=shape, initializer="glorot_uniform", name="w")
        shape = (1, self.units)
        self.u = self.add_weight(shape=shape, initializer="ones", trainable=False, name="u")

    def call(self, x, training=False):
        v_hat = ops.normalize(ops.matmul(self.u, ops.transpose(self.w)))
        u_hat = ops.normalize(ops.matmul(v_hat, self.w))
        u_hat, v_hat = ops.stop_gradient(u_hat), ops.stop_gradient(v_hat)
        sigma = ops.matmul(ops.matmul(v_hat, self.w), ops.transpose(u_hat))
        if training:
            self.u.assign(u_hat)
        return ops.matmul(x, self.w / sigma)


class WeightNorm(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.v = self.add_weight(shape=(input_shape[-1], self.units), name="v")
        self.g = self.add_weight(shape=(self.units,), initializer="ones", name="g")

    def call(self, x):
        return ops.matmul(x, self.v) * self.g / ops.norm(self.v, axis=0)


def make():
    i = keras.Input((6,))
    h = ops.relu(MyBatchNorm()(SpectralDense(10)(i)))
    h = ops.relu(WeightNorm(8)(h))
    return keras.Model(i, layers.Dense(1)(h))


def train(model, x, y):
    model.compile(keras.optimizers.Adam(0.01, epsilon=1e-4), "mse")
    out = common.fit(model, x, y, epochs=4, validation_data=(x[:20], y[:20]))
    optimizer, variables = keras.optimizers.SGD(0.01), model.trainable_variables
    for _ in range(5):
        with tf.GradientTape() as tape:
            loss = ops.mean(ops.square(model(x, training=True) - y))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        out.append(float(loss))
    return out
