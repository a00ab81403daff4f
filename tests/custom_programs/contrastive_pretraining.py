"""Two optimizers, a linear probe, and batches of different sizes from a zipped dataset."""

import keras
import tensorflow as tf
from keras import layers, ops


def data(rng):
    x = rng.standard_normal((96, 8)).astype("float32")
    return x, (x[:, :3]).argmax(1).astype("int32")


class ContrastiveModel(keras.Model):
    def __init__(self):
        super().__init__()
        self.temperature = 0.1
        self.contrastive_augmenter = keras.Sequential(
            [keras.Input((8,)), layers.GaussianNoise(0.0)], name="aug"
        )
        self.encoder = keras.Sequential(
            [keras.Input((8,)), layers.Dense(12, "tanh"), layers.Dense(6, "tanh")], name="encoder"
        )
        self.projection_head = keras.Sequential(
            [keras.Input((6,)), layers.Dense(6, "tanh"), layers.Dense(6)], name="head"
        )
        self.linear_probe = keras.Sequential([layers.Input((6,)), layers.Dense(3)], name="probe")

    def compile(self, contrastive_optimizer, probe_optimizer, **kwargs):
        super().compile(**kwargs)
        self.contrastive_optimizer = contrastive_optimizer
        self.probe_optimizer = probe_optimizer
        self.probe_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.contrastive_loss_tracker = keras.metrics.Mean(name="c_loss")
        self.contrastive_accuracy = keras.metrics.SparseCategoricalAccuracy(name="c_acc")
        self.probe_loss_tracker = keras.metrics.Mean(name="p_loss")
        self.probe_accuracy = keras.metrics.SparseCategoricalAccuracy(name="p_acc")

    @property
    def metrics(self):
        return [
            self.contrastive_loss_tracker,
            self.contrastive_accuracy,
            self.probe_loss_tracker,
            self.probe_accuracy,
        ]

    def contrastive_loss(self, projections_1, projections_2):
        projections_1 = ops.normalize(projections_1, axis=1)
        projections_2 = ops.normalize(projections_2, axis=1)
        similarities = ops.matmul(projections_1, ops.transpose(projections_2)) / self.temperature
        batch_size = ops.shape(projections_1)[0]
        contrastive_labels = ops.arange(batch_size)
        self.contrastive_accuracy.update_state(contrastive_labels, similarities)
        self.contrastive_accuracy.update_state(contrastive_labels, ops.transpose(similarities))
        loss_1_2 = keras.losses.sparse_categorical_crossentropy(
            contrastive_labels, similarities, from_logits=True
        )
        loss_2_1 = keras.losses.sparse_categorical_crossentropy(
            contrastive_labels, ops.transpose(similarities), from_logits=True
        )
        return (loss_1_2 + loss_2_1) / 2

    def train_step(self, data):
        (unlabeled_images, _), (labeled_images, labels) = data
        images = ops.concatenate((unlabeled_images, labeled_images), axis=0)
        augmented_images_1 = self.contrastive_augmenter(images, training=True)
        augmented_images_2 = self.contrastive_augmenter(images * 0.9 + 0.05, training=True)
        with tf.GradientTape() as tape:
            features_1 = self.encoder(augmented_images_1, training=True)
            features_2 = self.encoder(augmented_images_2, training=True)
            projections_1 = self.projection_head(features_1, training=True)
            projections_2 = self.projection_head(features_2, training=True)
            contrastive_loss = self.contrastive_loss(projections_1, projections_2)
        gradients = tape.gradient(
            contrastive_loss,
            self.encoder.trainable_weights + self.projection_head.trainable_weights,
        )
        self.contrastive_optimizer.apply_gradients(
            zip(gradients, self.encoder.trainable_weights + self.projection_head.trainable_weights)
        )
        self.contrastive_loss_tracker.update_state(contrastive_loss)
        with tf.GradientTape() as tape:
            features = self.encoder(labeled_images, training=False)
            class_logits = self.linear_probe(features, training=True)
            probe_loss = self.probe_loss(labels, class_logits)
        gradients = tape.gradient(probe_loss, self.linear_probe.trainable_weights)
        self.probe_optimizer.apply_gradients(zip(gradients, self.linear_probe.trainable_weights))
        self.probe_loss_tracker.update_state(probe_loss)
        self.probe_accuracy.update_state(labels, class_logits)
        return {m.name: m.result() for m in self.metrics}

    def test_step(self, data):
        labeled_images, labels = data
        features = self.encoder(labeled_images, training=False)
        class_logits = self.linear_probe(features, training=False)
        probe_loss = self.probe_loss(labels, class_logits)
        self.probe_loss_tracker.update_state(probe_loss)
        self.probe_accuracy.update_state(labels, class_logits)
        return {m.name: m.result() for m in self.metrics[2:]}


def make():
    m = ContrastiveModel()
    m.compile(
        contrastive_optimizer=keras.optimizers.SGD(0.003),
        probe_optimizer=keras.optimizers.SGD(0.01),
    )
    return m


def train(model, x, y):
    unl = tf.data.Dataset.from_tensor_slices((x[:64], y[:64])).batch(16)
    lab = tf.data.Dataset.from_tensor_slices((x[64:], y[64:])).batch(8)
    ds = tf.data.Dataset.zip((unl, lab)).prefetch(buffer_size=tf.data.AUTOTUNE)
    h = model.fit(ds, epochs=5, validation_data=lab, verbose=0)
    return [value for name in sorted(h.history) for value in h.history[name]]
