"""Rows scaled to length 1, functions as activations, a model saved, loaded and asked."""

import numpy as np
import tensorflow as tf

(x_train, y_train), (x_test, y_test) = tf.keras.datasets.mnist.load_data()
x_train = tf.keras.utils.normalize(x_train, axis=1)
x_test = tf.keras.utils.normalize(x_test, axis=1)
print(x_train.shape, x_train.dtype)

model = tf.keras.models.Sequential()
model.add(tf.keras.layers.Flatten())
model.add(tf.keras.layers.Dense(units=64, activation=tf.nn.relu))
model.add(tf.keras.layers.Dense(units=64, activation=tf.nn.relu))
model.add(tf.keras.layers.Dense(units=10, activation="softmax"))
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
print(model.built)
model.fit(x_train, y_train, epochs=6, verbose=0)
print(model.built, model.output_shape[1:])

val_loss, val_acc = model.evaluate(x_test, y_test, verbose=0)
print("accuracy:", val_acc)

model.save("reader.keras")
new_model = tf.keras.models.load_model("reader.keras")
predictions = new_model.predict([x_test], verbose=0)
print(predictions.shape, int(np.argmax(predictions[0])) in range(10))
print("the same:", np.allclose(predictions, model.predict(x_test, verbose=0), atol=1e-6))
