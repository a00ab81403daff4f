"""A model cut at a layer, trained frozen, then unfrozen and compiled again at a smaller rate."""

import keras
from keras import layers


def data(rng):
    x = rng.standard_normal((96, 12)).astype("float32")
    return x, (x @ rng.standard_normal((12, 4))).argmax(axis=1)


def make():
    inputs = keras.Input((12,))
    x = layers.Dense(16, activation="relu", name="features_1")(inputs)
    x = layers.BatchNormalization(name="normal")(x)
    x = layers.Dense(12, activation="relu", name="features_2")(x)
    base = keras.Model(inputs, layers.Dense(3)(x), name="base")
    trunk = keras.Model(base.input, base.get_layer("features_2").output, name="trunk")
    trunk.trainable = False
    entry = keras.Input((12,))
    x = trunk(entry, training=False)
    x = layers.Dropout(0.0)(x)
    return keras.Model(entry, layers.Dense(4, name="predictions")(x))


def train(model, x, y):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    options = {"batch_size": 16, "shuffle": False, "verbose": 0}
    frozen = model.fit(x, y, epochs=4, **options).history["loss"]
    trunk = model.get_layer("trunk")
    trunk.trainable = True
    for layer in trunk.layers[:-1]:
        layer.trainable = False
    assert len(model.trainable_weights) == 4
    model.compile(keras.optimizers.Adam(0.001), loss, metrics=["accuracy"])
    tuned = model.fit(x, y, epochs=4, **options).history["loss"]
    trunk.trainable = True
    model.compile(keras.optimizers.SGD(0.001), loss)
    return frozen + tuned + model.fit(x, y, epochs=2, **options).history["loss"]
