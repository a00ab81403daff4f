"use strict";

const net = JSON.parse(document.getElementById("net").textContent);
const weights = decode(net.weights, net.dtype);

/** Decode base64-encoded float32 values, or float16 values for large networks. */
function decode(base64, dtype) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  if (dtype === "float32") return new Float32Array(bytes.buffer);
  return Float32Array.from(new Uint16Array(bytes.buffer), (half) => {
    const sign = half >> 15 ? -1 : 1, exponent = (half >> 10) & 31, fraction = half & 1023;
    return exponent
      ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024)
      : sign * 2 ** -14 * (fraction / 1024);
  });
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const ELEMENTWISE = {
  linear: () => (x) => x,
  relu: ({ negative_slope: slope, max_value: most, threshold }) => (x) =>
    x > threshold ? (most == null ? x : Math.max(Math.min(x, most), 0)) : slope * (x - threshold),
  sigmoid: () => sigmoid,
  tanh: () => Math.tanh,
  elu: ({ alpha }) => (x) => (x > 0 ? x : alpha * Math.expm1(x)),
  silu: () => (x) => x * sigmoid(x),
  softplus: () => (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
};

function activate(x, { name, options }) {
  if (name !== "softmax") return x.map(ELEMENTWISE[name](options));
  const most = Math.max(...x);
  const powers = x.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

/** y = x @ kernel + bias, skipping the many inputs that are 0. */
function dense(x, { units, kernel, bias }) {
  const y = new Float64Array(units);
  if (bias !== null) y.set(weights.subarray(bias, bias + units));
  x.forEach((value, i) => {
    if (value === 0) return;
    const row = kernel + i * units;
    for (let j = 0; j < units; j++) y[j] += value * weights[row + j];
  });
  return y;
}

/** Compute hidden activations and ten probabilities from 784 pixels from 0 to 1. */
function predict(pixels) {
  const hidden = [];
  let x = Float64Array.from(pixels), within = false;
  for (const step of net.steps) {
    if (step.kind === "activation") {
      x = activate(x, step);
    } else {
      if (within) hidden.push(x);
      x = dense(x, step);
      within = true;
    }
  }
  return { hidden, probabilities: x };
}
