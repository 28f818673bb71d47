/* Keeps the parts of a page fresh: often while something is at work, seldom else, never while nobody looks. */
"use strict";
(() => {
  const BUSY = 1000, QUIET = 15000;
  const page = document.querySelector("[data-live]");
  if (!page) return;
  const status = document.getElementById("synchro-status");
  const problem = document.getElementById("synchro-problem");
  let busy = page.hasAttribute("data-busy");
  const shown = {};
  let down = {}, asked = 0, timer = 0, begun = false;

  function address() {
    const url = new URL(page.dataset.live, location.href);
    const due = page.hasAttribute("data-ask") && Date.now() - asked >= QUIET - 500;
    // Whether a database answers may take a while to find out, so it is not asked every second.
    if (due || (page.hasAttribute("data-ask") && !busy)) {
      url.searchParams.set("ask", "1");
      asked = Date.now();
    } else {
      // What was found out last still holds in between.
      for (const [alias, why] of Object.entries(down)) url.searchParams.append("down", `${alias}:${why}`);
    }
    return url;
  }

  function replace(id, html) {
    const part = document.getElementById(`part-${id}`);
    // The token of each form is another one each time.
    const words = html.replace(/(csrfmiddlewaretoken" value=")[^"]*/g, "$1");
    if (!part || shown[id] === words) return;
    const active = part.contains(document.activeElement) ? document.activeElement.id : "";
    part.innerHTML = html;
    shown[id] = words;
    // Whoever is at a button with the keyboard stays there.
    if (active) document.getElementById(active)?.focus({ preventScroll: true });
  }

  function tell(words) {
    problem.hidden = !words;
    problem.textContent = words;
  }

  async function refresh() {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      const answer = await fetch(address(), { credentials: "same-origin", headers: { Accept: "application/json" } });
      if (answer.redirected || answer.status === 403) {
        tell(page.dataset.loggedOut);
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      const found = await answer.json();
      for (const [id, html] of Object.entries(found.parts)) {
        if (html) replace(id, html);
      }
      const ended = begun && busy && !found.busy;
      busy = found.busy;
      down = found.down || {};
      begun = true;
      if (status.textContent !== found.status) status.textContent = found.status;
      tell("");
      if (ended) document.dispatchEvent(new CustomEvent("synchro:ended"));
    } catch {
      tell(page.dataset.away);
    }
    timer = setTimeout(refresh, busy ? BUSY : QUIET);
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
  // What a page that is over shows does not change any more.
  if (busy || page.hasAttribute("data-ask")) refresh();
})();
