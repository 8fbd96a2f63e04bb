// Shows a customer's portal inside a page of yours:
//   <script src="https://billing.example.com/portal/embed.js" data-link="…" async></script>
// or, after that script, <faregate-portal link="…"></faregate-portal>. `link` is the redirect_url of
// POST /v1/billing-portal/sessions. Events of the element: `faregate-ready`, `faregate-top-up`, and
// `faregate-refused` if the portal may not be shown here.
(() => {
  const script = document.currentScript;
  const home = new URL(script.src).origin;
  const PATIENCE = 10000;
  class FaregatePortal extends HTMLElement {
    connectedCallback() {
      if (this.frame) return;
      const link = URL.parse ? URL.parse(this.getAttribute("link")) : new URL(this.getAttribute("link"));
      if (!link || link.origin !== home) {
        console.error("faregate-portal: link must be one of " + home);
        return;
      }
      link.searchParams.set("embed", "1");
      const frame = (this.frame = document.createElement("iframe"));
      frame.title = this.getAttribute("title") || "Billing";
      frame.allow = "payment";
      frame.width = "100%";
      frame.height = "320";
      frame.style.cssText = "display:block;width:100%;border:0";
      frame.addEventListener("load", () => {
        frame.contentWindow.postMessage({ faregate: "hello" }, home);
      });
      this.hear = (event) => {
        if (event.origin !== home || event.source !== frame.contentWindow) return;
        const told = event.data && event.data.faregate;
        if (!told) return;
        if (told.ready) this.tell("ready");
        if (Number.isInteger(told.height)) frame.height = String(Math.min(told.height, 20000));
        if (/^[a-z-]{1,30}$/.test(told.event)) this.tell(told.event);
      };
      addEventListener("message", this.hear);
      this.timer = setTimeout(() => {
        frame.hidden = true;
        frame.style.display = "none";
        this.tell("refused");
      }, Number(this.getAttribute("patience")) || PATIENCE);
      frame.src = link.href;
      this.append(frame);
    }
    disconnectedCallback() {
      clearTimeout(this.timer);
      removeEventListener("message", this.hear);
    }
    tell(name) {
      if (name === "ready") clearTimeout(this.timer);
      this.dispatchEvent(new CustomEvent("faregate-" + name, { bubbles: true }));
    }
  }
  customElements.define("faregate-portal", FaregatePortal);
  if (script.dataset.link) {
    const element = document.createElement("faregate-portal");
    for (const name of ["link", "title", "patience"])
      if (script.dataset[name]) element.setAttribute(name, script.dataset[name]);
    script.after(element);
  }
})();
