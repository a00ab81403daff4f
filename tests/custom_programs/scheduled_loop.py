"""Custom loop with @tf.function on adversarial examples, with custom schedule and metrics."""

import tensorflow as tf
from tensorflow import keras

from tests.custom_programs import common

data = common.classes


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(16, activation="swish", kernel_regularizer="l2")
        self.logits = keras.layers.Dense(4)

    def call(self, x, training=None, mask=None):
        hidden = self.hidden(x)
        return {"logits": self.logits(hidden), "hidden": hidden}


def make():
    model = Net()
    model(tf.zeros((1, 12)))
    return model


def train(model, x, y):
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(learning_rate=0.1, momentum=0.9, nesterov=True)
    mean, accuracy = keras.metrics.Mean(), keras.metrics.SparseCategoricalAccuracy()

    @tf.function
    def train_step(images, labels):
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = loss_fn(labels, model(images)["logits"])
        images = images + 0.05 * tf.tanh(10.0 * tape.gradient(loss, images))
        with tf.GradientTape() as tape:
            found = model(images, training=True)
            loss = loss_fn(labels, found["logits"]) + tf.add_n(model.losses)
            loss += 0.01 * tf.reduce_mean(tf.square(found["hidden"]))
        gradients = tape.gradient(loss, model.trainable_variables)
        gradients = [tf.clip_by_norm(g, 0.5) for g in gradients]
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        mean.update_state(loss)
        accuracy.update_state(labels, found["logits"])
        return loss

    results = []
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    for epoch in range(8):
        optimizer.learning_rate.assign(0.1 / (1 + epoch))
        mean.reset_state()
        accuracy.reset_state()
        for images, labels in dataset:
            train_step(images, labels)
        results += [float(mean.result()), float(accuracy.result())]
    return results
