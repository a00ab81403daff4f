"use strict";

// The network as a Keras program and as a file for tinynet.

const OPTIMIZERS = {
  sgd: (rate) => `SGD(learning_rate=${rate})`,
  momentum: (rate) => `SGD(learning_rate=${rate}, momentum=${MOMENTUM})`,
  rmsprop: (rate) => `RMSprop(learning_rate=${rate})`,
  adam: (rate) => `Adam(learning_rate=${rate})`,
};

/** Return a program that trains this network; the library only changes one line. */
function kerasProgram({ settings, seen, own, test, images }, library) {
  const { optimizer, rate, dropout, bias, initial, most, shuffled } = settings;
  const scale = `VarianceScaling(${initial ** 2}, "fan_avg", "uniform")`;
  const initializer = initial ? `keras.initializers.${scale}` : '"zeros"';
  const values = {
    ...settings,
    import: library === "keras" ? "import keras" : "import tinynet as keras",
    dataset: images.name === "Fashion-MNIST" ? "fashion_mnist" : "mnist",
    numpy: shuffled ? "import numpy as np\n" : "",
    shuffle: shuffled ? `y = np.random.default_rng(${settings.seed}).permutation(y)\n` : "",
    scale: most === 1 ? " / 255" : "",
    options: (bias ? "" : ", use_bias=False") +
      (initial === 1 ? "" : `, kernel_initializer=${initializer}`),
    dropout: dropout ? `        keras.layers.Dropout(${dropout}),\n` : "",
    optimizer: OPTIMIZERS[optimizer](rate),
    epochs: Math.max(1, Math.round(seen / (own - test))),
  };
  return $("keras-program").textContent.trimStart().replace(/%(\w+)%/g, (_, key) => values[key]);
}

/** Return the network as JSON, which tinynet.models.load_model reads; see docs/file_formats.md. */
function networkFile({ settings, w, off }) {
  const { units, activation: name, dropout, bias } = settings;
  const layer = (class_name, config) => ({ module: "keras.layers", class_name, config });
  const layers = [
    layer("InputLayer", { batch_shape: [null, 28, 28], name: "input" }),
    layer("Flatten", { name: "flatten" }),
    layer("Dense", { name: "hidden", units, activation: name, use_bias: bias }),
    ...(dropout ? [layer("Dropout", { name: "dropout", rate: dropout })] : []),
    layer("Dense", { name: "output", units: 10, activation: "softmax", use_bias: bias }),
  ];
  const shapes = [[784, units], [units], [units, 10], [10]];
  const names = ["hidden/kernel", "hidden/bias", "output/kernel", "output/bias"];
  // Nine significant digits identify each float32 number.
  const values = (array) => Array.from(array, (value) => Number(value.toPrecision(9)));
  const arrays = split(w.slice(), units);
  off.forEach((unit) => arrays[2].fill(0, unit * CLASSES, (unit + 1) * CLASSES));
  const weights = arrays.map((array, i) =>
    ({ name: names[i], shape: shapes[i], values: values(array) }));
  return JSON.stringify({
    format: "tinynet.json",
    format_version: 1,
    model: { module: "keras", class_name: "Sequential", config: { name: "network", layers } },
    weights: weights.filter((_, i) => bias || i % 2 === 0),
  });
}

/** Save a text as a file of the user. */
function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function showProgram() {
  const library = document.querySelector("input[name=library]:checked").value;
  $("program").textContent = kerasProgram(trainer, library);
}
