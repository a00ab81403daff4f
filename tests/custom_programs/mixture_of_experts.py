"""Experts in a list, their outputs stacked and weighted by a gate, with a balancing loss."""

import keras
from keras import layers, ops

from tests.custom_programs import common

data, train = common.numbers, common.fit


class Expert(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.hidden = layers.Dense(units, activation="gelu")
        self.out = layers.Dense(3)

    def call(self, x, *, scale=1.0):
        return scale * self.out(self.hidden(x))


class MixtureOfExperts(keras.Model):
    def __init__(self, n_experts=3):
        super().__init__()
        self.experts = [Expert(6) for _ in range(n_experts)]
        self.gate = layers.Dense(n_experts, activation="softmax")
        self.head = layers.Dense(1)

    def call(self, x):
        gates = self.gate(x)
        stacked = ops.stack([expert(x, scale=0.5) for expert in self.experts], axis=1)
        load = ops.mean(gates, axis=0)
        self.add_loss(0.1 * ops.sum(load * ops.log(load + 1e-6)))
        mixed = ops.einsum("be,beu->bu", gates, stacked)
        best = ops.max(gates, axis=-1, keepdims=True)
        return self.head(ops.concatenate([mixed, best], axis=-1))


def make():
    model = MixtureOfExperts()
    model.compile(keras.optimizers.Adagrad(0.05), "mse", metrics=["mae"])
    model(ops.zeros((1, 6)))
    return model
