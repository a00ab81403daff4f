"""A custom callback that stops training when the accuracy is high enough."""

import tensorflow as tf
import tensorflow.keras as keras


class GoodEnough(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        print("begin", logs)

    def on_epoch_end(self, epoch, logs=None):
        print("epoch", epoch, sorted(logs))
        if logs.get("accuracy") > 0.3:
            print("good enough: stopped")
            self.model.stop_training = True


tf.random.set_seed(1)
(x, y), (x_test, y_test) = keras.datasets.mnist.load_data()
x, x_test = x / 255.0, x_test / 255.0

model = keras.Sequential(
    [keras.layers.Flatten(), keras.layers.Dense(64, "relu"), keras.layers.Dense(10, "softmax")]
)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
history = model.fit(x, y, epochs=20, batch_size=8, verbose=0, callbacks=[GoodEnough()])
print("epochs:", len(history.epoch), model.stop_training)
print("accuracy:", model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"])
