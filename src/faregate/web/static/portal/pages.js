// What the portal's pages gain by a script: tables that sort and are copied, a question before
// something is taken away, choices that need no button. Without it, everything works as well.
"use strict";
(() => {
  const SHOWN_MS = 1500;

  for (const table of document.querySelectorAll("table.sortable"))
    for (const head of table.querySelectorAll("thead th:not(.no-sort)")) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
    }

  const textOf = (table) => [...table.querySelectorAll("tr")]
    .map((row) => [...row.cells].map((cell) => cell.innerText.replace(/[↕↑↓]/g, "").replace(/\s+/g, " ").trim()).join("\t"))
    .join("\n");

  for (const button of document.querySelectorAll("[data-copies]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(textOf(document.getElementById(button.dataset.copies)));
      const words = button.textContent;
      button.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = words; }, SHOWN_MS);
    });
  }

  for (const button of document.querySelectorAll("[data-prints]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }

  for (const field of document.querySelectorAll("[data-submits]")) {
    for (const button of field.form.querySelectorAll("button")) button.hidden = true;
    field.addEventListener("change", () => field.form.requestSubmit());
  }

  document.addEventListener("submit", (event) => {
    const words = event.target.dataset.confirm;
    if (words && !window.confirm(words)) event.preventDefault();
  }, true);
})();
