"use strict";

// The mathematics of training. The names and formulas are those of tinynet/functional, which derives
// the formulas; `sparse_row` and `transpose` are additional. Matrices are Float32Arrays in row-major
// order. Results are written to the last array argument or, if stated by the formula, in place.

// ------------------------------------------------------------ activations

// y = f(x), and the gradient d_x = d_y * dy/dx, whose second factor is a function of y.
const linear = (x) => x;
const linear_backward = (d_y) => d_y;
const relu = (x) => Math.max(x, 0);
const relu_backward = (d_y, y) => (y > 0 ? d_y : 0);
const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const sigmoid_backward = (d_y, y) => d_y * y * (1 - y);
const tanh = (x) => Math.tanh(x);
const tanh_backward = (d_y, y) => d_y * (1 - y * y);
const ACTIVATIONS = {
  linear: [linear, linear_backward], relu: [relu, relu_backward],
  sigmoid: [sigmoid, sigmoid_backward], tanh: [tanh, tanh_backward],
};

/** Apply an activation to each element. */
function elementwise(name, x, y) {
  const [f] = ACTIVATIONS[name];
  for (let i = 0; i < x.length; i++) y[i] = f(x[i]);
}

/** Compute the gradient of an activation for each element. */
function elementwise_backward(name, d_y, y, d_x) {
  const [, backward] = ACTIVATIONS[name];
  for (let i = 0; i < y.length; i++) d_x[i] = backward(d_y[i], y[i]);
}

/** y = exp(x) / sum(exp(x)) in each row of `columns` values; the maximum is subtracted first. */
function softmax(x, columns, y) {
  for (let start = 0; start < x.length; start += columns) {
    let most = -Infinity, sum = 0;
    for (let i = start; i < start + columns; i++) most = Math.max(most, x[i]);
    for (let i = start; i < start + columns; i++) sum += y[i] = Math.exp(x[i] - most);
    for (let i = start; i < start + columns; i++) y[i] /= sum;
  }
}

// ------------------------------------------------------------ dense layers

/** y = x @ kernel + bias, skipping inputs that are 0. x: (N, D), kernel: (D, U), y: (N, U). */
function dense(x, kernel, bias, y) {
  const U = bias.length, D = kernel.length / U;
  for (let n = 0; n * U < y.length; n++) {
    const row = n * U;
    for (let u = 0; u < U; u++) y[row + u] = bias[u];
    for (let d = 0, start = 0; d < D; d++, start += U) {
      const value = x[n * D + d];
      if (value === 0) continue;
      for (let u = 0; u < U; u++) y[row + u] += value * kernel[start + u];
    }
  }
}

/** y = x.T; x has `columns` columns. */
function transpose(x, columns, y) {
  const rows = x.length / columns;
  for (let i = 0; i < x.length; i++) y[(i % columns) * rows + Math.floor(i / columns)] = x[i];
}

/** Add the product of one sparse row x and the kernel to the row y: y += x @ kernel. */
function sparse_row(y, kernel, pixels, values) {
  const U = y.length;
  for (let i = 0; i < pixels.length; i++) {
    const start = pixels[i] * U, value = values[i];
    for (let u = 0; u < U; u++) y[u] += value * kernel[start + u];
  }
}

/** Add the gradient of `sparse_row` to that of the kernel: d_kernel += x.T @ d_y. */
function sparse_row_gradients(d_y, d_kernel, pixels, values) {
  const U = d_y.length;
  for (let i = 0; i < pixels.length; i++) {
    const start = pixels[i] * U, value = values[i];
    for (let u = 0; u < U; u++) d_kernel[start + u] += value * d_y[u];
  }
}

// ------------------------------------------------------------ loss

/** Return the sum of -log(probability of the label) over the rows. */
function sparse_crossentropy(labels, probabilities) {
  const C = probabilities.length / labels.length;
  let sum = 0;
  labels.forEach((label, n) => (sum -= Math.log(Math.max(probabilities[n * C + label], 1e-30))));
  return sum;
}

/** d_logits = (probabilities - one_hot(labels)) / N, the gradient of the mean loss. */
function sparse_softmax_crossentropy_backward(labels, probabilities, d_logits) {
  const N = labels.length, C = probabilities.length / N;
  for (let i = 0; i < d_logits.length; i++) d_logits[i] = probabilities[i] / N;
  labels.forEach((label, n) => (d_logits[n * C + label] -= 1 / N));
}

// ------------------------------------------------------------ optimizers

/** w -= learning_rate * d_w. */
function sgd(w, d_w, learning_rate) {
  for (let i = 0; i < w.length; i++) w[i] -= learning_rate * d_w[i];
}

/** m = momentum * m - learning_rate * d_w; w += m. */
function sgd_momentum(w, d_w, m, learning_rate, momentum) {
  for (let i = 0; i < w.length; i++) {
    m[i] = momentum * m[i] - learning_rate * d_w[i];
    w[i] += m[i];
  }
}

/** v = rho * v + (1 - rho) * d_w ** 2; w -= learning_rate * d_w / sqrt(v + epsilon). */
function rmsprop(w, d_w, v, learning_rate, rho, epsilon) {
  for (let i = 0; i < w.length; i++) {
    v[i] = rho * v[i] + (1 - rho) * d_w[i] * d_w[i];
    w[i] -= (learning_rate * d_w[i]) / Math.sqrt(v[i] + epsilon);
  }
}

/** Update the moment estimates m and v; w -= alpha * m / (sqrt(v) + epsilon). */
function adam(w, d_w, m, v, alpha, one_minus_beta_1, one_minus_beta_2, epsilon) {
  for (let i = 0; i < w.length; i++) {
    m[i] += (d_w[i] - m[i]) * one_minus_beta_1;
    v[i] += (d_w[i] * d_w[i] - v[i]) * one_minus_beta_2;
    w[i] -= (alpha * m[i]) / (Math.sqrt(v[i]) + epsilon);
  }
}

/** alpha = learning_rate * sqrt(1 - beta_2 ** step) / (1 - beta_1 ** step). */
function adam_step_size(learning_rate, beta_1, beta_2, step) {
  return (learning_rate * Math.sqrt(1 - beta_2 ** step)) / (1 - beta_1 ** step);
}
