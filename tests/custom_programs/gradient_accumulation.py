"""Gradient accumulation over several batches."""

import tensorflow as tf
from tensorflow import keras

from tests.custom_programs import common

data, train = common.numbers, common.fit


class Accumulating(keras.Model):
    def __init__(self, *args, n_gradients=3, **kwargs):
        super().__init__(*args, **kwargs)
        self.n_gradients = n_gradients
        self.n_acum_step = tf.Variable(0, dtype=tf.int32, trainable=False)
        self.gradient_accumulation = [
            tf.Variable(tf.zeros_like(v), trainable=False) for v in self.trainable_variables
        ]

    def train_step(self, data):
        self.n_acum_step.assign_add(1)
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred)
        gradients = tape.gradient(loss, self.trainable_variables)
        for total, gradient in zip(self.gradient_accumulation, gradients):
            total.assign_add(gradient)
        tf.cond(tf.equal(self.n_acum_step, self.n_gradients), self.apply_accumulated, lambda: None)
        return {"my_loss": loss}

    def apply_accumulated(self):
        self.optimizer.apply(self.gradient_accumulation, self.trainable_variables)
        self.n_acum_step.assign(0)
        for total in self.gradient_accumulation:
            total.assign(tf.zeros_like(total))


def make():
    inputs = keras.Input(shape=(6,))
    hidden = keras.layers.Dense(20, activation="tanh")(inputs)
    model = Accumulating(inputs, keras.layers.Dense(1)(hidden))
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), "mse")
    return model
