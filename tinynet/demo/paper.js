"use strict";

// A port of the part of tinynet.datasets.frame_digit that separates the ink from the paper.
function largest(values) {
  let most = -Infinity;
  for (const value of values) if (value > most) most = value;
  return most;
}
const smallest = (values) => -largest(values.map((value) => -value));

function paperShade(grey, h, w) {
  const last = (h - 1) * w, border = [];
  for (let x = 0; x < w; x++) border.push(grey[x], grey[last + x]);
  for (let y = 0; y < h; y++) border.push(grey[y * w], grey[y * w + w - 1]);
  return border.sort((a, b) => a - b)[border.length >> 1];
}

const margin = (size) => (size > 4 ? Math.max(roundUp(0.04 * size), 1) : 0);

/** The 20 grid points along a side, and for each pixel the lower point and two linear weights. */
function gridOf(size) {
  const first = margin(size), inner = size - 2 * first, points = [], between = [];
  for (let i = 0; i < 20; i++) points.push(first + Math.floor(((2 * i + 1) * inner) / 40));
  for (let i = 0; i < size; i++) {
    const at = Math.min(Math.max(((i - first + 0.5) * 20) / inner - 0.5, 0), 19);
    const low = Math.min(Math.floor(at), 18);
    between.push([low, 1 - (at - low), 1 - (low + 1 - at)]);
  }
  return { points, between };
}

function explainedBy(paper, grey, h, w, most) {
  const top = margin(h), left = margin(w);
  let near = 0;
  for (let y = top; y < h - top; y++) {
    for (let i = y * w + left; i < (y + 1) * w - left; i++) near += Math.abs(grey[i] - paper[i]) < most;
  }
  return near / ((h - 2 * top) * (w - 2 * left));
}

/** Estimate the shade of the paper at each pixel. */
function paperOf(grey, h, w) {
  const even = new Float64Array(h * w).fill(paperShade(grey, h, w));
  const explained = explainedBy(even, grey, h, w, 0.1);
  if (explained > 1 - 0.1 || Math.min(h, w) < 20) return even;
  const down = gridOf(h), across = gridOf(w), median = [];
  for (let i = 0; i < 20; i++) {
    for (let j = 0; j < 20; j++) {
      const near = [];
      for (let y = Math.max(i - 6, 0); y < Math.min(i + 7, 20); y++) {
        for (let x = Math.max(j - 6, 0); x < Math.min(j + 7, 20); x++) {
          near.push(grey[down.points[y] * w + across.points[x]]);
        }
      }
      median.push(Float64Array.from(near).sort()[near.length >> 1]);
    }
  }
  const uneven = new Float64Array(h * w);
  down.between.forEach(([i, above, below], y) => across.between.forEach(([j, left, right], x) => {
    uneven[y * w + x] =
      left * (above * median[20 * i + j] + below * median[20 * i + 20 + j]) +
      right * (above * median[20 * i + j + 1] + below * median[20 * i + 21 + j]);
  }));
  return explainedBy(uneven, grey, h, w, 0.1) >= explained + 0.1 ? uneven : even;
}

/** Apply the maximum, and then the minimum, over squares: dark strokes disappear. */
function closedOf(grey, h, w) {
  const half = Math.max(roundUp(0.25 * Math.max(h, w) / 2), 1), size = 2 * half + 1;
  for (const [extreme, outside] of [[Math.max, -Infinity], [Math.min, Infinity]]) {
    for (let turns = 0; turns < 2; turns++) {
      const padded = new Float64Array((h + 2 * half) * w).fill(outside);
      padded.set(grey, half * w);
      for (let n = 1, step; n < size; n += step) {
        step = Math.min(n, size - n);
        const end = padded.length - step * w;
        for (let i = 0; i < end; i++) padded[i] = extreme(padded[i], padded[i + step * w]);
      }
      grey = turn(padded.subarray(0, h * w), h, w);
      [h, w] = [w, h];
    }
  }
  return grey;
}

function meanAboveOtsu(ink) {
  const count = new Float64Array(256);
  for (const value of ink) count[Math.min(Math.floor(255 * value + 0.5), 255)]++;
  let n = 0, total = 0, best = -1, mean = 0;
  const all = ink.length, whole = count.reduce((sum, many, level) => sum + many * level, 0);
  count.forEach((many, level) => {
    n += many;
    total += many * level;
    const low = total / Math.max(n, 1), high = (whole - total) / Math.max(all - n, 1);
    const between = n * (all - n) * (high - low) ** 2;
    if (between > best) [best, mean] = [between, high];
  });
  return mean / 255;
}

/** Compute the amount of ink at each pixel, 0 to 1; null for a blank page. */
function inkOf(grey, h, w) {
  const papers = [paperOf(grey, h, w)], top = margin(h), left = margin(w);
  const inner = (values) => {
    const rows = [];
    for (let y = top; y < h - top; y++) rows.push(...values.subarray(y * w + left, (y + 1) * w - left));
    return rows;
  };
  const sumOfSquares = (values) => inner(values).reduce((sum, value) => sum + value * value, 0);
  const negative = (values) => values.map((value) => -value);
  const without = (isDark) => isDark ? closedOf(grey, h, w) : negative(closedOf(negative(grey), h, w));
  const isEven = papers[0].every((value) => value === papers[0][0]);
  const both = isEven ? [] : [without(false), without(true)];
  const dark = grey.map((value, i) => Math.max(
    Math.min(papers[0][i] - value, isEven ? 1 : both[1][i] - value), 0));
  const pale = grey.map((value, i) => Math.max(
    Math.min(value - papers[0][i], isEven ? 1 : value - both[0][i]), 0));
  const isDark = sumOfSquares(dark) > sumOfSquares(pale), light = both[+isDark] ?? without(isDark);
  const biases = Float64Array.from(inner(light.map((value, i) => value - grey[i]))).sort();
  const closed = light.map((value) => value - biases[biases.length >> 1]);
  const [before, after] = [papers[0], closed].map((paper) => explainedBy(paper, grey, h, w, 0.05));
  if (after >= before + 0.02 && Math.min(h, w) >= 20) papers.unshift(closed);
  for (const paper of papers) {
    const ink = grey.map((value, i) => (isDark
      ? Math.max(paper[i] - value, 0) / Math.max(paper[i], 0.2) : Math.max(value - paper[i], 0)));
    const strength = meanAboveOtsu(inner(ink));
    if (strength > 0.1) {
      return ink.map((value) => Math.min(Math.max((value / strength - 0.3) / (0.7 - 0.3), 0), 1));
    }
  }
  return null;
}
