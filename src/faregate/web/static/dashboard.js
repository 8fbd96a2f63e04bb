// What pages gain by a script: tables that sort and copy, plots drawn from tables, code that is
// copied by a button, parts that rest while the tab is hidden. Without it, everything is readable.
"use strict";

const COPIED_MS = 1500;

function copyText(button, text) {
  navigator.clipboard.writeText(text).then(() => {
    const words = button.dataset.words || button.textContent;
    button.dataset.words = words;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = words; }, COPIED_MS);
  });
}

function tableText(table) {
  const rows = [...table.querySelectorAll("tr")];
  const cells = (row) => [...row.cells].map((cell) => (cell.dataset.copy ?? cell.innerText)
    .replace(/[↕↑↓]/g, "").replace(/\s+/g, " ").trim());
  return rows.map((row) => cells(row).join("\t")).join("\n");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-copies]");
  if (!button) return;
  const target = document.getElementById(button.dataset.copies);
  copyText(button, target.tagName === "TABLE" ? tableText(target) : target.textContent.trim());
});

document.addEventListener("submit", (event) => {
  const words = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (words && !window.confirm(words)) event.preventDefault();
}, true);

// A part that looks again and again rests while nobody sees it, and while its text is selected.
document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt;
  if (!(part.getAttribute("hx-trigger") || "").startsWith("every")) return;
  const selection = document.getSelection();
  const isRead = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  if (document.hidden || isRead || part.contains(document.activeElement)) event.preventDefault();
});

function makeSortable(table) {
  for (const head of table.querySelectorAll("thead th:not(.no-sort)")) {
    if (head.querySelector("button")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
  }
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function shortNumber(value) {
  return new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 }).format(value);
}

function momentWords(seconds, isHour) {
  const form = isHour ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short" };
  return new Intl.DateTimeFormat("en-GB", { ...form, timeZone: "UTC" }).format(seconds * 1000);
}

// A table in <figure class="chart" data-chart="line|bars">: the first column has data-x (seconds
// since 1970), each further column is a series and its cells have data-value.
function drawChart(figure) {
  // Not the legend, which the plot writes as a table of its own.
  const table = figure.querySelector("table.rows");
  const place = figure.querySelector(".plot");
  if (!table || !place || !window.uPlot) return;
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 2) return;
  const heads = [...table.tHead.rows[0].cells].slice(1).filter((head) => !("noPlot" in head.dataset));
  const columns = heads.map((head) => head.cellIndex);
  const value = (row, column) => {
    const text = row.cells[column].dataset.value;
    return text === undefined || text === "" ? null : Number(text);
  };
  const xs = rows.map((row) => Number(row.cells[0].dataset.x));
  const data = [xs, ...columns.map((column) => rows.map((row) => value(row, column)))];
  const bars = figure.dataset.chart === "bars";
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const series = heads.map((head, index) => ({
    label: head.textContent.replace(/[↕↑↓]/g, "").trim(),
    stroke: colour(`--series-${index + 1}`),
    fill: bars ? colour(`--series-${index + 1}`) : undefined,
    width: 2,
    paths: bars ? window.uPlot.paths.bars({ size: [0.7, 40] }) : undefined,
    points: { show: !bars && rows.length < 3 },
    dash: index === 1 && !bars ? [6, 4] : undefined,
  }));
  place.replaceChildren();
  const unit = figure.dataset.unit || "";
  new window.uPlot({
    width: Math.max(figure.clientWidth, 220),
    height: 250,
    tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { y: false },
    legend: { show: true, live: true },
    scales: { y: { range: (_plot, low, high) => [Math.min(0, low), high === low ? high + 1 : high * 1.05] } },
    axes: [{ ...axis, values: (_plot, ticks) => ticks.map((at) => momentWords(at, figure.dataset.hours)) }, { ...axis, size: 64, values: (_plot, ticks) => ticks.map((tick) => unit + shortNumber(tick)) }],
    series: [{ label: "Time", value: (_plot, at) => at === null || at === undefined ? "" : new Date(at * 1000).toISOString().slice(0, figure.dataset.hours ? 16 : 10).replace("T", " ") },
      ...series.map((one) => ({ ...one, value: (_plot, amount) => amount === null || amount === undefined ? "–" : unit + amount.toLocaleString("en", { maximumFractionDigits: 2 }) }))],
  }, data, place);
  place.setAttribute("aria-hidden", "true");
  const legend = figure.querySelector(".legend");
  if (legend) legend.hidden = true;
}

function dress(root) {
  root.querySelectorAll("table.sortable").forEach(makeSortable);
  root.querySelectorAll("figure.chart").forEach((figure) => {
    drawChart(figure);
    const details = figure.querySelector("details");
    if (details && !figure.dataset.dressed) details.open = false;
    figure.dataset.dressed = "yes";
  });
  root.querySelectorAll("[data-submits]").forEach((field) => {
    field.addEventListener("change", () => field.form.requestSubmit());
  });
}

let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth !== width) document.querySelectorAll("figure.chart").forEach(drawChart);
  width = window.innerWidth;
});
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  document.querySelectorAll("figure.chart").forEach(drawChart);
});
document.addEventListener("htmx:afterSwap", (event) => dress(event.detail.target));
dress(document);
