"""One-hot labels, batch normalization, dropout, and a validation split."""

import numpy as np
from tensorflow.keras.datasets import mnist
from tensorflow.keras.layers import Activation, BatchNormalization, Dense, Dropout, Flatten, Input
from tensorflow.keras.models import Sequential
from tensorflow.keras.utils import to_categorical

(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train = x_train.astype("float32") / 255
x_test = x_test.astype("float32") / 255
y_train = to_categorical(y_train, 10)
y_test = to_categorical(y_test, 10)
print(y_train.shape, y_train.dtype)

model = Sequential()
model.add(Input(shape=(28, 28)))
model.add(Flatten())
model.add(Dense(64, name="hidden"))
model.add(BatchNormalization(name="norm"))
model.add(Activation("relu"))
model.add(Dropout(0.1))
model.add(Dense(10, activation="softmax"))
model.summary()
print(model.count_params(), [layer.name for layer in model.layers][1:3])
print([tuple(v.shape) for v in model.trainable_variables])
print([tuple(v.shape) for v in model.non_trainable_weights])

model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
history = model.fit(x_train, y_train, batch_size=16, epochs=8, verbose=0, validation_split=0.1)
print({name: len(values) for name, values in sorted(history.history.items())})

score = model.evaluate(x_test, y_test, verbose=0)
print("accuracy:", score[1])
wrong = np.argmax(model.predict(x_test, verbose=0), axis=1) != np.argmax(y_test, axis=1)
print(
    "the errors match the accuracy computed from predictions:",
    round(1 - wrong.mean(), 3) == round(score[1], 3),
)
