"""Penalties on outputs and on weights."""

import keras
from keras import layers, regularizers


def data(rng):
    x = rng.standard_normal((96, 12)).astype("float32")
    return x, (x @ rng.standard_normal((12, 4))).argmax(axis=1)


def make():
    model = keras.Sequential(
        [
            layers.Input((12,)),
            layers.Dense(
                20,
                activation="relu",
                kernel_regularizer=regularizers.L1L2(1e-4, 1e-3),
                activity_regularizer=regularizers.L2(1e-2),
            ),
            layers.ActivityRegularization(l1=1e-3),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def train(model, x, y):
    return model.fit(x, y, batch_size=16, epochs=8, shuffle=False, verbose=0).history["loss"]
