"""Variables, a tape, and assign_sub: no layers at all."""

import numpy as np
import tensorflow as tf


def data(rng):
    x = rng.standard_normal((96, 3)).astype("float32")
    return x, (x @ np.array([[1.0], [-2.0], [0.5]]) + 0.3).astype("float32")


class MyModel:
    def __init__(self):
        self.w = tf.Variable(tf.zeros((3, 1)))
        self.b = tf.Variable([0.5])

    def __call__(self, x):
        return tf.matmul(x, self.w) + self.b

    @property
    def weights(self):
        return [self.w, self.b]


def make():
    return MyModel()


def train(model, x, y):
    losses = []
    for _step in range(40):
        with tf.GradientTape() as t:
            current_loss = tf.reduce_mean(tf.square(y - model(x)))
        dw, db = t.gradient(current_loss, [model.w, model.b])
        model.w.assign_sub(0.1 * dw)
        model.b.assign_sub(0.1 * db)
        losses.append(current_loss.numpy())
    return losses
