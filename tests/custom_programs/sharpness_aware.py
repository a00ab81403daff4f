"""Sharpness-aware minimization: weights are moved and moved back between two tapes."""

import keras
import numpy as np
import tensorflow as tf


def data(rng):
    x = rng.standard_normal((96, 8)).astype("float32")
    return x, (np.abs(x[:, :3])).argmax(1)


class SAMModel(tf.keras.Model):
    def __init__(self, net, rho=0.05):
        super().__init__()
        self.net = net
        self.rho = rho

    def train_step(self, data):
        (images, labels) = data
        e_ws = []
        with tf.GradientTape() as tape:
            predictions = self.net(images)
            loss = self.compute_loss(images, labels, predictions)
        trainable_params = self.net.trainable_variables
        gradients = tape.gradient(loss, trainable_params)
        grad_norm = self._grad_norm(gradients)
        scale = self.rho / (grad_norm + 1e-12)
        for grad, param in zip(gradients, trainable_params):
            e_w = grad * scale
            param.assign_add(e_w)
            e_ws.append(e_w)
        with tf.GradientTape() as tape:
            predictions = self.net(images)
            loss = self.compute_loss(images, labels, predictions)
        sam_gradients = tape.gradient(loss, trainable_params)
        for param, e_w in zip(trainable_params, e_ws):
            param.assign_sub(e_w)
        self.optimizer.apply_gradients(zip(sam_gradients, trainable_params))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(labels, predictions)
        return {m.name: m.result() for m in self.metrics}

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

    def _grad_norm(self, gradients):
        return tf.norm(tf.stack([tf.norm(grad) for grad in gradients if grad is not None]))


def make():
    net = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3)]
    )
    m = SAMModel(net)
    m.build((None, 8))
    return m


def train(model, x, y):
    model.compile(
        "sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    h = model.fit(
        x, y, epochs=5, batch_size=16, validation_data=(x[:20], y[:20]), shuffle=False, verbose=0
    )
    return h.history["loss"] + h.history["val_loss"] + model.evaluate(x, y, verbose=0)
