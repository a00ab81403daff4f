"use strict";

// A port of tinynet.datasets.frame_digit, which explains each step; paper.js has its first part.
const BOX = 20, SIDE = 28;
const roundUp = (value) => Math.floor(value + 0.5 + 1e-6);
const total = (values) => values.reduce((sum, value) => sum + value, 0);

function turn(values, h, w) {
  return values.map((_, i) => values[(i % h) * w + Math.floor(i / h)]);
}

/** Find ruled lines: thin bands of rows in which one run of ink covers half of the width. */
function rulesOf(ink, h, w, rotated) {
  const rules = [], gap = Math.floor(0.03 * w);
  const seen = (y, x) => y >= 0 && y < h && ink[y * w + x] > 0.1;
  const runs = Array.from({ length: h }, (_, y) => {
    let first = -1, last = -gap - 2, length = 0, end = 0;
    for (let x = 0; x < w; x++) {
      if (!seen(y, x) && !(rotated && (seen(y - 1, x) || seen(y + 1, x)))) continue;
      if (x - last > gap + 1) first = x;
      last = x;
      if (x + 1 - first > length) [length, end] = [x + 1 - first, x + 1];
    }
    return { length, end };
  });
  const least = new Float64Array(h).fill(0.5);
  for (const [start, step] of [[0, 1], [h - 1, -1]]) {
    let band = 0;
    while (runs[start + step * band]?.length >= 0.5 * w) band++;
    for (let i = 0; band && i < band + margin(h); i++) {
      const y = start + step * i;
      if (!(runs[y]?.length >= 0.2 * w)) break;
      least[y] = 0.2;
    }
  }
  let band = null;
  for (let y = 0; y <= h; y++) {
    if (y < h && runs[y].length >= least[y] * w) {
      const { length, end } = runs[y];
      band ??= { top: y, bottom: y, left: w, right: 0 };
      band.left = Math.min(band.left, end - length);
      band.right = Math.max(band.right, end);
    } else if (band) {
      band.bottom = y;
      band.edge = band.top === 0 || y === h;
      if (y - band.top - 2 * rotated <= Math.max((band.edge ? 0.2 : 0.06) * h, 1)) rules.push(band);
      band = null;
    }
  }
  return rules;
}

const riseOf = (slope, at, size) => Math.floor(slope * (at - (size >> 1)) + 0.5 + 1e-6);

/** Rotate the image by at most 6 degrees, if lines then are horizontal or vertical. */
function straightened(ink, h, w) {
  const ys = [], xs = [], sum = (counts) => counts.reduce((total, n) => total + n * n, 0);
  ink.forEach((value, i) => {
    if (value > 0.1) ys.push(Math.floor(i / w)), xs.push(i % w);
  });
  let best = 0, most = 0;
  for (let step = -20; step <= 20; step++) {
    const slope = (step * 0.1) / 20, rows = new Float64Array(h + 2 * w);
    const columns = new Float64Array(w + 2 * h);
    ys.forEach((y, i) => {
      rows[y - riseOf(slope, xs[i], w) + w]++;
      columns[xs[i] + riseOf(slope, y, h) + h]++;
    });
    const isLine = Math.max(largest(rows) / w, largest(columns) / h) >= 0.5;
    const score = isLine ? sum(rows) + sum(columns) : 0;
    const flatter = Math.abs(slope) < Math.abs(best);
    if (score > most || (score === most && flatter)) [best, most] = [slope, score];
  }
  for (const slope of [best, -best]) {
    const moved = new Float64Array(h * w);
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        const from = Math.min(Math.max(y + riseOf(slope, x, w), 0), h - 1);
        moved[y * w + x] = ink[from * w + x];
      }
    }
    ink = turn(moved, h, w);
    [h, w] = [w, h];
  }
  return { straight: ink, rotated: best !== 0 };
}

function extentOf(ink, h, w) {
  let top = h, bottom = -1, left = w, right = -1;
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      if (!(ink[i] > 0.1)) continue;
      if (top > y) top = y;
      if (left > x) left = x;
      if (right < x) right = x;
      bottom = y;
    }
  }
  return { top, bottom, left, right };
}

