"""Two outputs with their own losses and weights."""

import numpy as np
from tensorflow import keras
from tensorflow.keras import layers


def data(rng):
    x = rng.standard_normal((96, 10)).astype("float32")
    label = (x[:, 0] + x[:, 1] > 0).astype("int32")
    return x, {"label": label, "size": np.abs(x).sum(axis=1, keepdims=True).astype("float32")}


def make():
    inputs = layers.Input(shape=(10,))
    shared = layers.Dense(24, activation="tanh")(inputs)
    label = layers.Dense(2, activation="softmax", name="label")(shared)
    size = layers.Dense(1, name="size")(shared)
    model = keras.Model(inputs, {"label": label, "size": size})
    model.compile(
        optimizer="rmsprop",
        loss={"label": "sparse_categorical_crossentropy", "size": "mse"},
        loss_weights={"label": 1.0, "size": 0.1},
    )
    return model


def train(model, x, y):
    return model.fit(x, y, batch_size=16, epochs=8, shuffle=False, verbose=0).history["loss"]
