"""The same on Fashion-MNIST: clothes in place of digits, in the same form, and harder.

Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
algorithms" (2017), made it since MNIST had become too easy: the same dense net names far fewer
clothes than it reads digits. Nothing in the program changes but the line that loads the data and
the names of the classes.

What limits the net is not its size: it looks at each pixel by itself and knows nothing of
neighbours, so that a shirt a few pixels further up is another picture. Nets with convolutions, for
which tinynet is not made, do better (`12_on_to_keras_jax.py` shows the way on).
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import tinynet as keras

try:
    (x_train, y_train), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
except FileNotFoundError as error:
    print(f"Skipped: {error}")
    sys.exit()

names = keras.datasets.fashion_mnist.CLASS_NAMES
x_train, x_test = x_train.astype("float32") / 255, x_test.astype("float32") / 255

# More of them than in MNIST, where it is one of five: skipping the zeros saves less time here.
print(f"{np.mean(x_train != 0):.0%} of the pixels are not 0")

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.layers.Input((28, 28)),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=5, verbose=2)
test_loss, test_accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"Test loss: {test_loss:.4f}")
print(f"Test accuracy: {test_accuracy:.4f}")

# Which are taken for which? The tops for each other, and hardly ever a shoe for a bag.
probabilities = model.predict(x_test, verbose=0)
guess = np.asarray(probabilities).argmax(axis=1)
taken = np.zeros((10, 10), int)
np.add.at(taken, (y_test, guess), 1)
np.fill_diagonal(taken, 0)
print("The most frequent mistakes:")
for place in np.argsort(-taken, axis=None)[:5]:
    true, predicted = np.unravel_index(place, taken.shape)
    print(f"  {taken[true, predicted]:4} times {names[true]} taken for {names[predicted]}")

figure = keras.visualize.plot_confusion_matrix(y_test, guess, class_names=names)
figure.savefig("fashion_confusion.png")
# Wider than by default: the names are longer than those of digits.
figure = Figure((9, 6.7), layout="constrained")
keras.visualize.plot_mistakes(
    x_test, y_test, probabilities, count=15, class_names=names, ax=figure.subplots()
)
figure.savefig("fashion_mistakes.png")
