"""Named inputs from tf.data, and two outputs with losses, weights and metrics by name."""

import tensorflow as tf
from tensorflow import keras
from tensorflow.keras import layers

from tests.custom_programs import common


def data(rng):
    x = rng.standard_normal((96, 6)).astype("float32")
    codes = rng.integers(0, 5, (96, 3))
    label = (x[:, 0] > codes[:, 0] / 5.0 - 0.5).astype("int32")
    price = (x[:, :1] + codes[:, 1:2]).astype("float32")
    return {"numeric": x, "codes": codes}, {"label": label, "price": price}


def make():
    numeric = keras.Input((6,), name="numeric")
    codes = keras.Input((3,), name="codes", dtype="int32")
    embedded = layers.Flatten()(layers.Embedding(5, 4)(codes))
    x = layers.Dense(16, activation="softplus")(layers.concatenate([numeric, embedded]))
    label = layers.Dense(2, activation="softmax", name="label")(x)
    price = layers.Dense(1, name="price")(x)
    model = keras.Model([numeric, codes], {"label": label, "price": price})
    model.compile(
        optimizer=keras.optimizers.Adam(0.005),
        loss={"label": "sparse_categorical_crossentropy", "price": keras.losses.Huber()},
        loss_weights={"label": 1.0, "price": 0.5},
        metrics={"label": ["accuracy"], "price": ["mae", "mse"]},
    )
    return model


def train(model, x, y):
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(16).prefetch(1)
    return common.fit(model, dataset, batch_size=None, validation_data=dataset)
