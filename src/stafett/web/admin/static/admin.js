// Adds to pages that work without it. Parts of pages are fetched and put in by htmx, as attributes
// in the templates say; here is what it has no attribute for: dialogs, notices, times in the
// reader's form, copying, one save per form. Text from outside is only ever set as text.
"use strict";

// The reader's own kind of the page's language, such as British English: dates look as there.
const language = navigator.languages.find((each) =>
  each.split("-")[0] === document.documentElement.lang) ?? document.documentElement.lang;
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

// Called for each part of a page that is put in, and may be called for one twice.
function enhance(within) {
  showTimes(within);
  showCopyButtons(within);
  showTicks(within);
  for (const field of within.querySelectorAll("[data-filters]")) field.hidden = false;
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

// --- what htmx is told, and what is done around its answers

// Nothing that stands in a page becomes code: no `hx-on`, no `js:`, no filter of a trigger.
function refuse() { throw new Error("a page holds no code"); }
window.htmx?.registerExtension("no-code", { init: (api) => api.initSecurity(null, refuse, refuse) });
window.htmx?.onLoad(enhance);

const trouble = document.getElementById("trouble");
let said = document.getElementById("list")?.dataset.said;

function tell(words) {
  (document.querySelector("dialog[open]") ?? document.getElementById("main")).prepend(trouble);
  trouble.textContent = words;
  trouble.hidden = false;
}

// An error, and whatever is not the part that was asked for, is told and put nowhere. A form to
// mend (422) goes where its form was.
document.addEventListener("htmx:before:swap", (event) => {
  const { ctx, tasks } = event.detail;
  const failed = ctx.response.status >= 400 && ctx.response.status !== 422;
  const nothing = ctx.select && !tasks.some((task) => task.fragment.childElementCount);
  trouble.hidden = true;
  if (!failed && !nothing) return;
  event.preventDefault();
  const page = new DOMParser().parseFromString(ctx.text, "text/html");
  tell(page.querySelector("#main [role=alert]")?.textContent ?? trouble.dataset.odd);
});

document.addEventListener("htmx:error", (event) => { if (event.detail.ctx) tell(trouble.dataset.lost); });

// A button with `data-busy` says so, and has the focus again after it was disabled meanwhile.
const buttonOf = ({ request, sourceElement }) =>
  request.submitter ?? (sourceElement.querySelector("button") || sourceElement);

document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
  const { busy } = ctx.sourceElement.dataset;
  if (!busy) return;
  ctx.label = buttonOf(ctx).textContent;
  buttonOf(ctx).textContent = busy;
  announce(busy);
});

document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
  if (ctx.label === undefined) return;
  const button = buttonOf(ctx);
  button.textContent = ctx.label;
  setTimeout(() => { if (document.activeElement === document.body) button.focus(); });
});

document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
  if (ctx.target?.id === "answer") showDialog(ctx.target, buttonOf(ctx));
  if (ctx.select === "#list") showList(document.getElementById("list"), ctx.sourceEvent.type === "every");
});

// A list that looks again by itself speaks up when there is news, and takes no focus.
function showList(list, byItself) {
  if (byItself && list.dataset.said === said) return;
  announce(said = list.dataset.said);
  if (!byItself && document.activeElement === document.body) list.focus({ preventScroll: true });
}

// What is put into `#answer` is shown in a dialog. What is asked there is answered in the next one.
function showDialog(answer, asked) {
  const before = asked.closest("dialog");
  const opener = before?.opener ?? asked;
  const dialog = document.createElement("dialog");
  dialog.opener = opener;
  dialog.append(...answer.childNodes);
  enhance(dialog); // htmx tells nothing of parts with `hx-ignore` that stand by themselves
  const heading = dialog.querySelector("h1");
  if (heading) { heading.id = "dialog-title"; dialog.setAttribute("aria-labelledby", "dialog-title"); }
  dialog.addEventListener("click", (event) => {
    if (event.target.closest("[data-close]") || event.target === dialog) { event.preventDefault(); dialog.close(); }
  });
  dialog.addEventListener("close", () => { dialog.remove(); opener.focus(); });
  document.body.append(dialog);
  before?.close();
  dialog.showModal();
}

// --- a list that a stream adds to

const title = document.title;
let unread = 0;

document.addEventListener("htmx:sse:before:message", (event) => {
  const number = CSS.escape(event.detail.message.id);
  if (document.querySelector(`[data-number="${number}"]`)) event.preventDefault(); // it is there already
});

document.addEventListener("htmx:sse:after:message", (event) => {
  event.target.firstElementChild?.classList.add("new");
  announce(event.target.dataset.arrived);
  if (document.hidden) document.title = `(${++unread}) ${title}`;
});

document.addEventListener("visibilitychange", () => {
  if (unread && !document.hidden) { unread = 0; document.title = title; }
});

document.addEventListener("htmx:sse:after:connection", () => { trouble.hidden = true; });
document.addEventListener("htmx:sse:error", (event) => {
  if ([401, 403, 404].includes(event.detail.status)) location.reload(); // signed out, or the bin is gone
  else tell(trouble.dataset.lost);
});

// --- what needs nobody's answer

// A search field with `data-filters` leaves of a list of choices those that have its words.
document.addEventListener("input", ({ target: field }) => {
  if (!field.dataset.filters) return;
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

// A box with `data-ticks` ticks all boxes of that name, and shows whether all are ticked.
function showTicks(within) {
  for (const whole of within.querySelectorAll("[data-ticks]")) {
    const boxes = [...document.getElementsByName(whole.dataset.ticks)];
    const count = boxes.filter((box) => box.checked).length;
    whole.closest("label").hidden = false;
    whole.checked = count === boxes.length;
    whole.indeterminate = count > 0 && count < boxes.length;
  }
}

document.addEventListener("change", ({ target: box }) => {
  if (box.dataset.ticks) {
    for (const each of document.getElementsByName(box.dataset.ticks)) each.checked = box.checked;
  }
  showTicks(document);
});

window.addEventListener("pageshow", () => showTicks(document));

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
