"""Sharpness-aware minimization: weights are perturbed and restored between two tapes."""

import keras
import tensorflow as tf

from tests.custom_programs import common

data = common.classes


class SAMModel(tf.keras.Model):
    def __init__(self, net, rho=0.05):
        super().__init__()
        self.net = net
        self.rho = rho

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False, training=None
    ):
        return super().compute_loss(x, y, y_pred) + 0.01 * tf.reduce_mean(tf.square(y_pred))

    def gradients(self, images, labels):
        with tf.GradientTape() as tape:
            predictions = self.net(images)
            loss = self.compute_loss(images, labels, predictions)
        return tape.gradient(loss, self.net.trainable_variables), loss, predictions

    def train_step(self, data):
        (images, labels) = data
        params = self.net.trainable_variables
        gradients, *_ = self.gradients(images, labels)
        norm = tf.norm(tf.stack([tf.norm(grad) for grad in gradients if grad is not None]))
        moves = [grad * (self.rho / (norm + 1e-12)) for grad in gradients]
        for move, param in zip(moves, params):
            param.assign_add(move)
        sam_gradients, loss, predictions = self.gradients(images, labels)
        for move, param in zip(moves, params):
            param.assign_sub(move)
        self.optimizer.apply_gradients(zip(sam_gradients, params))
        logs = self.compute_metrics(images, labels, predictions)
        logs["loss_at_the_peak"] = loss
        return logs

    def test_step(self, data):
        (images, labels) = data
        predictions = self.net(images, training=False)
        loss = self.compute_loss(images, labels, predictions)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(labels, predictions)
        return {m.name: m.result() for m in self.metrics}

    def call(self, x):
        return self.net(x)


def make():
    hidden, out = keras.layers.Dense(16, "relu"), keras.layers.Dense(4)
    model = SAMModel(keras.Sequential([keras.Input((12,)), hidden, out]))
    model.build((None, 12))
    return model


def train(model, x, y):
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    figures = common.fit(model, x, y, epochs=5, validation_data=(x[:20], y[:20]))
    return figures + model.evaluate(x, y, verbose=0)
