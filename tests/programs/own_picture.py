"""A picture of one's own, dark ink on white paper, and the confusion matrix."""

import numpy as np
import tensorflow as tf

tf.get_logger().setLevel("ERROR")
tf.config.list_physical_devices("GPU")
(x_train, y_train), (x_test, y_test) = tf.keras.datasets.mnist.load_data()

model = tf.keras.Sequential(
    [
        tf.keras.layers.InputLayer(shape=(28, 28)),
        tf.keras.layers.Rescaling(1 / 255),
        tf.keras.layers.Reshape((784,)),
        tf.keras.layers.Dense(64, activation="relu"),
        tf.keras.layers.Dense(10),
        tf.keras.layers.Softmax(),
    ]
)
model.compile(
    optimizer=tf.keras.optimizers.Adam(0.002),
    loss=tf.keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
    metrics=["accuracy", tf.keras.metrics.TopKCategoricalAccuracy(k=3, name="top_3")],
)
hot = tf.one_hot(y_train, depth=10)
print(hot.shape, hot.numpy().dtype)
history = model.fit(x_train, hot.numpy(), epochs=4, verbose=0)
print(sorted(history.history))

predicted = tf.argmax(model.predict(x_test, verbose=0), axis=1)
matrix = tf.math.confusion_matrix(y_test, predicted, num_classes=10).numpy()
print(matrix.shape, matrix.sum() == len(y_test), matrix.dtype)
print("accuracy:", float(np.trace(matrix) / matrix.sum()))

picture = np.full((28, 28), 255, np.uint8)
picture[4:24, 13:16] = 10
ink = 255 - picture
answer = model.predict(ink.reshape(1, 28, 28), verbose=0)
print("answer", answer.shape, int(np.argmax(answer)) in range(10))
