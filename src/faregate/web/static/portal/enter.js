// Sends the form that opens the portal, once somebody really looks at the page: programs that load
// pages to show what is in them see none.
(() => {
  const form = document.getElementById("enter");
  let isSent = false;
  const send = () => {
    if (isSent || document.visibilityState !== "visible") return;
    isSent = true;
    form.requestSubmit();
  };
  document.addEventListener("visibilitychange", send);
  send();
})();
