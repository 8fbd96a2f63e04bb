// Inside a page of the seller's: says how high the page is, and what has happened in it, to whoever
// is around it, after they have said who they are and if the seller has named them.
(() => {
  const allowed = document.querySelector('meta[name="faregate-origins"]').content.split(" ");
  let target = null;
  const tell = (message) => {
    if (target) parent.postMessage({ faregate: message }, target);
  };
  const measure = () => tell({ height: Math.ceil(document.body.getBoundingClientRect().height) });
  const told = document.querySelector('meta[name="faregate-event"]');
  addEventListener("message", (event) => {
    if (event.source !== parent || !allowed.includes(event.origin)) return;
    if (!event.data || event.data.faregate !== "hello" || target) return;
    target = event.origin;
    tell({ ready: true });
    if (told) tell({ event: told.content });
    new ResizeObserver(measure).observe(document.body);
  });
})();
