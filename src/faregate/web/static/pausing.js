// A button with data-pauses stops the part of that id from looking again, and lets it go on.
"use strict";

for (const button of document.querySelectorAll("button[data-pauses]")) {
  const part = document.getElementById(button.dataset.pauses);
  button.hidden = false;
  button.addEventListener("click", () => {
    part.dataset.isPaused = part.dataset.isPaused === "yes" ? "no" : "yes";
    button.textContent = part.dataset.isPaused === "yes" ? "Go on" : "Pause";
  });
  part.addEventListener("htmx:beforeRequest", (event) => {
    if (part.dataset.isPaused === "yes") event.preventDefault();
  });
}
