// The one script of the pages. Nothing here is needed to read a page or to send a form: it writes times in the reader's
// zone, keeps lists fresh, asks before what cannot be undone, folds away fields that were not chosen, and lets "/" jump to
// the search box.
"use strict";

const EVERY_MS = 3000;
const SLOWER_MS = 15000;

function two(n) { return String(n).padStart(2, "0"); }

// "2026-11-25 15:06:01" in the reader's zone; the instant in UTC stays in the title.
function local(date) {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function times(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    if (Number.isNaN(date.getTime())) continue;
    element.title = `${element.dateTime.replace("T", " ").replace("Z", "")} UTC`;
    element.textContent = local(date);
  }
}

// What the reader has opened or closed stays so when a part of the page is replaced.
function openOrNot(root) {
  return new Map([...root.querySelectorAll("details[id]")].map((element) => [element.id, element.open]));
}

function isInUse(element) {
  const selection = document.getSelection();
  const selected = selection && !selection.isCollapsed && element.contains(selection.anchorNode);
  const focused = document.activeElement;
  return selected || (focused && element.contains(focused) && /^(INPUT|SELECT|TEXTAREA)$/.test(focused.tagName));
}

// Replaces what has changed; answers whether the page still wants to be kept fresh.
function take(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(old.id);
    if (!next || isInUse(old)) continue;
    times(next);
    const open = openOrNot(old);
    for (const element of next.querySelectorAll("details[id]")) element.open = open.get(element.id) ?? element.open;
    if (next.innerHTML === old.innerHTML) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    old.replaceChildren(...next.childNodes);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }
  return fresh.querySelector("[data-live]") !== null;
}

// Said aloud by screen readers, so only what is new is written.
function say(words, more = "") {
  const place = document.getElementById("live");
  if (!place) return;
  if (place.textContent !== words) place.textContent = words;
  place.title = more;
}

function keepFresh() {
  if (!document.querySelector("[data-live]")) return;
  say("live");
  let pause = EVERY_MS;
  const again = () => setTimeout(look, pause);
  async function look() {
    if (document.hidden) return again();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-Sortie-Live": "1" }, redirect: "manual" });
      if (answer.type === "opaqueredirect") return say("signed out: load the page again");
      if (!answer.ok) throw new Error(String(answer.status));
      if (!take(await answer.text())) return say("");
      pause = EVERY_MS;
      say("live", `as of ${local(new Date()).slice(11)}`);
    } catch {
      pause = SLOWER_MS;
      say("not live: the server does not answer");
    }
    again();
  }
  again();
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

// Of several ways only the fields of the chosen one are shown; without the script all of them stand there.
function onlyChosen() {
  for (const group of document.querySelectorAll("[data-when]")) {
    const [name, value] = group.dataset.when.split("=");
    const chosen = group.closest("form")?.elements[name];
    if (chosen) group.hidden = chosen.value !== value;
  }
}
document.addEventListener("change", onlyChosen);

// A link to something that is folded away unfolds it.
function unfold() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
  target.scrollIntoView({ block: "center" });
}
addEventListener("hashchange", unfold);

// A download that says how far it is. What is too large to hold here is left to the browser, and so is every refusal.
const HOLD_BYTES_MAX = 256 * 1024 * 1024;

async function download(form) {
  const place = form.parentElement.querySelector("[data-progress]");
  const fields = [...new FormData(form)].filter(([, value]) => value !== "");
  const url = `${form.action}?${new URLSearchParams(fields)}`;
  const tell = (words) => { if (place) place.textContent = words; };
  tell("Gathering the evidence…");
  const answer = await fetch(url);
  if (!answer.ok) return form.submit();
  const parts = [];
  let bytes = 0;
  const reader = answer.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    bytes += part.value.length;
    if (bytes > HOLD_BYTES_MAX) { reader.cancel(); return form.submit(); }
    tell(`${(bytes / 1e6).toFixed(1)} MB so far…`);
  }
  const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? "evidence.zip";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
  tell(`${name}, ${(bytes / 1e6).toFixed(1)} MB, is saved. Check it with: sortie audit verify ${name}`);
}

// What takes a while says so.
document.addEventListener("submit", (event) => {
  const words = event.submitter?.dataset.busy;
  if (words && !event.defaultPrevented) event.submitter.textContent = words;
});

document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.dataset.download === undefined) return;
  event.preventDefault();
  download(event.target).catch(() => event.target.submit());
});

document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const box = document.querySelector("input[type=search]");
  if (box) { event.preventDefault(); box.focus(); }
});

times(document);
onlyChosen();
unfold();
keepFresh();
