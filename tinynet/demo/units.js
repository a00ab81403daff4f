"use strict";

// The units of the hidden layer: their weights as images, and an inspector of one of them. The
// tiles are one stop of the Tab key; the arrow keys move between them.

let tiles = [], chosen = 0;

/** Create one button per unit. */
function makeTiles(units) {
  $("tiles").replaceChildren();
  chosen = Math.min(chosen, units - 1);
  tiles = Array.from({ length: units }, (_, unit) => {
    const button = document.createElement("button"), canvas = document.createElement("canvas");
    Object.assign(button, { type: "button", tabIndex: unit === chosen ? 0 : -1 });
    Object.assign(canvas, { width: 28, height: 28 });
    button.append(canvas);
    button.addEventListener("click", () => choose(unit));
    $("tiles").append(button);
    return { button, canvas };
  });
}

$("tiles").addEventListener("keydown", (event) => {
  const unit = tiles.findIndex(({ button }) => button === document.activeElement);
  const columns = getComputedStyle($("tiles")).gridTemplateColumns.split(" ").length;
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  const to = { Home: 0, End: tiles.length - 1 }[event.key] ?? unit + moves[event.key];
  if (unit < 0 || !tiles[to]) return;
  event.preventDefault();
  tiles[to].button.focus();
});
$("tiles").addEventListener("focusin", (event) => {
  for (const { button } of tiles) button.tabIndex = button === event.target ? 0 : -1;
});

/** Paint the 784 weights of a unit: blue for positive, orange for negative. */
function paintWeights(canvas, kernel, units, unit) {
  const context = canvas.getContext("2d"), image = context.createImageData(28, 28);
  const words = new Uint32Array(image.data.buffer); // a byte each: opacity, blue, green, red
  let largest = 1e-9;
  for (let i = unit; i < kernel.length; i += units) largest = Math.max(largest, Math.abs(kernel[i]));
  for (let i = 0; i < 784; i++) {
    const value = kernel[i * units + unit], opacity = (255 * Math.abs(value)) / largest;
    words[i] = (opacity << 24) | (value > 0 ? 0xe0831f : 0x1f7be0);
  }
  context.putImageData(image, 0, 0);
}

/** Show weights, dead units, and which units the drawing activates. */
function showTiles(trainer) {
  const { units } = trainer.settings, [kernel] = split(trainer.w, units);
  if (tiles.length !== units) makeTiles(units);
  const point = trainer.history.at(-1), hidden = blank || !attached ? null : answer.hidden[0];
  const strongest = hidden ? Math.max(...hidden.map(Math.abs), 1e-9) : 1;
  tiles.forEach(({ button, canvas }, unit) => {
    paintWeights(canvas, kernel, units, unit);
    const dead = point?.dead[unit] ?? false, off = switchedOff.has(unit);
    button.classList.toggle("dead", dead);
    button.classList.toggle("off", off);
    button.setAttribute("aria-pressed", unit === chosen);
    button.style.setProperty("--active", hidden ? Math.max(hidden[unit] / strongest, 0) : 0);
    const notes = [dead && "dead", off && "switched off"].filter(Boolean).map((note) => `, ${note}`);
    button.setAttribute("aria-label", `Unit ${unit + 1}${notes.join("")}`);
  });
  showInspector(trainer);
}

function choose(unit) {
  chosen = unit;
  showTiles(trainer);
  say($("inspector").innerText.replace(/\s+/g, " "));
}

/** Show the weights, pre-activation and outgoing weights of the chosen unit. */
function showInspector({ w, settings: { units, activation: name }, history }) {
  const [kernel, bias, output] = split(w, units), unit = chosen;
  paintWeights($("unit-weights"), kernel, units, unit);
  $("unit-name").textContent = `Unit ${unit + 1}`;
  const z = attached ? answer.preActivations[0][unit] : 0, y = ACTIVATIONS[name][0](z);
  const number = (value) => value.toFixed(3).replace("-", "−");
  $("unit-sum").textContent = !attached
    ? "This network is not trained yet; the prediction above is that of the stored network."
    : blank ? "Draw an image to see the pre-activation of this unit."
    : `Pre-activation ${number(z)} = weighted sum of the pixels ${number(z - bias[unit])} + bias ` +
      `${number(bias[unit])}; ${name} gives ${number(y)}.`;
  const point = history.at(-1);
  const active = `Positive for ${percent(point?.active[unit] ?? 0)} of the held-out images`;
  const dead = "; dead: the slope of its activation is 0 or almost 0 for all of them, so it hardly learns";
  $("unit-active").textContent = point ? active + (point.dead[unit] ? dead : "") + "." : "";
  const weightsOut = output.subarray(unit * 10, unit * 10 + 10);
  const most = Math.max(...weightsOut.map(Math.abs), 1e-9);
  [...$("unit-out").children].forEach((bar, digit) => {
    const value = weightsOut[digit] / most;
    bar.style.setProperty("--value", Math.abs(value));
    bar.classList.toggle("negative", value < 0);
  });
  const largest = weightsOut.indexOf(Math.max(...weightsOut));
  $("unit-out").setAttribute("aria-label",
    `Weights to the ten classes; the largest is that to ${net.classes[largest]}`);
  const off = switchedOff.has(unit);
  $("switch").textContent = off ? "Switch on" : "Switch off";
  $("switch").disabled = !attached;
  $("switch").setAttribute("aria-pressed", off);
}

/** Switch the chosen unit off or on, and measure the accuracy with and without it. */
$("switch").addEventListener("click", () => {
  const measure = (off) => {
    if (off) switchedOff.add(chosen);
    else switchedOff.delete(chosen);
    return trainer.evaluate().accuracy;
  };
  const off = !switchedOff.has(chosen), before = measure(!off), after = measure(off);
  const points = (100 * (after - before)).toFixed(2).replace("-", "−");
  $("cost").textContent = `Unit ${chosen + 1} is switched ${off ? "off" : "on"}: accuracy on the ` +
    `held-out images ${(100 * before).toFixed(2)}% → ${(100 * after).toFixed(2)}% ` +
    `(${points.startsWith("−") ? "" : "+"}${points} percentage points).`;
  showPrediction();
  showTiles(trainer);
});
