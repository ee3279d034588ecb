// Adds to pages that work without it: times in the reader's form, copying, one save per form,
// test events in a dialog, live lists. Text from outside is only ever set as text.
"use strict";

const language = document.documentElement.lang;
const timeForm = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });

function showTimes(within) {
  for (const time of within.querySelectorAll("time[datetime]:not([title])")) {
    time.title = time.textContent;
    time.textContent = timeForm.format(new Date(time.dateTime));
  }
}

function showCopyButtons(within) {
  if (!navigator.clipboard) return;
  for (const button of within.querySelectorAll("button.copy")) button.hidden = false;
}

function announce(words) {
  document.getElementById("announce").textContent = words;
}

function enhance(within) {
  showTimes(within);
  showCopyButtons(within);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy ?? button.nextElementSibling.textContent);
  const label = button.textContent;
  button.textContent = button.dataset.copied;
  announce(button.dataset.copied);
  setTimeout(() => { button.textContent = label; }, 2000);
});

// A second click on a button that has sent its form does nothing.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) {
    event.preventDefault();
    return;
  }
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
  setTimeout(() => {
    for (const each of form.querySelectorAll("button")) each.disabled = true;
  });
});

window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    for (const each of form.querySelectorAll("button")) each.disabled = false;
  }
});

// Forms, or buttons of one, with `data-dialog` show their answer in a dialog instead of on a page
// of its own.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  const button = event.submitter ?? form.querySelector("button");
  const asks = button?.dataset.dialog === undefined ? form : button;
  if (asks.dataset.dialog === undefined || event.defaultPrevented) return;
  event.preventDefault();
  const label = button.textContent;
  button.textContent = asks.dataset.busy;
  announce(asks.dataset.busy);
  const data = new URLSearchParams(new FormData(form));
  if (button.name) data.set(button.name, button.value);
  let answer;
  try {
    const address = button.getAttribute("formaction") ?? form.action;
    answer = await fetch(address, { method: "POST", body: data, credentials: "same-origin" });
  } finally {
    button.textContent = label;
    delete form.dataset.sent;
    for (const each of form.querySelectorAll("button")) each.disabled = false;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const before = form.closest("dialog");
  showDialog(page.getElementById("main"), before?.opener ?? button);
  before?.close();
});

function showDialog(content, opener) {
  const dialog = document.createElement("dialog");
  dialog.opener = opener;
  dialog.append(...content.childNodes);
  enhance(dialog);
  const heading = dialog.querySelector("h1");
  if (heading) { heading.id = "dialog-title"; dialog.setAttribute("aria-labelledby", "dialog-title"); }
  dialog.addEventListener("click", (event) => {
    if (event.target.closest("[data-close]") || event.target === dialog) { event.preventDefault(); dialog.close(); }
  });
  dialog.addEventListener("close", () => { dialog.remove(); opener.focus(); });
  document.body.append(dialog);
  dialog.showModal();
}

// Choosing something in a field with `data-place` shows there what belongs to it: the place knows
// the address it shows, and the field which part of that it says. Unticking chooses nothing.
document.addEventListener("change", async (event) => {
  const field = event.target.closest("[data-place]");
  if (!field || (field.type === "checkbox" && !field.checked)) return;
  const place = document.getElementById(field.dataset.place);
  const address = new URL(place.dataset.shown, location.href);
  address.searchParams.set(field.dataset.says, field.value);
  const shown = place.dataset.shown = address.href;
  if (!address.searchParams.get("name")) return;
  const answer = await fetch(shown, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (place.dataset.shown !== shown) return; // something else was chosen meanwhile
  place.replaceChildren(...page.getElementById("main").childNodes);
  enhance(place);
});

// A search field with `data-filters` leaves of a list of choices those that have its words.
for (const field of document.querySelectorAll("[data-filters]")) {
  field.hidden = false;
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const group of document.getElementById(field.dataset.filters).children) {
      let some = false;
      for (const choice of group.querySelectorAll("[data-words]")) {
        const found = words.every((word) => choice.dataset.words.includes(word));
        choice.hidden = !found;
        some ||= found;
      }
      group.hidden = !some;
    }
  });
}

// A box with `data-ticks` ticks all boxes of that name, and shows whether all are ticked.
for (const whole of document.querySelectorAll("[data-ticks]")) {
  whole.closest("label").hidden = false;
  const boxes = [...document.getElementsByName(whole.dataset.ticks)];
  const show = () => {
    const count = boxes.filter((box) => box.checked).length;
    whole.checked = count === boxes.length;
    whole.indeterminate = count > 0 && count < boxes.length;
  };
  whole.addEventListener("change", () => { for (const box of boxes) box.checked = whole.checked; });
  for (const box of boxes) box.addEventListener("change", show);
  window.addEventListener("pageshow", show);
}

// A list with `data-live` gets what the stream sends in front, as it comes.
for (const list of document.querySelectorAll("[data-live]")) {
  let unread = 0;
  const title = document.title;
  const source = new EventSource(list.dataset.live);
  source.addEventListener("capture", (event) => {
    const page = new DOMParser().parseFromString(JSON.parse(event.data).html, "text/html");
    for (const item of page.body.children) {
      if (list.querySelector(`[data-number="${CSS.escape(item.dataset.number)}"]`)) continue;
      item.classList.add("new");
      enhance(item);
      list.prepend(item);
    }
    if (document.querySelector("[data-waiting]")) location.assign(list.dataset.first);
    announce(list.dataset.arrived);
    if (document.hidden) document.title = `(${++unread}) ${title}`;
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) { unread = 0; document.title = title; }
  });
}

// The menu of the user closes by Escape and by a click beside it.
const menu = document.querySelector("details.menu");
if (menu) {
  document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

// In a list of captures, up and down (or j and k) go to the next one.
document.addEventListener("keydown", (event) => {
  const down = event.key === "ArrowDown" || event.key === "j";
  if (!down && event.key !== "ArrowUp" && event.key !== "k") return;
  const links = [...document.querySelectorAll(".captures a")];
  const at = links.indexOf(document.activeElement);
  if (at < 0) return;
  event.preventDefault();
  links[Math.max(0, Math.min(links.length - 1, at + (down ? 1 : -1)))].focus();
});

// With nothing chosen on a page of a capture, j and k begin at the capture that is shown.
document.addEventListener("keydown", (event) => {
  if (!["j", "k"].includes(event.key) || document.activeElement !== document.body) return;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  document.querySelector(".captures a[aria-current]")?.focus();
});

enhance(document);
