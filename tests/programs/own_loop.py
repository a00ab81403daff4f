"""A custom loop over batches in double precision, with a built-in loss."""

import keras.backend as K  # noqa: N812  # as programs have it
import numpy as np
from keras.datasets import mnist
from keras.layers import Dense
from keras.losses import MeanSquaredError
from keras.models import Sequential
from keras.utils import set_random_seed, to_categorical

K.set_floatx("float64")
set_random_seed(3)
(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train = x_train.reshape(len(x_train), 784) / 255
x_test = x_test.reshape(len(x_test), 784) / 255

model = Sequential([Dense(32, activation="sigmoid"), Dense(10, activation="softmax")])
model.compile(optimizer="adam", loss=MeanSquaredError(), metrics=["accuracy"])
order = np.random.default_rng(0).permutation(len(x_train))
hot = to_categorical(y_train, num_classes=10)
for _epoch in range(6):
    losses = []
    for start in range(0, len(order), 16):
        rows = order[start : start + 16]
        losses.append(model.train_on_batch(x_train[rows], hot[rows])[0])
    print("loss is below chance level:", np.mean(losses) < 0.09)
print("accuracy:", model.test_on_batch(x_test, to_categorical(y_test, 10))[1])
print(K.floatx(), K.epsilon())
K.set_floatx("float32")
