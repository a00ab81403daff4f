"""A nested model applied to two inputs, a Lambda distance, and a contrastive loss."""

import numpy as np
import tensorflow as tf
from tensorflow.keras import backend as K
from tensorflow.keras import layers
from tensorflow.keras.models import Model, Sequential

from tests.custom_programs import common


def data(rng):
    pairs = [rng.standard_normal((96, 7)).astype("float32") for _ in range(2)]
    return pairs, (np.abs(pairs[0] - pairs[1]).mean(axis=1) > 1.1).astype("float32")[:, None]


def euclidean_distance(vectors):
    x, y = vectors
    sum_square = K.sum(K.square(x - y), axis=1, keepdims=True)
    return K.sqrt(K.maximum(sum_square, K.epsilon()))


def distance_shape(shapes):
    return (shapes[0][0], 1)


def loss(margin=1):
    def contrastive_loss(y_true, y_pred):
        square_pred = tf.math.square(y_pred)
        margin_square = tf.math.square(tf.math.maximum(margin - y_pred, 0))
        return tf.math.reduce_mean((1 - y_true) * square_pred + y_true * margin_square)

    return contrastive_loss


def accuracy(y_true, y_pred):
    return K.mean(K.equal(y_true, K.cast(y_pred > 0.5, y_true.dtype)))


def make():
    hidden = [layers.BatchNormalization(), layers.Dense(10, "tanh"), layers.Dropout(0.0)]
    embedding = Sequential([*hidden, layers.Dense(4, activation="tanh")])
    left, right = layers.Input(shape=(7,)), layers.Input(shape=(7,))
    pair = [embedding(left), embedding(right)]
    merged = layers.Lambda(euclidean_distance, output_shape=distance_shape)(pair)
    normal = layers.BatchNormalization()(merged)
    model = Model([left, right], layers.Dense(1, activation="sigmoid")(normal))
    model.compile(loss=loss(margin=1), optimizer="RMSprop", metrics=[accuracy])
    return model


def train(model, x, y):
    return common.fit(model, x, y, epochs=6, validation_data=([part[:24] for part in x], y[:24]))