function withoutRules(page, h, w) {
  if (Math.min(h, w) < 20) return page;
  const { straight: ink, rotated } = Math.min(h, w) >= 56
    ? straightened(page, h, w) : { straight: page, rotated: false };
  const turned = turn(ink, h, w);
  let rows = rulesOf(ink, h, w, rotated), columns = rulesOf(turned, w, h, rotated);
  const closed = Math.min(rows.length, columns.length) >= 2;
  const isRule = (n) => ({ left, right }) => closed || right - left >= 0.75 * n ||
    left <= margin(n) || right >= n - margin(n);
  [rows, columns] = [rows.filter(isRule(w)), columns.filter(isRule(h))];
  const clear = (rest, from, rules, height, width) => {
    const has = (y, x) => y >= 0 && y < height && from[y * width + x] > 0.1;
    for (const { top, bottom, left, right, edge } of rules) {
      for (let x = left; x < right; x++) {
        const above = has(top - 1, x), below = has(bottom, x);
        if (closed || edge ? above && below : above || below) continue;
        for (let y = top; y < bottom; y++) rest[y * width + x] = 0;
      }
    }
    return rest;
  };
  while (rows.length + columns.length) {
    const across = turn(clear(ink.slice(), ink, rows, h, w), h, w);
    const rest = turn(clear(across, turned, columns, w, h), w, h);
    const inside = piecesOf(rest, h, w).filter(({ border }) => !border.some(Boolean));
    const [low, high] = [0, 1].map((end) => [0, 1].map((axis) => (end
      ? largest([0, ...inside.map((piece) => piece.high[axis])])
      : smallest(inside.length ? inside.map((piece) => piece.low[axis]) : [0]))));
    if (Math.max(high[0] - low[0], high[1] - low[1]) <= 0.1 * Math.max(h, w)) {
      const isPage = closed || Math.max(rows.length, columns.length) >= 4;
      return isPage && total(rest) < 0.05 * total(ink) ? null : page;
    }
    const longer = (rules, axis) =>
      rules.filter(({ left, right }) => (closed
        ? right - left > high[axis] - low[axis] : left < low[axis] && high[axis] < right));
    const kept = [longer(rows, 1), longer(columns, 0)];
    if (kept[0].length === rows.length && kept[1].length === columns.length) return rest;
    [rows, columns] = kept;
  }
  return page;
}

/** Find connected components of ink: their pixels, mass, and extents [y, x]. */
function piecesOf(ink, h, w) {
  const known = new Uint8Array(h * w), pieces = [];
  for (let start = 0; start < h * w; start++) {
    if (known[start] || !(ink[start] > 0.1)) continue;
    const pixels = [start], low = [h, w], high = [0, 0];
    let mass = 0;
    known[start] = 1;
    for (let next = 0; next < pixels.length; next++) {
      const i = pixels[next], y = Math.floor(i / w), x = i % w;
      mass += ink[i];
      [y, x].forEach((at, axis) => {
        low[axis] = Math.min(low[axis], at);
        high[axis] = Math.max(high[axis], at + 1);
      });
      for (let v = Math.max(y - 1, 0); v < Math.min(y + 2, h); v++) {
        for (let u = Math.max(x - 1, 0); u < Math.min(x + 2, w); u++) {
          const j = v * w + u;
          if (known[j] || !(ink[j] > 0.1)) continue;
          known[j] = 1;
          pixels.push(j);
        }
      }
    }
    const size = [high[0] - low[0], high[1] - low[1]];
    const border = [0, 1].map((axis) => low[axis] === 0 || high[axis] === [h, w][axis]);
    pieces.push({ pixels, mass, low, high, size, border, long: Math.max(...size) });
  }
  return pieces;
}

