// Keeps a page up to date and lets it be used by keyboard. Every page works without it.
"use strict";
(() => {
  const live = document.body.dataset.live;
  const status = document.getElementById("live");

  // A change: the page is fetched again, and the parts that differ are replaced.
  let busy = false;
  let again = false;
  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok) return;
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const old of document.querySelectorAll("[data-part]")) {
        const fresh = next.querySelector(`[data-part="${old.dataset.part}"]`);
        if (!fresh || fresh.innerHTML === old.innerHTML) continue;
        for (const open of old.querySelectorAll("details[open][id]")) {
          const same = fresh.querySelector(`#${CSS.escape(open.id)}`);
          if (same) same.open = true;
        }
        const focused = old.contains(document.activeElement) ? document.activeElement : null;
        const href = focused && focused.getAttribute("href");
        old.replaceWith(fresh);
        const target = href && [...fresh.querySelectorAll("a")].find((a) => a.getAttribute("href") === href);
        if (target) target.focus({ preventScroll: true });
      }
      if (!next.body.dataset.live && live) location.reload();
    } finally {
      busy = false;
      if (again) { again = false; setTimeout(refresh, 300); }
    }
  }
  if (live) {
    const stream = new EventSource(live);
    stream.addEventListener("open", () => { status.textContent = "live"; status.className = "on"; });
    stream.addEventListener("error", () => { status.textContent = "not connected"; status.className = "off"; });
    stream.addEventListener("change", refresh);
    addEventListener("pagehide", () => stream.close());
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  });

  // Rows by j and k, search by /, up by u.
  function step(by) {
    const links = [...document.querySelectorAll("[data-open]")];
    if (links.length === 0) return;
    const at = links.indexOf(document.activeElement);
    const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1);
    links[next].focus();
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.matches("input, textarea, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else {
      const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
      if (!target) return;
      event.preventDefault();
      if (target.matches("input")) target.focus();
      else target.click();
    }
  });
})();
