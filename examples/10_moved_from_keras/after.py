"""Handwritten digit recognition; before.py and after.py differ only in their imports."""

import tinynet.compat.tensorflow as tf
from tinynet.callbacks import EarlyStopping, ModelCheckpoint
from tinynet.datasets import mnist
from tinynet.layers import Dense, Dropout, Flatten, Input
from tinynet.models import Sequential, load_model
from tinynet.utils import to_categorical

tf.random.set_seed(1)
(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = x_train.astype("float32") / 255, x_test.astype("float32") / 255

model = Sequential(
    [
        Input((28, 28)),
        Flatten(),
        Dense(128, activation="relu"),
        Dropout(0.2),
        Dense(10, activation="softmax"),
    ]
)
model.compile(
    optimizer=tf.keras.optimizers.Adam(learning_rate=0.001),
    loss="categorical_crossentropy",
    metrics=["accuracy"],
)
history = model.fit(
    x_train,
    to_categorical(y_train, 10),
    epochs=5,
    batch_size=32,
    validation_split=0.1,
    callbacks=[
        EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True),
        ModelCheckpoint("best.keras", monitor="val_accuracy", save_best_only=True),
    ],
    verbose=2,
)

best = load_model("best.keras")
loss, accuracy = best.evaluate(x_test, to_categorical(y_test, 10), verbose=0)
print("Test accuracy:", accuracy)

predicted = tf.argmax(best.predict(x_test, verbose=0), axis=1)
matrix = tf.math.confusion_matrix(y_test, predicted, num_classes=10)
print("Confusion matrix:", matrix.numpy().shape)
print("Recorded metrics:", sorted(history.history))
