// Shows the page anew when something is told of what it shows. Without this script it's loaded again every ten seconds.
"use strict";
(() => {
  const main = document.getElementById("main"), live = document.getElementById("live");
  const EVENTS = ["migration-changed", "workload-changed", "step-began", "step-ended", "step-progressed", "request-refused", "reset"];
  const PAUSE = 1500;
  let due = null, busy = false, again = false, last = 0;

  // Texts in times are in UTC: say them in the reader's own zone.
  const localize = (root) => root.querySelectorAll("time[datetime]").forEach((one) => {
    one.textContent = new Date(one.dateTime).toLocaleString();
  });

  // Puts what has changed in the place of what was there, part by part; what is open stays open, the focus stays.
  const swap = (fresh) => {
    const focused = document.activeElement, href = focused.getAttribute("href");
    const held = focused.id ? `[id="${CSS.escape(focused.id)}"]` : href && `a[href="${CSS.escape(href)}"]`;
    const open = new Set([...main.querySelectorAll("details[open][id]")].map((one) => one.id));
    const shut = new Set([...main.querySelectorAll("details:not([open])[id]")].map((one) => one.id));
    fresh.querySelectorAll("details[id]").forEach((one) => {
      if (open.has(one.id)) one.open = true;
      if (shut.has(one.id)) one.open = false;
    });
    localize(fresh);
    for (const part of main.querySelectorAll(":scope > [id]")) {
      const other = fresh.querySelector(`:scope > [id="${CSS.escape(part.id)}"]`);
      if (other && !part.isEqualNode(other)) part.replaceWith(other);
    }
    if (held && !focused.isConnected) main.querySelector(held)?.focus({ preventScroll: true });
  };

  const show = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { redirect: "manual" });
      if (answer.type === "opaqueredirect") { location.reload(); return; }
      if (!answer.ok) { live.textContent = "Not up to date: the gateway can't answer now"; return; }
      const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
      if (found) swap(found);
      live.textContent = "";
    } catch {
      live.textContent = "Not up to date: the gateway can't be reached";
    } finally {
      busy = false;
      last = Date.now();
      if (again) { again = false; soon(); }
    }
  };

  const soon = () => {
    if (due === null) due = setTimeout(() => { due = null; show(); }, Math.max(100, PAUSE - (Date.now() - last)));
  };

  localize(document);
  const heard = new EventSource(main.dataset.hears);
  EVENTS.forEach((name) => heard.addEventListener(name, soon));
  heard.addEventListener("open", () => { live.textContent = ""; soon(); });
  heard.addEventListener("error", () => { live.textContent = "Not up to date: connecting again"; });
  setInterval(() => { if (document.visibilityState === "visible") soon(); }, 30000);
})();
