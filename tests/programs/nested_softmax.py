"""Logits, and a second model that turns them into probabilities."""

import tensorflow as tf

print("TensorFlow version:", tf.__version__ is not None)

mnist = tf.keras.datasets.mnist
(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = x_train / 255.0, x_test / 255.0

model = tf.keras.models.Sequential(
    [
        tf.keras.layers.Flatten(input_shape=(28, 28)),
        tf.keras.layers.Dense(128, activation="relu"),
        tf.keras.layers.Dropout(0.2),
        tf.keras.layers.Dense(10),
    ]
)

predictions = model(x_train[:1]).numpy()
print("logits", predictions.shape, predictions.dtype)
print("probabilities", tf.nn.softmax(predictions).numpy().shape)

loss_fn = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
print("first loss is a number:", loss_fn(y_train[:1], predictions).numpy() > 0)

model.compile(optimizer="adam", loss=loss_fn, metrics=["accuracy"])
model.fit(x_train, y_train, epochs=4, verbose=2)
loss, accuracy = model.evaluate(x_test, y_test, verbose=2)
print("accuracy:", accuracy)

probability_model = tf.keras.Sequential([model, tf.keras.layers.Softmax()])
rows = probability_model(x_test[:5])
print("sums to one:", bool(abs(rows.numpy().sum() - 5) < 1e-4), rows.shape)
