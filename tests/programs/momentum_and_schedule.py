"""Momentum, a learning rate schedule by epoch, a CSV log, and a saved model."""

import csv

import keras
import numpy as np
import tensorflow as tf
from keras import layers

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train = keras.utils.normalize(x_train, axis=1)
x_test = keras.utils.normalize(x_test, axis=1)
print(x_train.shape, x_train.dtype)

model = keras.Sequential(name="digits")
model.add(layers.Flatten())
model.add(layers.Dense(units=64, activation=tf.nn.relu, kernel_initializer="he_normal"))
model.add(layers.Dense(units=10, activation="softmax"))
sgd = keras.optimizers.SGD(learning_rate=0.1, momentum=0.9, nesterov=True)
model.compile(sgd, "sparse_categorical_crossentropy", metrics=["acc"])
print(model.built)


def schedule(epoch, learning_rate):
    return learning_rate if epoch < 2 else learning_rate * 0.5


rates, table = keras.callbacks.LearningRateScheduler(schedule), keras.callbacks.CSVLogger("log.csv")
history = model.fit(x_train, y_train, epochs=4, batch_size=32, verbose=0, callbacks=[rates, table])
print(model.built, model.output_shape[1:], model.name, sorted(history.history))
print("rates:", *(round(float(rate), 5) for rate in history.history["learning_rate"]))
with open("log.csv") as file:
    rows = list(csv.reader(file))
print(rows[0], len(rows), rows[1][0])
loss, acc = model.evaluate(x_test, y_test, verbose=0)
print("accuracy:", acc)

model.save("reader.keras")
new_model = keras.models.load_model("reader.keras")
predictions = new_model.predict([x_test], verbose=0)
print(predictions.shape, int(np.argmax(predictions[0])) in range(10))
print("the same:", np.allclose(predictions, model.predict(x_test, verbose=0), atol=1e-6))
