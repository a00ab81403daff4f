"use strict";

// Training of a network 784-units-10: forward pass, backpropagation and update of one mini-batch,
// as in tinynet. All parameters are in one array, in the order kernel, bias, kernel, bias.

const INPUTS = 784, CLASSES = 10, CHUNK = 512; // CHUNK: largest batch
const BETA_1 = 0.9, BETA_2 = 0.999, MOMENTUM = 0.9, RHO = 0.9, EPSILON = 1e-7; // as in Keras
const DEFAULTS = {
  units: 128, activation: "relu", optimizer: "adam", rate: 0.003, batch: 64, dropout: 0, seed: 0,
  bias: true, most: 1, shuffled: false, initial: 1,
};
const COPIES = 20; // how often an epoch contains each of the user's drawings

/** Split an array of parameters into kernels and biases. */
function split(w, units) {
  const sizes = [INPUTS * units, units, units * CLASSES, CLASSES];
  let end = 0;
  return sizes.map((size) => w.subarray(end, (end += size)));
}

class Trainer {
  /** Images 0 to `test - 1` are held out for testing; the others are for training. */
  constructor(memory, images, test, off = new Set()) {
    Object.assign(this, { memory, images, test, off, settings: { ...DEFAULTS } });
    this.mark = memory.used;
    this.own = images.count; // index of the first drawing of the user
    this.restart();
  }

  /** Initialize the network and everything else from the seed. */
  restart() {
    const { units, seed, initial } = this.settings;
    this.allocate(units);
    this.random = new Random(seed);
    const [kernel, , output] = split(this.w, units);
    for (const [array, size] of [[kernel, INPUTS + units], [output, units + CLASSES]]) {
      const limit = initial * Math.sqrt(6 / size); // Glorot and Bengio (2010)
      array.forEach((_, i) => (array[i] = limit * (2 * this.random.uniform() - 1)));
    }
    Object.assign(this, { step: 0, updates: 0, seen: 0, epoch: 0, position: 0, next: 0 });
    Object.assign(this, { history: [], order: null, sums: { loss: 0, right: 0, images: 0 } });
    this.adopted = false; // if true, the weights are those of a stored network
    this.off.clear();
    this.labels = this.images.labels.slice();
    if (this.settings.shuffled) {
      new Random(seed).shuffle(this.labels.subarray(this.test, this.own));
    }
    this.images.scale(this.settings.most);
  }

  /** Allocate the parameters, their gradients and moment estimates, and the values of a batch. */
  allocate(units) {
    this.memory.used = this.mark;
    const array = (size) => this.memory.array(Float32Array, Math.ceil(size / 4) * 4);
    const size = (INPUTS + 1) * units + (units + 1) * CLASSES;
    for (const name of ["w", "d_w", "m", "v"]) this[name] = array(size);
    for (const name of ["z", "y", "h", "d_h"]) this[name] = array(CHUNK * units);
    for (const name of ["logits", "probabilities"]) this[name] = array(CHUNK * CLASSES);
    for (const name of ["turned", "d_turned"]) {
      this[name] = array(units * CLASSES).subarray(0, units * CLASSES);
    }
    // The rows of the logits, in the format of the images.
    const pixels = this.memory.array(Uint16Array, CHUNK * CLASSES);
    pixels.forEach((_, i) => (pixels[i] = i % CLASSES));
    const starts = Uint32Array.from({ length: CHUNK + 1 }, (_, n) => n * CLASSES);
    this.rows = { pixels, starts, values: this.logits };
  }

  /** Compute the probabilities of a batch; `mask` multiplies the activations of the hidden layer. */
  forward(rows, mask) {
    const { units, activation: name } = this.settings, N = rows.length;
    const [kernel, bias, outputKernel, outputBias] = split(this.w, units);
    const z = this.z.subarray(0, N * units), y = this.y.subarray(0, N * units);
    const h = mask ? this.h.subarray(0, N * units) : y;
    for (let n = 0; n < N; n++) {
      z.set(bias, n * units);
      this.memory.sparse("sparse_row", sparse_row, z, n, kernel, units, this.images, rows[n]);
    }
    elementwise(name, z, y);
    if (mask) for (let i = 0; i < y.length; i++) h[i] = y[i] * mask[i];
    const logits = this.logits.subarray(0, N * CLASSES);
    const probabilities = this.probabilities.subarray(0, N * CLASSES);
    dense(h, outputKernel, outputBias, logits);
    softmax(logits, CLASSES, probabilities);
    return { y, h, probabilities };
  }

