"""A subclassed model, and its weights saved and loaded."""

import numpy as np
import tensorflow as tf


class Reader(tf.keras.Model):
    def __init__(self, units=64):
        super().__init__()
        self.flatten = tf.keras.layers.Flatten()
        self.hidden = tf.keras.layers.Dense(units, activation="relu")
        self.drop = tf.keras.layers.Dropout(0.1)
        self.out = tf.keras.layers.Dense(10, activation="softmax")

    def call(self, x, training=False):
        x = self.flatten(x)
        x = self.hidden(x)
        x = self.drop(x, training=training)
        return self.out(x)


(x_train, y_train), (x_test, y_test) = tf.keras.datasets.mnist.load_data()
x_train, x_test = np.float32(x_train) / 255, np.float32(x_test) / 255

model = Reader()
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=16, epochs=4, verbose=0)
print("accuracy:", model.evaluate(x_test, y_test, verbose=0)[1])
print([tuple(v.shape) for v in model.trainable_variables], len(model.layers))

model.save_weights("reader.weights.h5")
other = Reader()
other(x_test[:1])
other.load_weights("reader.weights.h5")
print("the same:", np.allclose(model(x_test[:9]), other(x_test[:9]), atol=1e-6))
