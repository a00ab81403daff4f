"""Gradients with respect to inputs: training on fast gradient signs."""

import tensorflow as tf
from tensorflow import keras

from tests.custom_programs import common

data = common.classes


def make():
    return keras.Sequential(
        [keras.Input((12,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(4, "softmax")]
    )


def train(model, x, y):
    loss_object = keras.losses.SparseCategoricalCrossentropy()
    optimizer = keras.optimizers.Adam(0.01)
    losses = []
    for step in range(24):
        rows = slice(16 * (step % 6), 16 * (step % 6) + 16)
        images, labels = tf.convert_to_tensor(x[rows]), y[rows]
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = loss_object(labels, model(images))
        signed = tf.tanh(10.0 * tape.gradient(loss, images))
        with tf.GradientTape() as tape:
            loss = loss_object(labels, model(images + 0.05 * signed, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        losses.append(float(loss))
    return losses
