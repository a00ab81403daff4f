"use strict";

// The curves of loss and accuracy, drawn on two canvases in the colors of the style sheet.

let previousRun = []; // history of the run before the last restart, for comparison

const CURVES = [
  { id: "loss", name: "Loss", train: "loss", test: "testLoss", top: (values) => nice(values) },
  { id: "accuracy", name: "Accuracy", train: "accuracy", test: "testAccuracy", top: () => 1 },
];

/** Return a round number above most of the values; single outliers leave the plot. */
function nice(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const high = sorted[Math.floor(0.98 * (sorted.length - 1))] ?? 1;
  const power = 10 ** Math.floor(Math.log10(Math.max(high, 1e-3)));
  return [1, 2, 4, 8, 10].map((factor) => factor * power).find((top) => top >= high);
}

const small = (value) => `${value < 1e4 ? +value.toPrecision(2) : value.toExponential(1)}`;
const short = (count) => (count < 1000 ? `${count}` : `${+(count / 1000).toPrecision(3)}k`);

function drawCurves(history) {
  for (const curve of CURVES) drawCurve(curve, history);
}

function drawCurve({ id, name, train, test, top }, history) {
  const canvas = $(`curve-${id}`), style = getComputedStyle(canvas);
  const color = (variable) => style.getPropertyValue(variable).trim();
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width) return;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = `12px ${style.fontFamily}`;
  const left = 40, right = width - 8, low = height - 20, high = 8;
  const longest = [history, previousRun].map((run) => run.at(-1)?.seen ?? 0);
  const last = Math.max(...longest, 1000);
  const most = top(history.flatMap((point) => [point[train], point[test]]).filter((v) => v !== null));
  const x = (seen) => left + ((right - left) * seen) / last;
  const y = (value) => low - (low - high) * Math.min(value / most, 1.02);

  context.strokeStyle = color("--line");
  context.fillStyle = color("--soft");
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (let i = 0; i <= 4; i++) {
    const value = (most * i) / 4, at = Math.round(y(value)) + 0.5;
    context.beginPath();
    context.moveTo(left, at);
    context.lineTo(right, at);
    context.stroke();
    const label = id === "accuracy" ? `${Math.round(100 * value)}%` : small(value);
    context.fillText(label, left - 6, at);
  }
  context.textBaseline = "alphabetic";
  context.textAlign = "left";
  context.fillText("0", left, height - 4);
  context.textAlign = "right";
  context.fillText(`${short(last)} images`, right, height - 4);

  const line = (run, key, stroke, dash = []) => {
    context.beginPath();
    context.strokeStyle = stroke;
    context.lineWidth = 2;
    context.setLineDash(dash);
    for (const point of run) {
      if (Number.isFinite(point[key])) context.lineTo(x(point.seen), y(point[key]));
    }
    context.stroke();
  };
  line(previousRun, test, color("--past"));
  line(history, train, color("--warm"), [4, 3]);
  line(history, test, color("--accent"));
  const end = history.at(-1);
  const text = end ? `${name}: ${formatted(end[test], id)} on the held-out images` : `${name}: no data`;
  canvas.setAttribute("aria-label", text);
}

/** Format a loss or an accuracy. */
function formatted(value, id) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return "NaN";
  if (id === "accuracy") return `${(100 * value).toFixed(1)}%`;
  return value < 100 ? value.toFixed(3) : value.toPrecision(3);
}
