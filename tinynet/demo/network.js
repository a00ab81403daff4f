"use strict";

// The network of the page: the one that Python stored or, later, the one that is trained here.
const net = JSON.parse(document.getElementById("net").textContent);
let weights = decode(net.weights, net.dtype);
const switchedOff = new Set(); // units of the first hidden layer
let most = 1; // value of a white pixel

/** Decode base64. */
function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Decode base64-encoded float32 values, or float16 values for large networks. */
function decode(base64, dtype) {
  const { buffer } = bytesOf(base64);
  if (dtype === "float32") return new Float32Array(buffer);
  return Float32Array.from(new Uint16Array(buffer), (half) => {
    const sign = half >> 15 ? -1 : 1, exponent = (half >> 10) & 31, fraction = half & 1023;
    return exponent
      ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024)
      : sign * 2 ** -14 * (fraction / 1024);
  });
}

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
  const y = new Float64Array(x.length);
  if (name !== "softmax") return x.map(ELEMENTWISE[name](options));
  softmax(x, x.length, y);
  return y;
}

/** Compute one dense layer in float64. */
function denseLayer(x, { units, kernel, bias }) {
  const y = new Float64Array(units), none = new Float64Array(units);
  const rows = weights.subarray(kernel, kernel + x.length * units);
  dense(x, rows, bias === null ? none : weights.subarray(bias, bias + units), y);
  return y;
}

/** Compute the pre-activations and activations of the hidden layers, and ten probabilities. */
function predict(pixels) {
  const hidden = [], preActivations = [];
  let x = Float64Array.from(pixels, (value) => value * most);
  for (const step of net.steps) {
    if (step.kind === "activation") {
      x = activate(x, step);
      continue;
    }
    if (preActivations.length === 1) switchedOff.forEach((unit) => (x[unit] = 0));
    if (preActivations.length) hidden.push(x);
    x = denseLayer(x, step);
    preActivations.push(x);
  }
  return { hidden, preActivations, probabilities: x };
}
