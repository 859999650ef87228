/* The application form: the picker becomes a dialog, quantities echo with separators, lines add up. */
import { group, quantityOf } from "./numbers.js";
import { startTables } from "./tables.js";

export function startLines() {
  for (const section of document.querySelectorAll("section[data-picker]")) makeDialog(section);
  for (const table of document.querySelectorAll("table[data-lines]")) startQuantities(table);
}

function makeDialog(section) {
  const dialog = document.createElement("dialog");
  dialog.className = "box";
  dialog.id = section.id;
  dialog.setAttribute("aria-labelledby", section.getAttribute("aria-labelledby"));
  dialog.append(...section.childNodes);
  section.replaceWith(dialog); // Still inside the form, so that the ticks are sent with it.
  const boxes = () => [...dialog.querySelectorAll("input[data-check]")];
  let before = [];
  document.querySelector("[data-picker-open]").addEventListener("click", (event) => {
    event.preventDefault();
    before = boxes().map((box) => box.checked);
    dialog.showModal();
  });
  const restore = () => {
    boxes().forEach((box, index) => (box.checked = before[index]));
    dialog.querySelector("table[data-select]")?.dispatchEvent(new Event("refresh"));
  };
  dialog.addEventListener("cancel", restore);
  for (const closer of dialog.querySelectorAll("[data-picker-cancel]")) {
    closer.addEventListener("click", () => {
      restore();
      dialog.close();
    });
  }
  // Enter confirms the picker; it must not submit the form behind the dialog.
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target.matches("button, a")) return;
    event.preventDefault();
    if (!event.target.matches("[data-picker-filter]")) dialog.querySelector("[data-picker-take]")?.click();
  });
  startFilter(dialog);
  startTables(dialog);
}

function startFilter(dialog) {
  const filter = dialog.querySelector("[data-picker-filter]");
  if (!filter) return;
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const row of dialog.querySelectorAll("tbody tr")) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    dialog.querySelector("table[data-select]")?.dispatchEvent(new Event("refresh"));
  });
}

function startQuantities(table) {
  const inputs = () => [...table.querySelectorAll("[data-quantity]")];
  const total = table.querySelector("[data-total]");
  const refresh = () => {
    let sum = 0n;
    const shared = sharedOut(inputs());
    for (const input of inputs()) sum += echo(input, table.dataset, shared.get(sourceOf(input))) ?? 0n;
    if (total) total.textContent = group(sum);
  };
  table.addEventListener("input", refresh);
  table.addEventListener("change", ({ target }) => {
    const quantity = "quantity" in target.dataset ? quantityOf(target.value) : null;
    if (quantity !== null) target.value = quantity.toString(); // A pasted 1,000 is sent as 1000.
  });
  table.addEventListener("click", (event) => {
    const fill = event.target.closest("[data-fill]");
    const remove = event.target.closest("[data-remove-line]");
    if (fill) {
      const input = document.getElementById(fill.dataset.fill);
      input.value = input.dataset.available;
      input.focus();
    }
    if (remove) removeLine(table, remove.closest("[data-line]"));
    if (fill || remove) refresh();
  });
  refresh();
}

/* Lines from one row of the picker share its available quantity. */
function sourceOf(input) {
  const row = input.closest("[data-line]");
  const choice = row?.querySelector('input[type="hidden"][name$="-choice"]')?.value;
  return choice && choice !== row.dataset.line ? row.dataset.line : "";
}

/* Return the rest of each source after all its lines. */
function sharedOut(inputs) {
  const left = new Map();
  for (const input of inputs) {
    const source = sourceOf(input);
    if (!source) continue;
    const before = left.has(source) ? left.get(source) : (quantityOf(input.dataset.available ?? "") ?? 0n);
    left.set(source, before - (quantityOf(input.value) ?? 0n));
  }
  return left;
}

/* Show what was typed with separators, or what is wrong with it; returns the quantity, or null. */
function echo(input, texts, left) {
  const place = document.getElementById(`${input.id}-echo`);
  const quantity = quantityOf(input.value);
  const available = input.dataset.available ? quantityOf(input.dataset.available) : null;
  let text = "";
  let isWrong = false;
  if (input.value.trim() === "") text = "";
  else if (quantity === null || quantity === 0n) [text, isWrong] = [texts.textWhole, true];
  else if (available !== null && quantity > available) {
    [text, isWrong] = [`${texts.textTooMuch} ${group(available)} ${input.dataset.unit ?? ""}`, true];
  }
  else if (left !== undefined && left < 0n) [text, isWrong] = [texts.textTooMuch, true];
  else if (left !== undefined) text = `= ${group(quantity)} ${input.dataset.unit ?? ""} ${texts.textLeft} ${group(left)}`;
  else text = `= ${group(quantity)} ${input.dataset.unit ?? ""}`;
  // Do not repeat the server's message about the same value.
  if (isWrong && input.getAttribute("aria-invalid") && input.value === input.defaultValue) text = "";
  if (place) {
    place.textContent = text;
    place.classList.toggle("is-wrong", isWrong);
  }
  return quantity;
}

function removeLine(table, line) {
  const form = table.closest("form");
  const box = form.querySelector(`input[data-check][value="${CSS.escape(line.dataset.line)}"]`);
  if (box) {
    box.checked = false;
    box.closest("table").dispatchEvent(new Event("refresh"));
  }
  line.remove();
  const rows = table.querySelectorAll("[data-line]");
  rows.forEach((row, index) => {
    const place = row.querySelector("[data-seq]");
    if (place) place.textContent = index + 1;
  });
  if (rows.length === 0) {
    const empty = form.querySelector("[data-lines-empty]");
    if (empty) {
      table.parentElement.hidden = true;
      empty.hidden = false;
    }
  }
}
