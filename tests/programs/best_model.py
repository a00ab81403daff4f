"""Early stopping, checkpoints of the best model, and a learning rate reduced on a plateau."""

import os

import tensorflow as tf
from tensorflow.keras import layers, models
from tensorflow.keras.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

(x_train, y_train), (x_test, y_test) = tf.keras.datasets.mnist.load_data()
x_train, x_test = x_train / 255.0, x_test / 255.0
x_val, y_val = x_train[-100:], y_train[-100:]
x_train, y_train = x_train[:-100], y_train[:-100]

model = models.Sequential(
    [
        layers.Input((28, 28)),
        layers.Rescaling(1.0),
        layers.Flatten(),
        layers.Dense(64, activation="relu", kernel_regularizer=tf.keras.regularizers.L2(1e-4)),
        layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
callbacks = [
    EarlyStopping(monitor="val_loss", patience=3, restore_best_weights=True, verbose=1),
    ModelCheckpoint("best.keras", monitor="val_accuracy", save_best_only=True, verbose=0),
    ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1, min_lr=1e-5),
]
history = model.fit(
    x_train, y_train, epochs=6, validation_data=(x_val, y_val), callbacks=callbacks, verbose=0
)
print(sorted(history.history), os.listdir("."))

best = models.load_model("best.keras")
print(best.optimizer.get_config()["beta_2"], [type(layer).__name__ for layer in best.layers])
loss, accuracy = best.evaluate(x_test, y_test, verbose=0)
print("accuracy:", accuracy)
