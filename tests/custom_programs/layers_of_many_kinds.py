"""Maxout, highway, FiLM, polynomial and squeeze-and-excitation layers, and a dense block."""

import tensorflow as tf
from tensorflow import keras
from tensorflow.keras import initializers, layers

from tests.custom_programs import common

data = common.numbers


class Maxout(layers.Layer):
    def __init__(self, units, pieces=3, **kwargs):
        super().__init__(**kwargs)
        self.units, self.pieces = units, pieces

    def build(self, input_shape):
        width = self.units * self.pieces
        shape = (int(input_shape[-1]), width)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="he_uniform")
        self.bias = self.add_weight(name="bias", shape=(width,), initializer="zeros")
        self.built = True

    def call(self, x):
        z = tf.matmul(x, self.kernel) + self.bias
        z = tf.reshape(z, (-1, self.units, self.pieces))
        return tf.reduce_max(z, axis=-1)


class Highway(layers.Layer):
    def __init__(self, activation="relu", bias=-1.0, **kwargs):
        self.activation = keras.activations.get(activation)
        self.transform_bias = initializers.Constant(bias)
        super().__init__(**kwargs)

    def build(self, input_shape):
        dim = input_shape[-1]
        self.dense_1 = layers.Dense(units=dim, bias_initializer=self.transform_bias)
        self.dense_1.build(input_shape)
        self.dense_2 = layers.Dense(units=dim)
        self.dense_2.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        transform_gate = layers.Activation("sigmoid")(self.dense_1(x))
        carry_gate = layers.Lambda(lambda t: 1.0 - t)(transform_gate)
        transformed = layers.Multiply()([transform_gate, self.activation(self.dense_2(x))])
        return layers.Add()([transformed, layers.Multiply()([carry_gate, x])])


class FiLM(layers.Layer):
    def build(self, input_shape):
        features, cond = input_shape
        shape = (cond[-1], features[-1])
        self.scale = self.add_weight(name="scale", shape=shape, initializer="glorot_normal")
        self.shift = self.add_weight(name="shift", shape=shape, initializer="glorot_normal")

    def call(self, inputs):
        x, c = inputs
        return x * (1 + tf.pow(c, 2) @ self.scale) + c @ self.shift


class Poly(layers.Layer):
    def build(self, input_shape):
        self.coef = [
            self.add_weight(shape=(1, input_shape[-1]), initializer="ones", name=f"c{i}")
            for i in range(2)
        ]

    def call(self, x):
        return tf.add_n([c * x ** (i + 1) for i, c in enumerate(self.coef)])


def se_block(x, ratio=2):
    s = layers.Dense(x.shape[-1] // ratio, activation="relu")(x)
    s = layers.Dense(x.shape[-1], activation="sigmoid")(s)
    return layers.multiply([x, s])


def dense_block(x, n, growth):
    features = [x]
    for _ in range(n):
        y = layers.LayerNormalization()(x)
        y = layers.Dense(growth, activation="gelu")(y)
        features.append(y)
        x = layers.concatenate(features) if len(features) > 1 else y
    return x


def make():
    inp = layers.Input((6,))
    x = Highway()(Maxout(8)(inp))
    x = FiLM()([x, layers.Dense(5, "exponential")(inp)])
    x = dense_block(se_block(x), 2, 4)
    x = layers.average([layers.Dense(6)(x), Poly()(inp)])
    x = layers.Dense(1)(layers.subtract([x, layers.minimum([x, inp])]))
    return keras.Model(inp, x)


def train(model, x, y):
    model.compile(keras.optimizers.Adam(0.005, epsilon=1e-4), "mse")
    figures = common.fit(model, x, y, epochs=5)
    return figures + model.predict(x[:4], verbose=0).ravel().tolist()
