"use strict";

// The training loop, which runs in slices so that the page stays responsive, and its controls.

const USUAL_RATES = { sgd: 0.1, momentum: 0.03, rmsprop: 0.001, adam: 0.003 };
const CHOICES = {
  rate: [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 10],
  batch: [1, 8, 16, 32, 64, 128, 256, 512], units: [2, 4, 8, 16, 32, 64, 128, 256],
  dropout: [0, 0.1, 0.2, 0.3, 0.5, 0.8],
};
const CONTROLS = ["optimizer", "activation", "seed", ...Object.keys(CHOICES)];
const SLICE = 25, REFRESH = 150, SLOW = 500; // milliseconds
const MOST_UNITS = 256;
const OWN = 200; // maximum number of drawings in the training set

let attached = false; // if true, the page recognizes drawings with the network trained here
let diverged = false; // if true, the loss or a weight is not a finite number
let trainer = null, running = false, timer = 0, refreshed = 0, speed = 0, announced = 0;

// ------------------------------------------------------------ the loop

const channel = new MessageChannel();
let round = 0; // messages from before the last pause are ignored
channel.port1.onmessage = ({ data }) => data === round && slice();

/** Train for some milliseconds, then let the browser handle input and repaint. */
function slice() {
  if (!running) return;
  const began = performance.now(), slow = $("slow").checked, before = trainer.seen;
  do trainer.trainStep(); while (!slow && performance.now() - began < SLICE);
  const seconds = (performance.now() - began) / 1000;
  const now = (trainer.seen - before) / seconds;
  speed = speed ? 0.9 * speed + 0.1 * now : now;
  if (slow || performance.now() - refreshed > REFRESH) refresh();
  if (diverged) pause();
  else if (slow) timer = setTimeout(slice, SLOW);
  else channel.port2.postMessage(round);
}

function start() {
  if (running) return;
  attach();
  running = true;
  speed = 0;
  $("train").textContent = "Pause";
  say("Training");
  channel.port2.postMessage(++round);
}

function pause() {
  if (!running) return;
  running = false;
  clearTimeout(timer);
  $("train").textContent = "Train";
  refresh();
  say(`Paused. ${diverged ? $("diverged").textContent : summary()}`);
}

const summary = () => {
  const point = trainer.history.at(-1);
  return `${trainer.seen.toLocaleString("en")} images, accuracy on the held-out images ` +
    formatted(point?.testAccuracy, "accuracy");
};

/** Show the network being trained as the one that recognizes drawings. */
function attach() {
  const { units, activation: name, bias, most: white } = trainer.settings;
  const options = name === "relu" ? { negative_slope: 0, max_value: null, threshold: 0 } : {};
  const end = 784 * units, next = end + units, last = next + 10 * units;
  const layer = (name, units, kernel, at) => ({ kind: "dense", name, units, kernel, bias: at });
  const activations = (name, options) => ({ kind: "activation", name, options });
  weights = trainer.w;
  most = white;
  net.steps = [
    layer("hidden", units, 0, bias ? end : null), activations(name, options),
    layer("output", 10, next, bias ? last : null), activations("softmax", {}),
  ];
  attached = true;
  showNetwork();
}

/** Update everything after a change of the network or its settings. */
function networkChanged() {
  if (attached) attach();
  $("cost").textContent = "";
  for (const id of CONTROLS) {
    const value = trainer.settings[id], select = $(id);
    const known = select.tagName !== "SELECT" || [...select.options].some((o) => o.value == value);
    if (!known) select.append(new Option(value, value));
    select.value = value;
  }
  refresh();
}

/** Refresh the display. */
function refresh() {
  refreshed = performance.now();
  const { history, seen, epoch, step } = trainer, point = history.at(-1);
  const dead = point?.dead.filter(Boolean).length ?? 0;
  const texts = {
    seen: seen.toLocaleString("en"), steps: step.toLocaleString("en"), epochs: epoch,
    speed: speed ? Math.round(speed).toLocaleString("en") : "–",
    "test-accuracy": formatted(point?.testAccuracy, "accuracy"), dead: point ? dead : "–",
    "test-loss": formatted(point?.testLoss, "loss"), "train-loss": formatted(point?.loss, "loss"),
  };
  for (const [id, text] of Object.entries(texts)) $(`is-${id}`).textContent = text;
  diverged = Number.isNaN(point?.testLoss) || !trainer.w.every(Number.isFinite);
  $("diverged").hidden = !diverged;
  $("save-network").disabled = diverged;
  untrained = attached && seen === 0 && !trainer.adopted;
  drawCurves(history);
  showPrediction();
  showTiles(trainer);
  if (!running) showProgram();
  const reached = [0.97, 0.95, 0.9].find((goal) => point?.testAccuracy >= goal) ?? 0;
  if (running && reached > announced) say(`Accuracy on the held-out images: ${reached * 100}%`);
  announced = seen ? Math.max(announced, reached) : 0;
}

