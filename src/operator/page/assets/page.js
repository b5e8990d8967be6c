// Keeps the page up to date, and says so when it cannot. Without this file the page says the same, as of its loading.
"use strict";
(() => {
  const STALE_MS = 12500; // looked at each second, so that a page without news says so well within 15 s
  const EVERY_MS = 500; // at most so often a page is asked for again
  const AFTER_MS = 400; // a row may be written a moment after its slot was announced
  const FULL_TICKS = 3; // every so many ticks everything is asked for, because durations grow
  const RETRY_MS = 5000; // when events are refused, because enough pages are open

  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const drawer = find("#drawer");
  const isLive = document.body.hasAttribute("data-live");
  document.documentElement.classList.add("scripted");

  // The node's clock, not that of whoever looks at it.
  let base = Number(document.body.dataset.now) - performance.now();
  const now = () => base + performance.now();
  let heard = performance.now();
  let title = document.title;
  let isStale = false;
  // Each part as it came last: one that says the same is left alone.
  const parts = new Map();

  const pad = (number) => String(number).padStart(2, "0");
  const countdown = (ms) => {
    const s = Math.max(0, Math.floor(ms / 1000));
    const hours = Math.floor(s / 3600);
    if (hours >= 48) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
    const rest = `${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}`;
    return hours > 0 ? `${hours}:${rest}` : rest;
  };
  const clock = (ms) => {
    const [weekday, day, month, , time] = new Date(ms).toUTCString().replace(",", "").split(" ");
    return `${weekday} ${Number(day)} ${month}, ${time} UTC`;
  };

  function news() {
    heard = performance.now();
    if (isStale) show(false);
  }

  function show(stale) {
    isStale = stale;
    document.documentElement.classList.toggle("stale", stale);
    const headline = find("#say h1");
    const icon = find("#icon");
    if (stale) {
      const since = `No news since ${new Date(base + heard).toISOString().slice(11, 19)} UTC`;
      headline.dataset.was = headline.textContent;
      headline.textContent = `${since}.`;
      document.title = `${since} · ${title.split(" · ").pop()}`;
      icon.href = "/assets/stale.svg";
    } else {
      if (headline.dataset.was) headline.textContent = headline.dataset.was;
      delete headline.dataset.was;
      document.title = title;
      icon.href = `/assets/${find("#say").dataset.tone}.svg`;
    }
  }

  function beat() {
    const age = Math.round((performance.now() - heard) / 1000);
    if (isLive) {
      find("#age").textContent = isStale ? `no news for ${age} s` : `updated ${age} s ago`;
      if (!isStale && performance.now() - heard > STALE_MS) show(true);
    }
    find("#clock").textContent = clock(now());
    for (const part of all("[data-due]")) part.textContent = countdown(Number(part.dataset.due) - now());
  }

  // What has the focus, so that it has it again when its part was replaced.
  function mark() {
    const at = document.activeElement;
    if (!at || !at.closest("[data-part]")) return null;
    if (at.id) return `#${CSS.escape(at.id)}`;
    const key = at.closest("[data-key]")?.dataset.key;
    if (at.tagName.toLowerCase() === "summary" && key) return `[data-key="${CSS.escape(key)}"] > summary`;
    const href = at.getAttribute("href");
    return href ? `#${CSS.escape(at.closest("[data-part]").id)} a[href="${CSS.escape(href)}"]` : null;
  }

  // Rows keep the places that they had when the page was loaded; new ones come last.
  function keepOrder(before, after) {
    const name = (row) => find("a", row).getAttribute("href");
    const body = find("tbody", after);
    if (!body) return;
    const places = new Map(all("tbody tr", before).map((row, place) => [name(row), place]));
    const place = (row) => places.get(name(row)) ?? places.size;
    const rows = all("tr", body);
    body.append(...rows.sort((a, b) => place(a) - place(b)));
  }

  function replace(text) {
    const next = new DOMParser().parseFromString(text, "text/html");
    if (!find("#say", next)) return;
    const focus = mark();
    for (const part of all("[data-part]")) {
      const fresh = next.getElementById(part.id);
      if (!fresh || fresh.outerHTML === parts.get(part.id)) continue;
      const html = fresh.outerHTML;
      for (const open of all("details[open][data-key]", part)) {
        find(`details[data-key="${CSS.escape(open.dataset.key)}"]`, fresh)?.setAttribute("open", "");
      }
      if (part.id === "pipelines") keepOrder(part, fresh);
      // A choice that somebody is making is not taken away.
      if (part.id === "slots" && find("select:focus", part)) continue;
      parts.set(part.id, html);
      part.replaceWith(document.importNode(fresh, true));
    }
    base = Number(next.body.dataset.now) - performance.now();
    title = next.title;
    show(false);
    if (focus) find(focus)?.focus({ preventScroll: true });
    beat();
  }

  let asked = 0;
  let waiting = 0;
  let isAsking = false;
  // `ms`: not before then. Of several wishes the earliest is kept.
  function refresh(ms = 0) {
    const at = Math.max(performance.now() + ms, asked + EVERY_MS);
    if (waiting && waiting <= at) return;
    waiting = at;
    setTimeout(() => {
      if (waiting !== at) return;
      waiting = 0;
      load();
    }, at - performance.now());
  }

  async function load() {
    if (isAsking) return refresh();
    isAsking = true;
    asked = performance.now();
    try {
      const answer = await fetch(location.href, { signal: AbortSignal.timeout(10000) });
      const text = await answer.text();
      if (answer.ok) {
        replace(text);
        news();
      }
    } catch {
      // The next event or tick asks again; if none comes, the page says so.
    }
    isAsking = false;
  }

  function listen() {
    const events = new EventSource("/events");
    let ticks = 0;
    const changed = () => {
      news();
      refresh();
      setTimeout(() => refresh(), AFTER_MS);
    };
    events.addEventListener("slot", changed);
    events.addEventListener("needs", changed);
    events.addEventListener("tick", () => {
      news();
      ticks += 1;
      if (ticks % FULL_TICKS === 0) refresh();
    });
    events.addEventListener("error", () => {
      if (events.readyState !== EventSource.CLOSED) return;
      // Refused: the page is asked for instead, more rarely.
      setTimeout(() => {
        refresh();
        listen();
      }, RETRY_MS);
    });
  }

  async function openDrawer(address) {
    try {
      const answer = await fetch(address, { signal: AbortSignal.timeout(10000) });
      const story = find("#story", new DOMParser().parseFromString(await answer.text(), "text/html"));
      if (!story) throw new Error("there is no story");
      const close = document.createElement("button");
      close.type = "button";
      close.className = "x";
      close.textContent = "Close";
      close.addEventListener("click", () => drawer.close());
      drawer.replaceChildren(close, document.importNode(story, true));
      drawer.scrollTop = 0;
      if (!drawer.open) drawer.showModal();
    } catch {
      // The page of the slot says what is the matter.
      location.assign(address);
    }
  }

  async function choose(address) {
    history.pushState(null, "", address);
    asked = 0;
    await load();
  }

  document.addEventListener("click", (event) => {
    if (event.target === drawer) return drawer.close();
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest("a[href*='/slots/'], a.chip");
    if (!link || !isLive) return;
    event.preventDefault();
    const address = link.getAttribute("href");
    if (!link.classList.contains("chip")) openDrawer(address);
    else choose(address);
  });
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form.by");
    if (!form || !isLive) return;
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    event.target.blur();
    choose(`${new URL(form.action).pathname}${query.size ? `?${query}` : ""}#slots`);
  });
  addEventListener("popstate", () => load());

  setInterval(beat, 1000);
  beat();
  if (isLive) listen();
})();
