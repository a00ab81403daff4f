"""The same on Fashion-MNIST: clothes in place of digits, in the same form, and harder to tell apart.

Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
algorithms" (2017), made it since MNIST had become too easy: a dense net reads some 97 to 98 of 100
digits, but names only some 87 to 89 of 100 clothes. Nothing in the program changes but the line that
loads the data and the names of the classes.

What limits the net is not its size: it looks at each pixel by itself and knows nothing of
neighbours, so that a shirt half a collar further up is another picture. Nets with convolutions, for
which tinynet is not made, come to 93 of 100 and more (`12_on_to_keras_jax.py` shows the way on).
"""

import sys

import numpy as np

import tinynet as keras

try:
    (x_train, y_train), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
except FileNotFoundError as error:
    print(f"Skipped: {error}")
    sys.exit()

names = keras.datasets.fashion_mnist.CLASS_NAMES
x_train, x_test = x_train.astype("float32") / 255, x_test.astype("float32") / 255

# Half of the pixels are not 0 here, and four of five are in MNIST: the zeros save less time.
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
figure = keras.visualize.plot_mistakes(x_test, y_test, probabilities, class_names=names)
figure.savefig("fashion_mistakes.png")
