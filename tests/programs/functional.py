"""The functional API, and a second model that outputs the hidden layer."""

from keras import Input, Model
from keras.datasets import mnist
from keras.layers import Dense, Flatten, LeakyReLU
from keras.models import clone_model

(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = x_train / 255.0, x_test / 255.0

inputs = Input(shape=(28, 28), name="image")
x = Flatten()(inputs)
x = Dense(64, name="hidden")(x)
x = LeakyReLU(negative_slope=0.1)(x)
outputs = Dense(10, activation="softmax", name="digit")(x)
model = Model(inputs=inputs, outputs=outputs, name="reader")
print(model.name, model.input_shape, model.output_shape, len(model.layers), inputs.shape)
print(model.get_layer("hidden").units, model.layers[0].name, outputs.shape)

model.compile(optimizer="nadam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(
    x_train, y_train, epochs=4, verbose=0, validation_freq=2, validation_data=(x_test, y_test)
)
print("accuracy:", model.evaluate(x_test, y_test, verbose=0)[1])
model.save("reader.keras")
model.save("reader.h5")

features = Model(model.input, model.get_layer("hidden").output)
print(features.predict(x_test[:7], verbose=0).shape)

twin = clone_model(model)
print(twin.name, [layer.name for layer in twin.layers if "re_lu" not in layer.name][2:])
print(twin.predict(x_test[:2], verbose=0).shape)
