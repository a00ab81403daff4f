"use strict";

const $ = (id) => document.getElementById(id);
const pad = $("pad"), SIZE = pad.width, PEN = 32;
const ink = pad.getContext("2d", { willReadFrequently: true });
Object.assign(ink, { lineWidth: PEN, lineCap: "round", lineJoin: "round" });
const pen = { x: SIZE / 2, y: SIZE / 2, down: false };
let stroke = null, waiting = false, blank = true;

function line(from, to) {
  ink.beginPath();
  ink.moveTo(from.x, from.y);
  ink.lineTo(to.x, to.y);
  ink.stroke();
  changed();
}

function clear() {
  ink.clearRect(0, 0, SIZE, SIZE);
  stroke = null;
  changed();
}

/** Schedule a prediction before the next animation frame. */
function changed() {
  if (!waiting) requestAnimationFrame(read);
  waiting = true;
}

function at(event) {
  const field = pad.getBoundingClientRect(), scale = SIZE / field.width;
  return { x: (event.clientX - field.left) * scale, y: (event.clientY - field.top) * scale };
}

pad.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button !== 0) return;
  pad.setPointerCapture(event.pointerId);
  $("pen").hidden = true;
  stroke = at(event);
  line(stroke, stroke);
});
pad.addEventListener("pointermove", (event) => {
  if (!stroke || !event.isPrimary) return;
  const passed = event.getCoalescedEvents?.() ?? [];
  for (const point of (passed.length ? passed : [event]).map(at)) {
    line(stroke, point);
    stroke = point;
  }
});
for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
  pad.addEventListener(end, (event) => {
    if (event.isPrimary) stroke = null;
  });
}

const MOVES = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
};
pad.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key in MOVES) {
    const from = { ...pen }, [dx, dy] = MOVES[event.key], step = SIZE / 28;
    const held = (value) => Math.min(Math.max(value, PEN / 2), SIZE - PEN / 2);
    pen.x = held(pen.x + dx * step);
    pen.y = held(pen.y + dy * step);
    if (pen.down) line(from, pen);
  } else if (event.key === " ") {
    pen.down = !pen.down;
    if (pen.down) line(pen, pen);
    say(pen.down ? "Pen down" : "Pen up");
  } else if (event.key === "Delete" || event.key === "Backspace") {
    pen.down = false;
    clear();
  } else {
    return;
  }
  event.preventDefault();
  showPen();
});
pad.addEventListener("blur", () => ($("pen").hidden = true));
pad.addEventListener("focus", () => {
  if (pad.matches(":focus-visible")) showPen();
});

function showPen() {
  const mark = $("pen");
  mark.hidden = false;
  mark.classList.toggle("down", pen.down);
  mark.style.left = `${(100 * pen.x) / SIZE}%`;
  mark.style.top = `${(100 * pen.y) / SIZE}%`;
}

$("clear").addEventListener("click", clear);

let shown = 0;
$("example").addEventListener("click", () => {
  clear();
  const scale = (0.68 * SIZE) / 100, middle = SIZE / 2;
  const place = ([x, y]) => ({ x: middle + (x - 30) * scale, y: middle + (y - 50) * scale });
  for (const path of net.examples[shown].split("/")) {
    let end = [];
    for (const piece of path.split("|")) {
      const points = [...end, ...piece.trim().split(/\s+/).map((p) => p.split(",").map(Number))];
      end = points.slice(-1); // the next curve begins at the corner
      const curve = smooth(points).map(place);
      for (let i = 1; i < curve.length; i++) line(curve[i - 1], curve[i]);
    }
  }
  shown = (shown + 1) % net.examples.length;
});

/** Interpolate points by a Catmull-Rom spline, returned as a polyline. */
function smooth(points) {
  const chain = [points[0]];
  for (let i = 0; i + 1 < points.length; i++) {
    const [a, b] = [points[i], points[i + 1]];
    const before = points[i - 1] ?? a, after = points[i + 2] ?? b;
    for (let t = 0.125; t <= 1; t += 0.125) {
      chain.push([0, 1].map((k) => {
        const leaving = (b[k] - before[k]) / 2, arriving = (after[k] - a[k]) / 2;
        return (
          (2 * t ** 3 - 3 * t ** 2 + 1) * a[k] + (t ** 3 - 2 * t ** 2 + t) * leaving +
          (3 * t ** 2 - 2 * t ** 3) * b[k] + (t ** 3 - t ** 2) * arriving
        );
      }));
    }
  }
  return chain;
}
