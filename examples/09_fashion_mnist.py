"""Fashion-MNIST: classify images of clothes, a harder task than MNIST in the same format.

Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
algorithms" (2017), introduced it because MNIST had become too easy: the same dense network has a
much lower accuracy on clothes than on digits. Compared to MNIST, only the line that loads the data
and the class names are different.

The accuracy is not limited by the size of the network. A dense network does not use the spatial
structure of images, so a shirt shifted by a few pixels is a completely different input.
Convolutional networks, which tinynet does not support, reach a higher accuracy.
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

# In MNIST, only about 19 % of the pixels are non-zero, so skipping zeros saves less time here.
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

# Which classes are confused? Mostly tops with other tops, and hardly ever shoes with bags.
probabilities = model.predict(x_test, verbose=0)
guess = np.asarray(probabilities).argmax(axis=1)
confused = np.zeros((10, 10), int)
np.add.at(confused, (y_test, guess), 1)
np.fill_diagonal(confused, 0)
print("The most frequent mistakes:")
for place in np.argsort(-confused, axis=None)[:5]:
    true, predicted = np.unravel_index(place, confused.shape)
    print(f"  {confused[true, predicted]:4} times {names[true]} predicted as {names[predicted]}")

figure = keras.visualize.plot_confusion_matrix(y_test, guess, class_names=names)
figure.savefig("fashion_confusion.png")
# Wider than by default, because the class names are longer than digits.
figure = Figure((9, 6.7), layout="constrained")
keras.visualize.plot_mistakes(
    x_test, y_test, probabilities, count=15, class_names=names, ax=figure.subplots()
)
figure.savefig("fashion_mistakes.png")
