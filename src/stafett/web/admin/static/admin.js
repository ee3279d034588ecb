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

// Forms with `data-dialog` show their answer in a dialog instead of on a page of its own.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.dataset.dialog === undefined || event.defaultPrevented) return;
  event.preventDefault();
  const button = event.submitter ?? form.querySelector("button");
  const label = button.textContent;
  button.textContent = form.dataset.busy;
  announce(form.dataset.busy);
  const data = new URLSearchParams(new FormData(form));
  if (button.name) data.set(button.name, button.value);
  let answer;
  try {
    answer = await fetch(form.action, { method: "POST", body: data, credentials: "same-origin" });
  } finally {
    button.textContent = label;
    delete form.dataset.sent;
    for (const each of form.querySelectorAll("button")) each.disabled = false;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  showDialog(page.getElementById("main"), button);
});

function showDialog(content, opener) {
  const dialog = document.createElement("dialog");
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

// Choosing something in a form with `data-reload` shows what belongs to it, keeping what was typed.
document.addEventListener("change", async (event) => {
  const field = event.target.closest("[data-shows]");
  if (!field) return;
  const place = document.getElementById(field.dataset.place);
  const chosen = field.selectedOptions ? field.selectedOptions[0]?.value ?? "" : field.value;
  const answer = await fetch(field.dataset.shows + encodeURIComponent(chosen), { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
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
