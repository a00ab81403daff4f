"""Two optimizers, a linear probe, and batches of different sizes from a zipped dataset."""

import keras
import tensorflow as tf
from keras import layers, ops

from tests.custom_programs import common


def data(rng):
    x = rng.standard_normal((96, 8)).astype("float32")
    return x, x[:, :3].argmax(1).astype("int32")


class ContrastiveModel(keras.Model):
    def __init__(self):
        super().__init__()
        hidden = [layers.Dense(12, "tanh"), layers.Dense(6, "tanh")]
        self.augmenter = keras.Sequential([keras.Input((8,)), layers.GaussianNoise(0.0)])
        self.encoder = keras.Sequential([keras.Input((8,)), *hidden], name="encoder")
        self.head = keras.Sequential([keras.Input((6,)), layers.Dense(6, "tanh"), layers.Dense(6)])
        self.linear_probe = keras.Sequential([layers.Input((6,)), layers.Dense(3)], name="probe")

    def compile(self, contrastive_optimizer, probe_optimizer, **kwargs):
        super().compile(**kwargs)
        self.contrastive_optimizer = contrastive_optimizer
        self.probe_optimizer = probe_optimizer
        self.probe_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.contrastive_tracker = keras.metrics.Mean(name="c_loss")
        self.contrastive_accuracy = keras.metrics.SparseCategoricalAccuracy(name="c_acc")
        self.probe_tracker = keras.metrics.Mean(name="p_loss")
        self.probe_accuracy = keras.metrics.SparseCategoricalAccuracy(name="p_acc")

    @property
    def metrics(self):
        contrastive = [self.contrastive_tracker, self.contrastive_accuracy]
        return [*contrastive, self.probe_tracker, self.probe_accuracy]

    def contrastive_loss(self, projections_1, projections_2):
        projections_1 = ops.normalize(projections_1, axis=1)
        projections_2 = ops.normalize(projections_2, axis=1)
        similarities = ops.matmul(projections_1, ops.transpose(projections_2)) / 0.1
        labels = ops.arange(ops.shape(projections_1)[0])
        losses = []
        for scores in (similarities, ops.transpose(similarities)):
            self.contrastive_accuracy.update_state(labels, scores)
            cross_entropy = keras.losses.sparse_categorical_crossentropy
            losses.append(cross_entropy(labels, scores, from_logits=True))
        return (losses[0] + losses[1]) / 2

    def probe(self, data, training):
        images, labels = data
        logits = self.linear_probe(self.encoder(images, training=False), training=training)
        loss = self.probe_loss(labels, logits)
        self.probe_tracker.update_state(loss)
        self.probe_accuracy.update_state(labels, logits)
        return loss

    def train_step(self, data):
        (unlabeled, _), labeled = data
        images = ops.concatenate((unlabeled, labeled[0]), axis=0)
        views = [self.augmenter(x, training=True) for x in (images, images * 0.9 + 0.05)]
        with tf.GradientTape() as tape:
            projections = [self.head(self.encoder(x, training=True), training=True) for x in views]
            contrastive_loss = self.contrastive_loss(*projections)
        weights = self.encoder.trainable_weights + self.head.trainable_weights
        gradients = tape.gradient(contrastive_loss, weights)
        self.contrastive_optimizer.apply_gradients(zip(gradients, weights))
        self.contrastive_tracker.update_state(contrastive_loss)
        with tf.GradientTape() as tape:
            probe_loss = self.probe(labeled, training=True)
        weights = self.linear_probe.trainable_weights
        self.probe_optimizer.apply_gradients(zip(tape.gradient(probe_loss, weights), weights))
        return {m.name: m.result() for m in self.metrics}

    def test_step(self, data):
        self.probe(data, training=False)
        return {m.name: m.result() for m in self.metrics[2:]}


def make():
    model = ContrastiveModel()
    rates = {"contrastive_optimizer": 0.003, "probe_optimizer": 0.01}
    model.compile(**{name: keras.optimizers.SGD(rate) for name, rate in rates.items()})
    return model


def train(model, x, y):
    unlabeled = tf.data.Dataset.from_tensor_slices((x[:64], y[:64])).batch(16)
    labeled = tf.data.Dataset.from_tensor_slices((x[64:], y[64:])).batch(8)
    both = tf.data.Dataset.zip((unlabeled, labeled)).prefetch(buffer_size=tf.data.AUTOTUNE)
    return common.fit(model, both, epochs=5, batch_size=None, validation_data=labeled)
