/* Tables: 全选 and the number of ticked rows.
   <table data-select> with an <input data-check-all> in its head and <input data-check> in its rows.
   Elements that carry data-needs-choice="ID of the table" are disabled while nothing is ticked;
   those that carry data-choice-count="ID of the table" show how many are. */

export function startTables(within = document) {
  for (const table of within.querySelectorAll("table[data-select]")) startSelect(table);
}

function startSelect(table) {
  if ("started" in table.dataset) return;
  table.dataset.started = "";
  const all = table.querySelector("[data-check-all]");
  const boxes = () => [...table.querySelectorAll("input[data-check]:not(:disabled)")];
  const visible = () => boxes().filter((box) => !box.closest("tr").hidden);
  const refresh = () => {
    const chosen = boxes().filter((box) => box.checked);
    for (const box of boxes()) box.closest("tr").classList.toggle("is-chosen", box.checked);
    if (all) {
      const seen = visible();
      const ticked = seen.filter((box) => box.checked).length;
      all.checked = seen.length > 0 && ticked === seen.length;
      all.indeterminate = ticked > 0 && ticked < seen.length;
    }
    if (!table.id) return;
    for (const element of document.querySelectorAll(`[data-needs-choice="${table.id}"]`)) element.disabled = chosen.length === 0;
    for (const element of document.querySelectorAll(`[data-choice-count="${table.id}"]`)) element.textContent = chosen.length;
  };
  all?.addEventListener("change", () => {
    for (const box of visible()) box.checked = all.checked;
    refresh();
  });
  table.addEventListener("change", refresh);
  table.addEventListener("refresh", refresh);
  table.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (!("rowClick" in table.dataset) || !row || event.target.closest("a, button, input, label, summary")) return;
    const box = row.querySelector("input[data-check]:not(:disabled)");
    if (box) box.click();
  });
  refresh();
}