function isBox({ pixels, low, size: [rows, columns] }, w) {
  const depths = [rows, columns].map((size) => Math.max(roundUp(0.1 * size), 1));
  const sides = [new Set(), new Set(), new Set(), new Set()];
  for (const i of pixels) {
    const y = Math.floor(i / w) - low[0], x = (i % w) - low[1];
    if (y < depths[0]) sides[0].add(x);
    if (y >= rows - depths[0]) sides[1].add(x);
    if (x < depths[1]) sides[2].add(y);
    if (x >= columns - depths[1]) sides[3].add(y);
  }
  const covered = sides.map((side, i) => side.size / (i < 2 ? columns : rows));
  return covered.sort((a, b) => a - b)[1] >= 0.8;
}

/**
 * Remove specks, boxes and ink at the border; null for a texture. Unlike in Python, several digits
 * are not an error.
 */
function digitOnly(ink, h, w) {
  const pieces = piecesOf(ink, h, w), touches = (piece) => piece.border.some(Boolean);
  const heaviest = (list) => list.reduce((best, piece) => (piece.mass > best.mass ? piece : best));
  const isLarge = (p, most) => p.long >= 0.2 * Math.max(h, w) || p.mass >= 0.1 * most;
  const inner = pieces.filter((p) => !touches(p) && p.long >= 0.1 * Math.max(h, w) &&
    isLarge(p, heaviest(pieces).mass));
  let kept = pieces, apart = () => false;
  if (inner.length) {
    const main = heaviest(inner);
    apart = (p) => touches(p) &&
      [0, 1].some((axis) => p.high[axis] <= main.low[axis] || p.low[axis] >= main.high[axis]);
    kept = pieces.filter((p) =>
      !(p.border[0] && 2 * p.size[1] >= w) && !(p.border[1] && 2 * p.size[0] >= h));
  }
  for (const box of [...kept]) {
    const holds = (p) => p.long >= 0.3 * box.long &&
      [0, 1].every((axis) => p.low[axis] > box.low[axis] && p.high[axis] < box.high[axis]);
    if (kept.some(holds) && isBox(box, w)) kept = kept.filter((p) => p !== box);
  }
  kept = kept.filter((p) => !apart(p));
  const most = heaviest(kept), digit = new Float64Array(h * w);
  kept = kept.filter(({ mass, long }) =>
    mass >= (long < 0.2 * most.long ? 0.1 : 0.03) * most.mass);
  const massOf = (list) => total(list.map(({ mass }) => mass)), around = pieces.filter(touches);
  const isMixed = around.length > 6 && (most.mass < 0.5 * massOf(kept) ||
    massOf(around) - heaviest(around).mass > 0.15 * massOf(pieces));
  if (isMixed || kept.length > 1000 || most.long < 0.015 * Math.max(h, w)) return null;
  const extent = [0, 1].map((axis) => largest(kept.map((p) => p.high[axis])) -
    smallest(kept.map((p) => p.low[axis])));
  const gap = (p, q) => Math.max(...[0, 1].map((axis) =>
    Math.max(p.low[axis] - q.high[axis], q.low[axis] - p.high[axis])));
  const near = new Set([most]);  // for...of also visits elements that are added in the loop
  for (const p of near) {
    kept.filter((q) => gap(p, q) <= 0.2 * Math.max(...extent)).forEach((q) => near.add(q));
  }
  for (const p of kept) {
    const second = p.mass >= 0.15 * most.mass && p.long >= 0.4 * most.long;
    if (near.has(p) || second) for (const i of p.pixels) digit[i] = ink[i];
  }
  return digit;
}

function sizeOf(rows, columns, longest) {
  return [rows, columns].map((n) => Math.max(roundUp((longest * n) / Math.max(rows, columns)), 1));
}

function scaled(ink, rows, columns, longest) {
  const [height, width] = sizeOf(rows, columns, longest);
  return shrink(shrink(ink, rows, columns, height), columns, height, width);
}

