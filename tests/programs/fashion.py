"""Fashion-MNIST with two optimizers; plots of the learning curves and of a prediction."""

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from tensorflow import keras

(train_images, train_labels), (test_images, test_labels) = keras.datasets.fashion_mnist.load_data()
print(train_images.shape, train_images.dtype, len(train_labels), test_images.shape)
train_images = train_images / 255.0
test_images = test_images / 255.0

for optimizer in (keras.optimizers.SGD(0.1, clipvalue=0.5), keras.optimizers.Adagrad(0.02)):
    model = keras.Sequential(
        [
            keras.layers.Flatten(input_shape=(28, 28)),
            keras.layers.Dense(64, activation="elu", bias_initializer="zeros", use_bias=True),
            keras.layers.Dense(10, activation=tf.nn.softmax, kernel_constraint="max_norm"),
        ]
    )
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=[accuracy])
    history = model.fit(
        train_images,
        train_labels,
        epochs=6,
        batch_size=16,
        class_weight={0: 1.0, 1: 1.5},
        validation_data=(test_images, test_labels),
        callbacks=[keras.callbacks.TerminateOnNaN()],
    )
    plt.plot(history.history["accuracy"], label=type(optimizer).__name__)
    print(type(model.optimizer).__name__, sorted(history.history), history.epoch)
    test_loss, test_acc = model.evaluate(test_images, test_labels, verbose=0)
    print("Test accuracy:", test_acc)
plt.legend()
plt.savefig("curves.png")

predictions = model.predict(test_images)
print(predictions.shape, predictions.dtype)
plt.subplot(1, 2, 1)
plt.imshow(test_images[0], cmap=plt.cm.binary)
plt.xlabel(f"{np.argmax(predictions[0])} {100 * np.max(predictions[0]):2.0f}%")
plt.subplot(1, 2, 2)
plt.bar(range(10), predictions[0])
plt.savefig("prediction.png")
plt.close()
