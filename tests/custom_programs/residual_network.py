"""Residual connections in the functional style."""

import keras
from keras import layers


def data(rng):
    x = rng.standard_normal((96, 12)).astype("float32")
    return x, (x @ rng.standard_normal((12, 4))).argmax(axis=1)


def make():
    inputs = keras.Input((12,))
    x = layers.Dense(16, activation="relu")(inputs)
    for _ in range(3):
        shortcut = x
        x = layers.Dense(16, activation="relu")(x)
        x = layers.Dense(16)(x)
        x = layers.Add()([x, shortcut])
        x = layers.Activation("relu")(x)
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def train(model, x, y):
    return model.fit(x, y, batch_size=16, epochs=8, shuffle=False, verbose=0).history["loss"]
