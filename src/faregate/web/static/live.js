// Swaps the page's numbers once a second. Rests while the tab is hidden, while the reader has
// paused it, and while text in the numbers is being selected.
"use strict";

const EVERY_MS = 1000;
const PATIENCE_MS = 5000;
const live = document.getElementById("live");
const state = document.getElementById("state");
const button = document.getElementById("pause");
let isPaused = false;
let isBusy = false;

function say(name, words) {
  if (state.dataset.state !== name) {
    state.dataset.state = name;
    state.textContent = words;
  }
}

function isSelecting() {
  const selection = document.getSelection();
  return selection && !selection.isCollapsed && live.contains(selection.anchorNode);
}

async function refresh() {
  if (isBusy || isPaused || document.hidden || isSelecting()) return;
  isBusy = true;
  try {
    const answer = await fetch("/live", { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.status === 401) {
      location.reload();
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const fragment = await answer.text();
    if (isPaused) return;
    const focused = live.contains(document.activeElement);
    if (!focused) live.innerHTML = fragment;
    say("live", "Live");
  } catch {
    if (!isPaused) say("lost", "No connection, trying again");
  } finally {
    isBusy = false;
  }
}

button.hidden = false;
button.addEventListener("click", () => {
  isPaused = !isPaused;
  button.setAttribute("aria-pressed", String(isPaused));
  button.textContent = isPaused ? "Resume" : "Pause";
  say(isPaused ? "paused" : "live", isPaused ? "Paused" : "Live");
  if (!isPaused) refresh();
});
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, EVERY_MS);
