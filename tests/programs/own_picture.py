"""Logits, a second model that converts them to probabilities, and a custom image."""

import numpy as np
import tensorflow as tf

print("TensorFlow version:", tf.__version__ is not None)
tf.get_logger().setLevel("ERROR")
tf.config.list_physical_devices("GPU")
mnist = tf.keras.datasets.mnist
(x_train, y_train), (x_test, y_test) = mnist.load_data()

model = tf.keras.models.Sequential(
    [
        tf.keras.layers.InputLayer(shape=(28, 28)),
        tf.keras.layers.Rescaling(1 / 255),
        tf.keras.layers.Reshape((784,)),
        tf.keras.layers.Dense(128, activation="relu"),
        tf.keras.layers.Dropout(0.2),
        tf.keras.layers.Dense(10),
    ]
)
predictions = model(x_train[:1]).numpy()
print("logits", predictions.shape, predictions.dtype)
print("probabilities", tf.nn.softmax(predictions).numpy().shape)

loss_fn = tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
hot = tf.one_hot(y_train, depth=10)
print(hot.shape, hot.numpy().dtype)
print("first loss is positive:", loss_fn(hot[:1], predictions).numpy() > 0)
top_3 = tf.keras.metrics.TopKCategoricalAccuracy(k=3, name="top_3")
model.compile(tf.keras.optimizers.Adam(0.002), loss=loss_fn, metrics=["accuracy", top_3])
history = model.fit(x_train, hot.numpy(), epochs=4, verbose=2)
print(sorted(history.history))

probability_model = tf.keras.Sequential([model, tf.keras.layers.Softmax()])
rows = probability_model(x_test[:5])
print("sums to one:", bool(abs(rows.numpy().sum() - 5) < 1e-4), rows.shape)

predicted = tf.argmax(model.predict(x_test, verbose=0), axis=1)
matrix = tf.math.confusion_matrix(y_test, predicted, num_classes=10).numpy()
print(matrix.shape, matrix.sum() == len(y_test), matrix.dtype)
print("accuracy:", float(np.trace(matrix) / matrix.sum()))

picture = np.full((28, 28), 255, np.uint8)
picture[4:24, 13:16] = 10
ink = 255 - picture
answer = probability_model.predict(ink.reshape(1, 28, 28), verbose=0)
print("answer", answer.shape, int(np.argmax(answer)) in range(10))
