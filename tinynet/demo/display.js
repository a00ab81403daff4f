"use strict";

// Names are set as text, since they may contain any characters.
const bars = net.classes.map((name, label) => {
  const row = document.createElement("li");
  row.innerHTML = `<b></b><span class="track"><span class="bar"></span></span>` +
    `<span class="percent"></span>`;
  row.firstChild.textContent = name;
  $("label").append(new Option(name, label));
  $("bars").append(row);
  return { row, bar: row.querySelector(".bar"), percent: row.querySelector(".percent") };
});

let nothing = "", grids = [], untrained = false, drawn = new Uint8Array(784), answer = predict(drawn);

/** Show the layers of the network, which changes when it is trained. */
function showNetwork() {
  const denses = net.steps.filter((step) => step.kind === "dense");
  grids.forEach(({ canvas }) => canvas.parentElement.remove());
  grids = denses.slice(0, -1).map(({ name, units }) => {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    figure.append(caption, canvas);
    $("hidden").append(figure);
    return { name, units, caption, canvas };
  });
  $("hidden").hidden = grids.length === 0;
  $("about").textContent =
    `The network ${[784, ...denses.map(({ units }) => units)].join("-")} runs on this page. ` +
    `Nothing is downloaded, and your drawing is not uploaded. Created by tinynet ${net.version}.`;
}

/** Format a probability. */
const percent = (p) => (p >= 0.9995 ? "100%" : Number.isNaN(p) ? "–" : `${(100 * p).toFixed(1)}%`);

/** Read the drawing, and predict its class. */
function read() {
  waiting = false;
  const alpha = ink.getImageData(0, 0, SIZE, SIZE).data;
  const grey = new Float64Array(SIZE * SIZE);
  for (let i = 0; i < grey.length; i++) grey[i] = alpha[4 * i + 3] / 255;
  const framed = frameDigit(grey, SIZE, SIZE);
  blank = framed === null;
  nothing = largest(grey) ? "Not recognizable" : "No drawing";
  drawn = framed ?? new Uint8Array(784);
  $("hint").hidden = largest(grey) > 0;
  showSeen();
  const { best, how } = showPrediction();
  const empty = largest(grey) ? "The drawing is not recognizable" : "The drawing area is empty";
  say(blank ? empty : `Prediction ${net.classes[best]}, ${how}`, 500);
}

/** Predict the class of the drawing, by the present network. */
function showPrediction() {
  answer = predict(Array.from(drawn, (byte) => byte / 255));
  grids.forEach((grid, i) => showUnits(grid, blank ? null : answer.hidden[i]));
  return showAnswer(answer.probabilities);
}

function showSeen() {
  const context = $("seen").getContext("2d"), image = context.createImageData(28, 28);
  drawn.forEach((byte, i) => image.data.set([byte, byte, byte, 255], 4 * i));
  context.putImageData(image, 0, 0);
  const label = blank ? nothing : "The drawing, scaled to 28 by 28 pixels";
  $("seen").setAttribute("aria-label", label);
}

/** Draw one cell per unit: blue for positive, orange for negative; opacity by magnitude. */
function showUnits({ name, units, caption, canvas }, values) {
  const columns = Math.min(16, units), cell = 28, gap = 4;
  canvas.width = columns * cell + gap;
  canvas.height = Math.ceil(units / columns) * cell + gap;
  const context = canvas.getContext("2d");
  const active = values ? values.filter((value) => value > 0).length : 0;
  const largest = values ? Math.max(...values.map(Math.abs), 1e-9) : 1;
  for (let i = 0; i < units; i++) {
    const value = values ? values[i] / largest : 0;
    const x = gap + (i % columns) * cell, y = gap + Math.floor(i / columns) * cell;
    context.globalAlpha = 0.12;
    context.fillStyle = "#808890";
    context.fillRect(x, y, cell - gap, cell - gap);
    context.globalAlpha = Math.abs(value);
    context.fillStyle = value > 0 ? "#1f83e0" : "#e07b1f";
    context.fillRect(x, y, cell - gap, cell - gap);
  }
  const count = values ? `${active} of ${units} units above 0` : `${units} units`;
  caption.textContent = `${name}: ${count}`;
  canvas.setAttribute("aria-label", caption.textContent);
}

function showAnswer(probabilities) {
  const best = probabilities.indexOf(Math.max(...probabilities));
  bars.forEach(({ row, bar, percent: text }, label) => {
    const p = blank ? 0 : probabilities[label];
    row.classList.toggle("best", !blank && label === best);
    bar.style.width = `${100 * p}%`;
    text.textContent = blank ? "" : percent(p);
  });
  const low = probabilities[best] < 0.5 ? "low probability:" : "probability:";
  const how = best < 0 ? "The probabilities are not numbers" : `${low} ${percent(probabilities[best])}`;
  $("digit").textContent = blank || best < 0 ? "–" : net.classes[best];
  $("sure").textContent = blank ? nothing : untrained ? "The weights are random: press Train" : how;
  return { best, how };
}

/** Announce text to screen readers, delayed until drawing pauses. */
let speaking = 0;
function say(text, delay = 0) {
  clearTimeout(speaking);
  const speak = () => ($("spoken").textContent = text);
  if (delay) speaking = setTimeout(speak, delay);
  else speak();
}

const isNamed = net.classes.some((name) => name.length > 1);
for (const id of ["digit", "bars"]) $(id).classList.toggle("named", isNamed);
if (isNamed) $("title").textContent = "Draw an image";
$("example").hidden = !net.examples.length;
showNetwork();
read();
