"use strict";

// The experiments that break training. Each changes settings and, except for the learning rate,
// restarts the training; undoing one returns to the weights and settings from before.

let broken = null; // { name, button, snapshot }

function undoBreak() {
  if (!broken) return;
  const { name, button, snapshot } = broken;
  broken = null;
  previousRun = trainer.history;
  trainer.restore(snapshot);
  button.textContent = name;
  button.setAttribute("aria-pressed", "false");
  $("effect").textContent = `"${name}" was undone: the weights and settings are those from before.`;
}

function breakIt(button) {
  const again = broken?.button === button;
  undoBreak();
  if (!again) {
    const name = button.textContent, settings = JSON.parse(button.dataset.settings);
    broken = { name, button, snapshot: trainer.snapshot() };
    previousRun = trainer.history;
    Object.assign(trainer.settings, settings);
    if (!("rate" in settings)) trainer.restart();
    button.textContent = `Undo: ${name}`;
    button.setAttribute("aria-pressed", "true");
    $("effect").textContent = button.dataset.effect.replace(/\s+/g, " ");
    start(); // also shows the network
  }
  networkChanged();
}

for (const button of $("breaks").children) button.addEventListener("click", () => breakIt(button));