// ------------------------------------------------------------ controls

function connectControls() {
  const parse = (text) => (Number.isNaN(Number(text)) ? text : Number(text));
  for (const [id, values] of Object.entries(CHOICES)) {
    $(id).append(...values.map((value) => new Option(value, value)));
  }
  $("train").addEventListener("click", () => (running ? pause() : start()));
  $("step").addEventListener("click", () => {
    pause();
    attach();
    trainer.trainStep();
    trainer.record();
    refresh();
    say(`Step ${trainer.step}. ${summary()}`);
  });
  $("restart").addEventListener("click", restart);
  for (const id of CONTROLS) {
    $(id).addEventListener("change", ({ target }) => changeSetting(id, parse(target.value)));
  }
  for (const radio of document.querySelectorAll("input[name=library]")) {
    radio.addEventListener("change", showProgram);
  }
  $("copy").addEventListener("click", async () => {
    getSelection().selectAllChildren($("program"));
    const copied = navigator.clipboard?.writeText($("program").textContent) ?? Promise.reject();
    await copied.then(() => say("The program was copied"),
      () => say("The program is selected: press Ctrl+C to copy it"));
  });
  $("save-program").addEventListener("click", () =>
    download("train.py", $("program").textContent, "text/x-python"));
  $("save-network").addEventListener("click", () =>
    download("net.json", networkFile(trainer), "application/json"));
  $("add").addEventListener("click", addDrawing);
}

function restart() {
  if (trainer.history.length > 1) previousRun = trainer.history;
  trainer.restart();
  networkChanged();
  say("Restarted with random weights");
}

function changeSetting(id, value) {
  const { settings } = trainer;
  if (id === "seed") value = Math.min(Math.max(Math.trunc(value) || 0, 0), 2 ** 31);
  settings[id] = value;
  if (id === "optimizer") trainer.setOptimizer(value, USUAL_RATES[value]);
  if (id === "units" || id === "seed") restart();
  else networkChanged();
}

/** Add the drawing to the training images, under the chosen label. */
function addDrawing() {
  const count = trainer.images.count - trainer.own, label = $("label").value;
  const full = count >= OWN;
  if (!blank && !full) {
    trainer.add(Uint8Array.from(drawn, (byte) => Math.round((byte / 255) * LEVELS)), Number(label));
  }
  $("added").textContent = blank ? "Draw an image first."
    : full ? `The training set has room for ${OWN} drawings.`
    : `Added as ${net.classes[label]}: ${count + 1} of your drawings, each ${COPIES} times ` +
      "in the next epochs.";
}

// ------------------------------------------------------------ start

/** Adopt the stored network if it has one hidden layer of a kind that the page can train. */
function adopt() {
  const [first, act, last, out, ...rest] = net.steps;
  const { negative_slope: slope, max_value: limit, threshold } = act?.options ?? {};
  const plain = act?.name !== "relu" || (slope === 0 && limit == null && threshold === 0);
  const fits = rest.length === 0 && first?.kind === "dense" && act.name in ACTIVATIONS && plain &&
    last?.kind === "dense" && out?.name === "softmax" && first.units <= MOST_UNITS;
  const biased = fits && first.bias !== null;
  if (!fits || biased !== (last.bias !== null)) return false;
  Object.assign(trainer.settings, { units: first.units, activation: act.name, bias: biased });
  trainer.restart();
  trainer.adopted = true;
  const starts = [first.kernel, first.bias, last.kernel, last.bias];
  split(trainer.w, first.units).forEach((array, i) => {
    if (starts[i] !== null) array.set(weights.subarray(starts[i], starts[i] + array.length));
  });
  return true;
}

async function prepare() {
  const stored = JSON.parse($("images").textContent);
  if (!stored) return;
  const parameters = 4 * (4 * MOST_UNITS * 800 + 5 * CHUNK * MOST_UNITS);
  const { memory, images } = await decodeImages(stored, OWN, parameters);
  trainer = new Trainer(memory, images, stored.test, switchedOff);
  $("data").textContent = `${(trainer.own - trainer.test).toLocaleString("en")} images of ` +
    `${stored.name}; ${trainer.test.toLocaleString("en")} others are held out for testing`;
  $("title").textContent = "Train a network on images";
  connectControls();
  for (const section of document.querySelectorAll("[data-training]")) section.hidden = false;
  if (!net.steps.length || adopt()) attach();
  trainer.record();
  networkChanged();
}

prepare().catch((error) => {
  console.error(error);
  $("about").textContent += ` This browser does not support the training: ${error.message}`;
});
