// Keeps an open page current. Without it the page is whole, as of when it was loaded.
//
// An event says that something is newer; then the very page is fetched again, and its parts marked data-live take
// the places of those shown. What is open stays open, and the focus stays where it is.
"use strict";

const live = document.getElementById("live");
let busy = false;
let again = false;

function ago(from) {
  const seconds = Math.max(0, Math.round((Date.now() - from) / 1000));
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size * 2) return Math.floor(seconds / size) + " " + unit;
  }
  return seconds + " s";
}

function times() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = Date.parse(time.dateTime);
    if (Number.isNaN(at)) continue;
    if (!time.title) time.title = time.textContent;
    const text = at > Date.now() + 1000 ? time.title || time.textContent : ago(at) + " ago";
    if (time.textContent !== text) time.textContent = text;
  }
}

function parts(page) {
  return [...page.querySelectorAll("[data-live]")].map((part) => part.id).join(" ");
}

// What was shown is gone, or there again: the answer says so in its place.
function leave(fresh) {
  const [gone, main] = [document.getElementById("main"), fresh.getElementById("main")];
  if (!gone || !main) return;
  document.title = fresh.title;
  gone.replaceWith(document.adoptNode(main));
  const [meta, next] = [document.getElementById("meta"), fresh.getElementById("meta")];
  if (meta && next) meta.replaceWith(document.adoptNode(next));
  times();
}

function take(fresh) {
  const focused = document.activeElement && document.activeElement.id;
  const open = new Map();
  for (const it of document.querySelectorAll("details[data-key]")) open.set(it.dataset.key, it.open);
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (next) part.replaceWith(document.adoptNode(next));
  }
  for (const it of document.querySelectorAll("details[data-key]")) {
    if (open.has(it.dataset.key)) it.open = open.get(it.dataset.key);
  }
  if (focused && document.activeElement && document.activeElement.id !== focused) {
    const back = document.getElementById(focused);
    if (back) back.focus({ preventScroll: true });
  }
  times();
}

async function refresh(sum) {
  if (busy) {
    again = sum;
    return;
  }
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
    if (answer.ok || answer.status === 404) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (parts(fresh) === parts(document)) take(fresh);
      else leave(fresh);
      live.textContent = "Updated: " + sum;
    }
  } catch (error) {
    live.textContent = "Not connected: what is shown may be old";
  }
  busy = false;
  if (again !== false) {
    const next = again;
    again = false;
    setTimeout(refresh, 500, next);
  }
}

function listen() {
  const events = new EventSource("/events");
  events.addEventListener("view", (event) => {
    const news = JSON.parse(event.data);
    if (live.dataset.lost) {
      delete live.dataset.lost;
      live.textContent = "Connected again";
    }
    const shown = document.getElementById("meta").dataset.revision;
    if (String(news.revision) !== shown) {
      refresh(news.sum);
    } else if (news.passed) {
      const passed = document.querySelector("#meta time");
      if (passed && passed.dateTime !== news.passed) {
        passed.dateTime = news.passed;
        passed.title = news.passed;
        times();
      }
    }
  });
  events.addEventListener("error", () => {
    live.dataset.lost = "1";
    live.textContent = "Not connected: what is shown may be old";
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 10000);
  });
}

times();
setInterval(times, 5000);
listen();
