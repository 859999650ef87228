/* Sending forms: confirmation of dangerous acts, and the guard against sending twice. */
import { group, quantityOf } from "./numbers.js";

const confirmed = new WeakSet();

/* Repeat what is about to move: one row per line with a quantity. */
function describeLines(form) {
  const rows = [];
  for (const input of form?.querySelectorAll("[data-quantity]") ?? []) {
    const row = input.closest("[data-line]");
    const typed = input.value.trim();
    const quantity = quantityOf(typed);
    if (row && typed) rows.push([`${row.dataset.code} ${row.dataset.name}`, `${quantity === null ? typed : group(quantity)} ${input.dataset.unit ?? ""}`]);
  }
  return rows;
}

function fill(dialog, source, form) {
  const title = dialog.querySelector("#confirm-title");
  title.dataset.usual ??= title.textContent;
  title.textContent = source.dataset.confirmTitle || title.dataset.usual;
  dialog.querySelector("#confirm-text").textContent = source.dataset.confirm;
  const list = dialog.querySelector(".confirm-lines");
  const rows = "confirmLines" in source.dataset ? describeLines(form) : [];
  list.hidden = rows.length === 0;
  list.replaceChildren(
    ...rows.map((cells) => {
      const item = document.createElement("li");
      item.append(...cells.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
      return item;
    }),
  );
  const yes = dialog.querySelector("[data-confirm-yes]");
  yes.dataset.usual ??= yes.textContent;
  yes.textContent = source.dataset.confirmLabel || yes.dataset.usual;
  const isDanger = source.dataset.confirmTone === "danger";
  yes.classList.toggle("btn-danger", isDanger);
  yes.classList.toggle("btn-primary", !isDanger);
}

function ask(source, form, go) {
  const dialog = document.getElementById("confirm-dialog");
  if (!dialog?.showModal) return go();
  fill(dialog, source, form);
  const yes = dialog.querySelector("[data-confirm-yes]");
  const no = dialog.querySelector("[data-confirm-no]");
  yes.onclick = () => {
    dialog.close();
    go();
  };
  no.onclick = () => dialog.close();
  dialog.showModal();
  no.focus();
}

/* Return the first invalid field: marked while typing, or by the server and unchanged since. */
function wrongField(form) {
  const echo = form?.querySelector(".echo.is-wrong");
  if (echo) return document.getElementById(echo.id.replace(/-echo$/, ""));
  return form?.querySelector('[aria-invalid="true"]:not([data-touched])') ?? null;
}

function touch({ target }) {
  const field = target.closest?.(".field, td");
  for (const marked of field?.querySelectorAll('[aria-invalid="true"]') ?? []) marked.dataset.touched = "";
}

/* data-confirm stands on a submit button, on a form, or on a link. */
export function startConfirm() {
  document.addEventListener("input", touch);
  document.addEventListener("change", touch);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-confirm]");
    if (!link || event.defaultPrevented) return;
    event.preventDefault();
    ask(link, null, () => location.assign(link.href));
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const button = event.submitter;
    const source = button?.dataset.confirm ? button : form.dataset.confirm ? form : null;
    if (!source || confirmed.has(form)) {
      confirmed.delete(form);
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    const wrong = wrongField(form);
    if (wrong) {
      wrong.focus();
      return;
    }
    ask(source, form, () => {
      confirmed.add(form);
      form.requestSubmit(button ?? undefined);
    });
  });
}

/* A POST form is sent once; data-resend marks those that may be sent again (downloads). */
export function startGuard() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || "resend" in form.dataset) return;
    if ("sending" in form.dataset) {
      event.preventDefault();
      return;
    }
    form.dataset.sending = "";
    // After the form's data has been collected, so that the name of the button is sent.
    setTimeout(() => {
      for (const button of buttonsOf(form)) {
        button.classList.add("is-sending");
        button.setAttribute("aria-disabled", "true");
      }
    });
  });
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const form of document.querySelectorAll("form[data-sending]")) {
      delete form.dataset.sending;
      for (const button of buttonsOf(form)) {
        button.classList.remove("is-sending");
        button.removeAttribute("aria-disabled");
      }
    }
  });
}

function buttonsOf(form) {
  return [...form.elements].filter((element) => element.type === "submit");
}
