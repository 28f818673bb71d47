/* The two charts of the dashboard, in the colours of the admin's theme, and the same numbers as tables. */
"use strict";
(() => {
  const section = document.getElementById("charts");
  if (!section || !window.Chart) return;
  const choice = document.getElementById("hours");
  const language = document.documentElement.lang || undefined;
  const colours = ["#417690", "#c4632a", "#4f8a3c", "#8a5aa8", "#b8901f", "#b0455f"];
  const bright = ["#79aec8", "#f0a36f", "#8fc97b", "#c39be0", "#e6c35c", "#e88aa1"];
  const charts = {};

  function isDark() {
    const theme = document.documentElement.dataset.theme;
    return theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  }

  function style(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function moment(text, hours) {
    const options = hours > 24 ? { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" } : { hour: "2-digit", minute: "2-digit" };
    return new Intl.DateTimeFormat(language, options).format(new Date(text));
  }

  function draw(name, found, labels, hours) {
    const palette = isDark() ? bright : colours;
    const datasets = found.remotes.map((remote, n) => ({
      label: remote.alias,
      data: remote[name],
      borderColor: palette[n % palette.length],
      backgroundColor: palette[n % palette.length] + (name === "rate" ? "cc" : "33"),
      borderWidth: name === "rate" ? 0 : 2,
      fill: name === "lag",
      pointRadius: 2.5,
      pointHoverRadius: 5,
      spanGaps: true,
      tension: 0.25,
      minBarLength: 3,
    }));
    const axis = { grid: { color: style("--hairline-color") }, border: { display: false }, ticks: { color: style("--body-quiet-color"), maxRotation: 0, autoSkipPadding: 18 } };
    const options = {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      locale: language,
      interaction: { mode: "index", intersect: false },
      scales: { x: { ...axis, grid: { display: false } }, y: { ...axis, beginAtZero: true, suggestedMax: 1 } },
      plugins: { legend: { display: found.remotes.length > 1, position: "bottom", labels: { color: style("--body-fg"), boxWidth: 12, boxHeight: 12 } } },
    };
    charts[name]?.destroy();
    charts[name] = new Chart(document.getElementById(`chart-${name}`), { type: name === "rate" ? "bar" : "line", data: { labels, datasets }, options });
    tabulate(name, found, labels);
  }

  function tabulate(name, found, labels) {
    const table = document.getElementById(`table-${name}`);
    const number = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
    const head = table.createTHead();
    head.replaceChildren();
    const titles = head.insertRow();
    for (const text of [table.dataset.moment, ...found.remotes.map((remote) => remote.alias)]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = text;
      titles.append(cell);
    }
    const body = table.tBodies[0] || table.createTBody();
    body.replaceChildren();
    labels.forEach((label, n) => {
      if (found.remotes.every((remote) => remote[name][n] === null)) return;
      const row = body.insertRow();
      row.insertCell().textContent = label;
      for (const remote of found.remotes) {
        const value = remote[name][n];
        row.insertCell().textContent = value === null ? "–" : number.format(value);
      }
    });
  }

  let shown = null;
  function drawAll() {
    if (!shown) return;
    const hours = Number(choice.value);
    const labels = shown.moments.map((text) => moment(text, hours));
    draw("lag", shown, labels, hours);
    draw("rate", shown, labels, hours);
    const empty = shown.remotes.every((remote) => remote.lag.every((value) => value === null) && remote.rate.every((value) => value === null));
    document.getElementById("charts-empty").hidden = !empty;
    section.dataset.drawn = String(Number(section.dataset.drawn || 0) + 1);
  }

  async function load() {
    const url = new URL(section.dataset.series, location.href);
    url.searchParams.set("hours", choice.value);
    const answer = await fetch(url, { credentials: "same-origin", headers: { Accept: "application/json" } }).catch(() => null);
    if (answer?.ok && !answer.redirected) {
      shown = await answer.json();
      drawAll();
    }
  }

  choice.addEventListener("change", load);
  document.addEventListener("synchro:ended", load);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  new MutationObserver(drawAll).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  setInterval(() => {
    if (!document.hidden) load();
  }, 60000);
  load();
})();