/** Measure the length of all strokes, relative to the digit, and their width in the result. */
function strokesOf(ink, rows, columns) {
  const [height, width] = sizeOf(rows, columns, 2 * BOX), small = scaled(ink, rows, columns, 2 * BOX);
  const at = (y, x) => (y < 0 || y >= height || x < 0 || x >= width ? 0 : small[y * width + x]);
  let sum = 0, edges = 0;
  for (let y = 0; y <= height; y++) {
    for (let x = 0; x <= width; x++) {
      sum += at(y, x);
      edges += Math.abs(at(y, x) - at(y - 1, x)) + Math.abs(at(y, x) - at(y, x - 1));
    }
  }
  const perimeter = (edges * Math.PI) / 4;
  return { length: perimeter / 2 / (2 * BOX), width: sum / perimeter };
}

/** Widen strokes that would be thinner than those of MNIST; return { ink, rows, columns }. */
function widened(ink, rows, columns, stroke) {
  if (stroke >= 2.2) return { ink, rows, columns };
  const steps = roundUp(((2.4 - stroke) * Math.max(rows, columns)) / BOX / 2);
  for (let i = 0; i < steps; i++) {
    const wide = new Float64Array((rows + 2) * (columns + 2));
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        const value = ink[y * columns + x];
        for (let v = 0; value && v < 3; v++) {
          for (let u = 0; u < 3; u++) {
            const j = (y + v) * (columns + 2) + x + u;
            if ((i % 2 || v === 1 || u === 1) && wide[j] < value) wide[j] = value;
          }
        }
      }
    }
    [ink, rows, columns] = [wide, rows + 2, columns + 2];
  }
  return { ink, rows, columns };
}

/** Resample `h` rows to `count` rows by area averaging, and transpose the result. */
function shrink(ink, h, w, count) {
  const turned = new Float64Array(w * count), mean = new Float64Array(w);
  for (let i = 0; i < count; i++) {
    const begin = (i * h) / count, end = ((i + 1) * h) / count;
    mean.fill(0);
    for (let y = Math.floor(begin); y < Math.min(Math.ceil(end), h); y++) {
      const share = (Math.max(Math.min(end, y + 1) - Math.max(begin, y), 0) * count) / h;
      for (let x = 0; x < w; x++) mean[x] += share * ink[y * w + x];
    }
    for (let x = 0; x < w; x++) turned[x * count + i] = mean[x];
  }
  return turned;
}

/**
 * Convert a grayscale image (h rows, w columns, 0 to 1) to 28 x 28 bytes; null if it shows no digit.
 * The special cases of the Python function, 28 x 28 and more than 560 pixels, do not occur here.
 */
function frameDigit(grey, h, w) {
  const found = inkOf(grey, h, w);
  if (!found) return null;
  const unruled = withoutRules(found, h, w), page = unruled && digitOnly(unruled, h, w);
  if (!page) return null;
  const { top, bottom, left, right } = extentOf(page, h, w);
  const cropped = new Float64Array((bottom - top + 1) * (right - left + 1));
  for (let y = top, i = 0; y <= bottom; y++, i += right - left + 1) {
    cropped.set(page.subarray(y * w + left, y * w + right + 1), i);
  }
  const size = [bottom - top + 1, right - left + 1], stroke = strokesOf(cropped, ...size);
  if (stroke.length > 6) return null;
  const { ink, rows, columns } = widened(cropped, ...size, stroke.width);
  const [height, width] = sizeOf(rows, columns, BOX), box = scaled(ink, rows, columns, BOX);
  const strongest = largest(box);

  let sum = 0, ySum = 0, xSum = 0;
  box.forEach((value, i) => {
    const share = value / strongest;
    box[i] = share;
    sum += share;
    ySum += Math.floor(i / width) * share;
    xSum += (i % width) * share;
  });
  const place = (centre, length) =>
    Math.min(Math.max(SIDE / 2 - roundUp(centre), 0), SIDE - length);
  const y0 = place(ySum / sum, height), x0 = place(xSum / sum, width);
  const framed = new Uint8Array(SIDE * SIDE);
  box.forEach((value, i) => {
    framed[(y0 + Math.floor(i / width)) * SIDE + x0 + (i % width)] = roundUp(255 * value);
  });
  return framed;
}
