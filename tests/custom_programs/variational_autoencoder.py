"""A variational autoencoder with a Sampling layer; its noise is scaled by 0 for comparison."""

import keras
import tensorflow as tf
from keras import layers, ops

from tests.custom_programs import common

NOISE = 0.0
train = common.fit


def data(rng):
    return (rng.random((96, 16)).astype("float32"),)


class Sampling(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs):
        z_mean, z_log_var = inputs
        batch, dim = ops.shape(z_mean)[0], ops.shape(z_mean)[1]
        epsilon = keras.random.normal(shape=(batch, dim), seed=self.seed_generator)
        return z_mean + NOISE * ops.exp(0.5 * z_log_var) * epsilon


class VAE(keras.Model):
    def __init__(self, encoder, decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.total_loss_tracker = keras.metrics.Mean(name="loss")
        self.reconstruction_loss_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_loss_tracker = keras.metrics.Mean(name="kl_loss")

    @property
    def metrics(self):
        return [self.total_loss_tracker, self.reconstruction_loss_tracker, self.kl_loss_tracker]

    def train_step(self, data):
        with tf.GradientTape() as tape:
            z_mean, z_log_var, z = self.encoder(data)
            errors = keras.losses.binary_crossentropy(data[..., None], self.decoder(z)[..., None])
            reconstruction_loss = ops.mean(ops.sum(errors, axis=1))
            kl_loss = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
            kl_loss = ops.mean(ops.sum(kl_loss, axis=1))
            total_loss = reconstruction_loss + kl_loss
        grads = tape.gradient(total_loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(grads, self.trainable_weights))
        for metric, value in zip(self.metrics, (total_loss, reconstruction_loss, kl_loss)):
            metric.update_state(value)
        return {metric.name: metric.result() for metric in self.metrics}


def make():
    encoder_inputs = keras.Input(shape=(16,))
    x = layers.Dense(12, activation="relu")(encoder_inputs)
    z_mean, z_log_var = layers.Dense(2, name="z_mean")(x), layers.Dense(2, name="z_log_var")(x)
    outputs = [z_mean, z_log_var, Sampling()([z_mean, z_log_var])]
    encoder = keras.Model(encoder_inputs, outputs, name="encoder")
    latent_inputs = keras.Input(shape=(2,))
    x = layers.Dense(12, activation="relu")(latent_inputs)
    decoder = keras.Model(latent_inputs, layers.Dense(16, activation="sigmoid")(x), name="decoder")
    vae = VAE(encoder, decoder)
    vae.compile(optimizer=keras.optimizers.Adam(epsilon=1e-4))
    return vae
