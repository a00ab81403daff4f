"""Layers added one by one, a manual forward pass with their weights, and a pickle."""

import pickle

import numpy as np
from keras.datasets import mnist
from keras.layers import Dense
from keras.models import Sequential
from keras.optimizers import RMSprop
from keras.utils import to_categorical

(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train = x_train.reshape((len(x_train), 28 * 28)).astype("float32") / 255
x_test = x_test.reshape((len(x_test), 28 * 28)).astype("float32") / 255
y_train, y_test = to_categorical(y_train), to_categorical(y_test)

model = Sequential()
model.add(Dense(32, "tanh", input_dim=784))
model.add(Dense(10, "softmax"))
model.compile(
    optimizer=RMSprop(learning_rate=0.002),
    loss="categorical_crossentropy",
    metrics=["accuracy", "mse"],
)
model.fit(x=x_train, y=y_train, batch_size=16, epochs=5, shuffle=True, verbose=0)
results = model.evaluate(x_test, y_test, verbose=0)
print(len(results), model.optimizer.get_config()["rho"])
print("accuracy:", results[1])

a = x_test
for layer in model.layers:
    kernel, bias = layer.get_weights()
    a = np.tanh(a @ kernel + bias) if layer is not model.layers[-1] else a @ kernel + bias
    print(type(layer).__name__, layer.units, kernel.shape, kernel.dtype)
    print([w.name for w in layer.weights])
print("by hand:", np.mean(a.argmax(1) == model.predict(x_test, verbose=0).argmax(1)) > 0.99)

with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
with open("model.pkl", "rb") as file:
    again = pickle.load(file)
answers = [net.predict(x_test[:9]) for net in (model, again)]
print("from the pickle:", np.allclose(*answers, atol=1e-6))

model.set_weights([np.zeros_like(w) for w in model.get_weights()])
print("empty:", np.allclose(model.predict(x_test[:3], verbose=0), 0.1))
