"""An autoencoder of two nested models, by subclassing."""

import tensorflow as tf
from tensorflow.keras import layers, losses
from tensorflow.keras.models import Model


def data(rng):
    x = rng.random((96, 16)).astype("float32")
    return x, x


class Autoencoder(Model):
    def __init__(self, latent_dim):
        super().__init__()
        self.encoder = tf.keras.Sequential([layers.Dense(latent_dim, activation="relu")])
        self.decoder = tf.keras.Sequential([layers.Dense(16, activation="sigmoid")])

    def call(self, x):
        encoded = self.encoder(x)
        return self.decoder(encoded)


def make():
    autoencoder = Autoencoder(6)
    autoencoder.compile(optimizer="adam", loss=losses.MeanSquaredError())
    autoencoder(tf.zeros((1, 16)))
    return autoencoder


def train(model, x, y):
    return model.fit(x, y, batch_size=16, epochs=8, shuffle=False, verbose=0).history["loss"]