  /** Compute the gradient of the mean loss by backpropagation. */
  backward(rows, labels, { y, h, probabilities }, mask) {
    const { units, activation: name, bias } = this.settings;
    const [d_kernel, d_bias, d_outputKernel, d_outputBias] = split(this.d_w, units);
    const [, , outputKernel] = split(this.w, units);
    const { memory, turned, d_turned } = this;
    const d_logits = this.logits.subarray(0, probabilities.length);
    const d_h = this.d_h.subarray(0, y.length);
    sparse_softmax_crossentropy_backward(labels, probabilities, d_logits);
    d_outputBias.fill(0);
    d_logits.forEach((value, i) => (d_outputBias[i % CLASSES] += value));
    // d_h = d_logits @ outputKernel.T, and d_outputKernel.T = d_logits.T @ h.
    transpose(outputKernel, CLASSES, turned);
    d_h.fill(0);
    d_turned.fill(0);
    for (let n = 0; n < rows.length; n++) {
      memory.sparse("sparse_row", sparse_row, d_h, n, turned, units, this.rows, n);
      memory.sparse("sparse_row_gradients", sparse_row_gradients, h, n, d_turned, units,
        this.rows, n);
    }
    transpose(d_turned, units, d_outputKernel);
    if (mask) for (let i = 0; i < y.length; i++) d_h[i] *= mask[i];
    elementwise_backward(name, d_h, y, d_h);
    d_kernel.fill(0);
    d_bias.fill(0);
    for (let n = 0; n < rows.length; n++) {
      for (let u = 0; u < units; u++) d_bias[u] += d_h[n * units + u];
      memory.sparse("sparse_row_gradients", sparse_row_gradients, d_h, n, d_kernel, units,
        this.images, rows[n]);
    }
    if (!bias) [d_bias, d_outputBias].forEach((array) => array.fill(0));
  }

  /** Update the parameters by the chosen optimizer. */
  update() {
    const { w, d_w, m, v, memory, settings: { optimizer, rate } } = this;
    this.step++;
    this.updates++;
    if (optimizer === "sgd") memory.update("sgd", sgd, [w, d_w], [rate]);
    if (optimizer === "momentum") {
      memory.update("sgd_momentum", sgd_momentum, [w, d_w, m], [rate, MOMENTUM]);
    }
    if (optimizer === "rmsprop") {
      memory.update("rmsprop", rmsprop, [w, d_w, v], [rate, RHO, EPSILON]);
    }
    if (optimizer === "adam") {
      const alpha = adam_step_size(rate, BETA_1, BETA_2, this.updates);
      memory.update("adam", adam, [w, d_w, m, v], [alpha, 1 - BETA_1, 1 - BETA_2, EPSILON]);
    }
  }

  /** Choose an optimizer, which begins with new moment estimates. */
  setOptimizer(optimizer, rate) {
    Object.assign(this.settings, { optimizer, rate });
    [this.m, this.v].forEach((moments) => moments.fill(0));
    this.updates = 0;
  }

  /** Train on one batch of images, given by their indices; return the sums of loss and hits. */
  trainOn(rows) {
    const mask = this.mask(rows.length, true), labels = rows.map((row) => this.labels[row]);
    const result = this.forward(rows, mask);
    const loss = sparse_crossentropy(labels, result.probabilities);
    const right = countRight(labels, result.probabilities);
    this.backward(rows, labels, result, mask);
    this.update();
    return { loss, right };
  }

  /** Return factors of the hidden activations: dropout, and units that are switched off. */
  mask(N, training) {
    const { units, dropout } = this.settings;
    if (!(training && dropout) && !this.off.size) return null;
    const mask = new Float32Array(N * units).fill(1);
    if (training && dropout) {
      mask.forEach((_, i) => (mask[i] = this.random.uniform() < dropout ? 0 : 1 / (1 - dropout)));
    }
    for (let n = 0; n < N; n++) for (const unit of this.off) mask[n * units + unit] = 0;
    return mask;
  }

