"use strict";

// The experiments that break training. Each changes the settings or the weights, and can be undone.

const BREAKS = {
  "Learning rate 10": {
    change: (trainer) => (trainer.settings.rate = 10),
    effect: "The steps are so large that the weights overshoot: the loss jumps up and stays high. " +
      "The training goes on from the present weights.",
    read: "tinynet.optimizers and notebook examples/04_adam.ipynb",
  },
  "All weights 0": {
    change: (trainer) => restartWith(trainer, { initial: 0 }),
    effect: "All hidden units compute the same and get the same gradient, which is 0 here. Only the " +
      "output biases learn, so the network always predicts the most frequent digit.",
    read: "tinynet.initializers, GlorotUniform",
  },
  "No bias": {
    change: (trainer) => restartWith(trainer, { bias: false }),
    effect: "Each unit's pre-activation is 0 for a blank image and can't be shifted. On digits the " +
      "accuracy is only slightly different, because some pixels are white in most images.",
    read: "tinynet.layers.Dense, use_bias, and tinynet/functional/dense_layer.py",
  },
  "No normalization": {
    change: (trainer) => restartWith(trainer, { most: 255 }),
    effect: "The pixels are from 0 to 255 instead of 0 to 1. Pre-activations and gradients are about " +
      "255 times as large: the loss starts very high, and units die in the first steps.",
    read: "tinynet.layers.Rescaling and examples/01_train_mnist.py",
  },
  "Shuffled labels": {
    change: (trainer) => restartWith(trainer, { shuffled: true }),
    effect: "The training labels no longer belong to the images. The network can only memorize " +
      "them: its accuracy on the held-out images stays near 10%, that of guessing.",
    read: "notebook examples/08_overfitting.ipynb",
  },
  "Saturated sigmoid": {
    change: (trainer) => restartWith(trainer, { activation: "sigmoid", initial: 30 }),
    effect: "The initial weights are 30 times too large, so that most sigmoids are near 0 or 1, " +
      "where their slope is almost 0: gradients vanish, and the hidden layer hardly learns.",
    read: "tinynet.activations.sigmoid and tinynet/functional/activations.py",
  },
};

let broken = null; // { name, button, snapshot }

function restartWith(trainer, settings) {
  Object.assign(trainer.settings, settings);
  trainer.restart();
}

/** Undo the present experiment, if there is one. */
function undoBreak() {
  if (!broken) return;
  const { name, button, snapshot } = broken;
  broken = null;
  previousRun = trainer.history;
  trainer.restore(snapshot);
  button.textContent = name;
  button.setAttribute("aria-pressed", "false");
  $("effect").textContent = `"${name}" was undone: the weights and settings are those from before.`;
}

function breakIt(name, button) {
  const again = broken?.name === name;
  undoBreak();
  if (!again) {
    const { change, effect, read: where } = BREAKS[name];
    broken = { name, button, snapshot: trainer.snapshot() };
    previousRun = trainer.history;
    change(trainer);
    button.textContent = `Undo: ${name}`;
    button.setAttribute("aria-pressed", "true");
    $("effect").textContent = `${effect} Read about it in ${where}.`;
    start(); // also shows the network
  }
  networkChanged();
}

for (const name of Object.keys(BREAKS)) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", textContent: name });
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => breakIt(name, button));
  $("breaks").append(button);
}
