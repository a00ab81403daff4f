"""The same net trained by two optimizers; the learning curves drawn."""

import matplotlib.pyplot as plt
import tensorflow as tf
from tensorflow.keras import Sequential, layers, optimizers
from tensorflow.keras.datasets import mnist

(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = x_train.astype("float32") / 255.0, x_test.astype("float32") / 255.0

for optimizer in (optimizers.SGD(0.1, clipvalue=0.5), optimizers.Adagrad(0.02)):
    model = Sequential(
        [
            layers.Flatten(),
            layers.Dense(64, activation="elu", bias_initializer="zeros", use_bias=True),
            layers.Dense(10, activation=tf.nn.softmax, kernel_constraint="max_norm"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x_train,
        y_train,
        epochs=6,
        batch_size=16,
        class_weight={0: 1.0, 1: 1.5},
        verbose=0,
        callbacks=[tf.keras.callbacks.TerminateOnNaN()],
    )
    plt.plot(history.history["accuracy"], label=type(optimizer).__name__)
    print(type(model.optimizer).__name__, len(history.history["loss"]))
    print("accuracy:", model.evaluate(x_test, y_test, verbose=0)[1])
plt.legend()
plt.savefig("curves.png")
plt.close()
