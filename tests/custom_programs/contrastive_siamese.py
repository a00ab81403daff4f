"""A siamese model with a Lambda distance, a contrastive loss made by a function, and cut models."""

import numpy as np
import tensorflow as tf
from tensorflow import keras


def data(rng):
    a = rng.standard_normal((96, 7)).astype("float32")
    b = rng.standard_normal((96, 7)).astype("float32")
    return a, b, (np.abs(a - b).mean(axis=1) > 1.1).astype("float32")[:, None]


def euclidean_distance(vects):
    x, y = vects
    sum_square = tf.math.reduce_sum(tf.math.square(x - y), axis=1, keepdims=True)
    return tf.math.sqrt(tf.math.maximum(sum_square, tf.keras.backend.epsilon()))


def loss(margin=1):
    def contrastive_loss(y_true, y_pred):
        square_pred = tf.math.square(y_pred)
        margin_square = tf.math.square(tf.math.maximum(margin - y_pred, 0))
        return tf.math.reduce_mean((1 - y_true) * square_pred + y_true * margin_square)

    return contrastive_loss


def make():
    entry = keras.layers.Input((7,))
    x = keras.layers.BatchNormalization()(entry)
    x = keras.layers.Dense(10, activation="tanh")(x)
    embedding = keras.Model(entry, keras.layers.Dense(4, activation="tanh")(x))
    left, right = keras.layers.Input((7,)), keras.layers.Input((7,))
    merged = keras.layers.Lambda(euclidean_distance, output_shape=(1,))(
        [embedding(left), embedding(right)]
    )
    normal = keras.layers.BatchNormalization()(merged)
    siamese = keras.Model([left, right], keras.layers.Dense(1, activation="sigmoid")(normal))
    siamese.compile(loss=loss(margin=1), optimizer="RMSprop", metrics=["accuracy"])
    return siamese


def train(model, a, b, y):
    history = model.fit(
        [a, b],
        y,
        validation_data=([a[:24], b[:24]], y[:24]),
        batch_size=16,
        epochs=6,
        shuffle=False,
        verbose=0,
    ).history
    return history["loss"] + history["val_loss"]
