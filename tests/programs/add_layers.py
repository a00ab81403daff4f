"""The oldest style: keras.models and keras.layers, layers added one by one, RMSprop."""

from keras.datasets import mnist
from keras.layers import Dense
from keras.models import Sequential
from keras.optimizers import RMSprop
from keras.utils import to_categorical

(train_images, train_labels), (test_images, test_labels) = mnist.load_data()
train_images = train_images.reshape((len(train_images), 28 * 28)).astype("float32") / 255
test_images = test_images.reshape((len(test_images), 28 * 28)).astype("float32") / 255
train_labels = to_categorical(train_labels)
test_labels = to_categorical(test_labels)

network = Sequential()
network.add(Dense(64, activation="tanh", input_shape=(28 * 28,)))
network.add(Dense(10, activation="softmax"))
network.compile(
    optimizer=RMSprop(learning_rate=0.002),
    loss="categorical_crossentropy",
    metrics=["accuracy", "mse"],
)
network.fit(train_images, train_labels, epochs=4, batch_size=32, verbose=0)

results = network.evaluate(test_images, test_labels, verbose=0)
print(len(results), network.optimizer.get_config()["rho"])
print("accuracy:", results[1])

for layer in network.layers:
    kernel, bias = layer.get_weights()
    print(layer.name.split("_")[0], layer.units, kernel.shape, bias.shape, kernel.dtype)
