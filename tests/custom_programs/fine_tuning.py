"""A pretrained part of a model, first frozen, then unfrozen with a smaller learning rate."""

import keras
from keras import layers

from tests.custom_programs import common

data = common.classes


def make():
    base = keras.Sequential([keras.Input((12,)), layers.Dense(16, "relu", name="features_1")])
    base.add(layers.BatchNormalization(name="normal"))
    base.add(layers.Dense(12, activation="relu", name="features_2"))
    base.add(layers.Dense(3))
    trunk = keras.Model(base.inputs, base.get_layer("features_2").output, name="trunk")
    trunk.trainable = False
    entry = keras.Input((12,))
    x = layers.Dropout(0.0)(trunk(entry, training=False))
    return keras.Model(entry, layers.Dense(4, name="predictions")(x))


def train(model, x, y):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    frozen = common.fit(model, x, y, epochs=4)
    trunk = model.get_layer("trunk")
    trunk.trainable = True
    for layer in trunk.layers[:-1]:
        layer.trainable = False
    assert len(model.trainable_weights) == 4
    model.compile(keras.optimizers.Adam(0.001), loss, metrics=["accuracy"])
    tuned = common.fit(model, x, y, epochs=4)
    trunk.trainable = True
    model.compile(keras.optimizers.SGD(0.001), loss)
    return frozen + tuned + common.fit(model, x, y, epochs=2)
