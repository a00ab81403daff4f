"""Ten kinds of clothes, a plot of one prediction and of its probabilities."""

import matplotlib.pyplot as plt
import numpy as np
from tensorflow import keras

class_names = ["T-shirt", "Trouser", "Pullover", "Dress", "Coat"]
class_names += ["Sandal", "Shirt", "Sneaker", "Bag", "Boot"]

(train_images, train_labels), (test_images, test_labels) = keras.datasets.fashion_mnist.load_data()
print(train_images.shape, train_images.dtype, len(train_labels), test_images.shape)

train_images = train_images / 255.0
test_images = test_images / 255.0

model = keras.Sequential(
    [
        keras.layers.Flatten(input_shape=(28, 28)),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(
    optimizer="adam",
    loss="sparse_categorical_crossentropy",
    metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
)
history = model.fit(
    train_images, train_labels, epochs=5, validation_data=(test_images, test_labels)
)
print(sorted(history.history), history.epoch)

test_loss, test_acc = model.evaluate(test_images, test_labels, verbose=0)
print("Test accuracy:", test_acc)

predictions = model.predict(test_images)
print(predictions.shape, predictions.dtype, class_names[np.argmax(predictions[0])] in class_names)

plt.figure(figsize=(6, 3))
plt.subplot(1, 2, 1)
plt.imshow(test_images[0], cmap=plt.cm.binary)
plt.xlabel(f"{class_names[np.argmax(predictions[0])]} {100 * np.max(predictions[0]):2.0f}%")
plt.subplot(1, 2, 2)
plt.bar(range(10), predictions[0])
plt.savefig("prediction.png")
plt.close()
