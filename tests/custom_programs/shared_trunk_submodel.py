"""A model cut at a hidden layer, and a new head on its frozen trunk."""

import keras
from keras import layers


def data(rng):
    x = rng.standard_normal((96, 12)).astype("float32")
    return x, (x @ rng.standard_normal((12, 4))).argmax(axis=1)


def make():
    base = keras.Sequential(
        [
            keras.Input((12,)),
            layers.Dense(16, "relu", name="one"),
            layers.Dense(8, "relu", name="two"),
        ]
    )
    trunk = keras.Model(base.inputs, base.get_layer("one").output)
    trunk.trainable = False
    inputs = keras.Input((12,))
    x = trunk(inputs, training=False)
    x = layers.Dense(8, activation="elu")(x)
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def train(model, x, y):
    return model.fit(x, y, batch_size=16, epochs=8, shuffle=False, verbose=0).history["loss"]
