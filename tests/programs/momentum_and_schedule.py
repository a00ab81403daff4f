"""Momentum, a learning rate that is set each epoch, and a table of the epochs."""

import csv

import keras
from keras import layers

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train = x_train.reshape(-1, 784).astype("float32") / 255
x_test = x_test.reshape(-1, 784).astype("float32") / 255

model = keras.Sequential(
    [
        keras.Input(shape=(784,)),
        layers.Dense(64, activation="relu", kernel_initializer="he_normal"),
        layers.Dense(10, activation="softmax"),
    ],
    name="digits",
)
model.compile(
    keras.optimizers.SGD(learning_rate=0.1, momentum=0.9, nesterov=True),
    "sparse_categorical_crossentropy",
    metrics=["acc"],
)


def schedule(epoch, learning_rate):
    return learning_rate if epoch < 2 else learning_rate * 0.5


history = model.fit(
    x_train,
    y_train,
    epochs=4,
    batch_size=32,
    verbose=0,
    callbacks=[
        keras.callbacks.LearningRateScheduler(schedule),
        keras.callbacks.CSVLogger("log.csv"),
    ],
)
print(model.name, sorted(history.history))
print("rates:", *(round(float(rate), 5) for rate in history.history["learning_rate"]))
with open("log.csv") as file:
    rows = list(csv.reader(file))
print(rows[0], len(rows), rows[1][0])
loss, acc = model.evaluate(x_test, y_test, verbose=0)
print("accuracy:", acc)
