"use strict";

const bars = Array.from({ length: 10 }, (_, digit) => {
  const row = document.createElement("li");
  row.innerHTML = `<b>${digit}</b><span class="track"><span class="bar"></span></span>` +
    `<span class="percent"></span>`;
  $("bars").append(row);
  return { row, bar: row.querySelector(".bar"), percent: row.querySelector(".percent") };
});

const denses = net.steps.filter((step) => step.kind === "dense");
const grids = denses.slice(0, -1).map(({ name, units }) => {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption"), canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  figure.append(caption, canvas);
  $("hidden").append(figure);
  return { name, units, caption, canvas };
});
$("hidden").hidden = grids.length === 0;

const percent = (p) => (p >= 0.9995 ? "100%" : `${(100 * p).toFixed(1)}%`);

function read() {
  waiting = false;
  const alpha = ink.getImageData(0, 0, SIZE, SIZE).data;
  const grey = new Float64Array(SIZE * SIZE);
  for (let i = 0; i < grey.length; i++) grey[i] = alpha[4 * i + 3] / 255;
  const framed = frameDigit(grey, SIZE, SIZE);
  blank = framed === null;
  $("hint").hidden = !blank;
  showSeen(framed ?? new Uint8Array(SIDE * SIDE));
  const { hidden, probabilities } = predict((framed ?? []).length
    ? Array.from(framed, (byte) => byte / 255) : new Array(SIDE * SIDE).fill(0));
  grids.forEach((grid, i) => showUnits(grid, blank ? null : hidden[i]));
  showAnswer(probabilities);
}

function showSeen(framed) {
  const context = $("seen").getContext("2d"), image = context.createImageData(SIDE, SIDE);
  framed.forEach((byte, i) => image.data.set([byte, byte, byte, 255], 4 * i));
  context.putImageData(image, 0, 0);
  $("seen").setAttribute("aria-label", blank ? "No drawing" : "The drawing, scaled to 28 by 28 pixels");
}

/** Draw one cell per unit: blue for positive, orange for negative; opacity by magnitude. */
function showUnits({ name, units, caption, canvas }, values) {
  const columns = Math.min(16, units), cell = 28, gap = 4;
  canvas.width = columns * cell + gap;
  canvas.height = Math.ceil(units / columns) * cell + gap;
  const context = canvas.getContext("2d");
  const active = values ? values.filter((value) => value > 0).length : 0;
  const most = values ? Math.max(...values.map(Math.abs), 1e-9) : 1;
  for (let i = 0; i < units; i++) {
    const value = values ? values[i] / most : 0;
    const x = gap + (i % columns) * cell, y = gap + Math.floor(i / columns) * cell;
    context.globalAlpha = 0.12;
    context.fillStyle = "#808890";
    context.fillRect(x, y, cell - gap, cell - gap);
    context.globalAlpha = Math.abs(value);
    context.fillStyle = value > 0 ? "#1f83e0" : "#e07b1f";
    context.fillRect(x, y, cell - gap, cell - gap);
  }
  caption.textContent = `${name}: ${values ? `${active} of ${units} units above 0` : `${units} units`}`;
  canvas.setAttribute("aria-label", caption.textContent);
}

function showAnswer(probabilities) {
  const best = probabilities.indexOf(Math.max(...probabilities));
  bars.forEach(({ row, bar, percent: text }, digit) => {
    const p = blank ? 0 : probabilities[digit];
    row.classList.toggle("best", !blank && digit === best);
    bar.style.width = `${100 * p}%`;
    text.textContent = blank ? "" : percent(p);
  });
  $("digit").textContent = blank ? "–" : best;
  const how = probabilities[best] < 0.5 ? "low probability:" : "probability:";
  $("sure").textContent = blank ? "No drawing" : `${how} ${percent(probabilities[best])}`;
  say(blank ? "The drawing area is empty" : `Prediction ${best}, ${how} ${percent(probabilities[best])}`, 500);
}

/** Announce text to screen readers, delayed until drawing pauses. */
let speaking = 0;
function say(text, delay = 0) {
  clearTimeout(speaking);
  const speak = () => ($("spoken").textContent = text);
  if (delay) speaking = setTimeout(speak, delay);
  else speak();
}

$("about").textContent =
  `The network ${net.shape} with ${weights.length.toLocaleString("en")} parameters runs on this ` +
  `page. Nothing is downloaded, and your drawing is not uploaded. Created by tinynet ${net.version}.`;
read();
