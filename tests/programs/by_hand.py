"""The weights taken out, the forward pass by hand, and the model in a pickle."""

import pickle

import numpy as np
from tensorflow import keras
from tensorflow.keras.layers import Dense

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train = x_train.reshape(-1, 784) / 255
x_test = x_test.reshape(-1, 784) / 255

model = keras.Sequential([Dense(32, "relu", input_dim=784), Dense(10, "softmax")])
model.compile(optimizer="Adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x=x_train, y=y_train, batch_size=16, epochs=5, shuffle=True, verbose=0)
print("accuracy:", model.evaluate(x_test, y_test, verbose=0)[1])

a = x_test
for layer in model.layers:
    kernel, bias = layer.get_weights()
    a = np.maximum(a @ kernel + bias, 0) if layer is not model.layers[-1] else a @ kernel + bias
    print(type(layer).__name__, kernel.shape, [w.name for w in layer.weights])
print("by hand:", np.mean(a.argmax(1) == model.predict(x_test, verbose=0).argmax(1)) > 0.99)

with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
with open("model.pkl", "rb") as file:
    again = pickle.load(file)
print(
    "from the pickle:", np.allclose(again.predict(x_test[:9]), model.predict(x_test[:9]), atol=1e-6)
)

model.set_weights([np.zeros_like(w) for w in model.get_weights()])
print("empty:", np.allclose(model.predict(x_test[:3], verbose=0), 0.1))