  /** Train on the next mini-batch; at the end of an epoch, shuffle the images again. */
  trainStep() {
    if (!this.history.length) this.record();
    if (!this.order || this.position >= this.order.length) {
      const rows = Array.from({ length: this.own - this.test }, (_, i) => this.test + i);
      for (let i = this.own; i < this.images.count; i++) rows.push(...Array(COPIES).fill(i));
      if (this.order) this.epoch++;
      this.order = this.random.shuffle(Uint32Array.from(rows));
      this.position = 0;
    }
    const rows = this.order.subarray(this.position, this.position + this.settings.batch);
    this.position += rows.length;
    this.seen += rows.length;
    const { loss, right } = this.trainOn(rows);
    this.sums.loss += loss;
    this.sums.right += right;
    this.sums.images += rows.length;
    if (this.seen >= this.next) this.record();
  }

  /** Add a drawing of the user to the training images, and begin a new epoch. */
  add(shades, label) {
    this.labels[this.images.count] = label;
    this.images.push(shades, label);
    this.order = null;
  }

  /** Append a point to the curves. The points depend only on the number of images seen. */
  record() {
    const { loss, right, images } = this.sums, held = this.evaluate();
    const point = { seen: this.seen, testLoss: held.loss };
    Object.assign(point, { testAccuracy: held.accuracy, dead: held.dead, active: held.active });
    this.history.push(
      { ...point, loss: images ? loss / images : null, accuracy: images ? right / images : null });
    if (this.history.length > 400) this.history = this.history.filter((_, i) => i % 2 === 0);
    this.sums = { loss: 0, right: 0, images: 0 };
    const least = 10 * this.settings.batch;
    this.next = this.seen + Math.min(Math.max(this.seen / 5, least), Math.max(5000, least));
  }

  /** Compute loss and accuracy on the held-out images, and how often each unit is active. */
  evaluate() {
    const { units, activation: name } = this.settings, [, backward] = ACTIVATIONS[name];
    const active = new Float32Array(units), steepest = new Float32Array(units);
    let loss = 0, right = 0;
    for (let start = 0; start < this.test; start += CHUNK) {
      const length = Math.min(CHUNK, this.test - start);
      const rows = Uint32Array.from({ length }, (_, i) => start + i);
      const { y, probabilities } = this.forward(rows, this.mask(length, false));
      const labels = this.labels.subarray(start, start + length);
      loss += sparse_crossentropy(labels, probabilities);
      right += countRight(labels, probabilities);
      y.forEach((value, i) => {
        const unit = i % units, steep = backward(1, value);
        if (steep > steepest[unit]) steepest[unit] = steep;
        active[unit] += value > 0;
      });
    }
    const dead = Array.from(steepest, (value) => value < 1e-3);
    const share = active.map((count) => count / this.test);
    return { loss: loss / this.test, accuracy: right / this.test, dead, active: share };
  }

  /** Copy the whole state, so that `restore` continues as if nothing had happened since. */
  snapshot() {
    const { step, updates, seen, epoch, position, next, sums, history, adopted, order } = this;
    const kept = { step, updates, seen, epoch, position, next, sums, history, adopted };
    const arrays = { w: this.w.slice(), m: this.m.slice(), v: this.v.slice() };
    const copied = { ...kept, order: order?.slice() ?? null, labels: this.labels.slice() };
    const { off, settings, random: { state } } = this;
    return structuredClone({ copied, arrays, off, settings, state });
  }

  /** Return to a snapshot. */
  restore({ copied, arrays, off, settings, state }) {
    Object.assign(this, structuredClone({ ...copied, settings }));
    this.off.clear();
    off.forEach((unit) => this.off.add(unit));
    this.allocate(settings.units);
    for (const name of ["w", "m", "v"]) this[name].set(arrays[name]);
    this.random.state = state;
    this.images.scale(settings.most);
    this.labels.set(this.images.labels.subarray(this.own), this.own);
  }
}

/** Count the rows whose first largest probability is that of the label. */
function countRight(labels, probabilities) {
  let right = 0;
  labels.forEach((label, n) => {
    const row = probabilities.subarray(n * CLASSES, (n + 1) * CLASSES);
    right += row.every((p, i) => (i < label ? p < row[label] : p <= row[label]));
  });
  return right;
}
