/* The list page: clean addresses, and a page size that takes effect at once.  All of it works without. */

/* Omit empty conditions from the address; the server would redirect there anyway. */
for (const form of document.querySelectorAll("form[data-query]")) {
  form.addEventListener("submit", () => {
    const empty = [...form.elements].filter((element) => element.name && !element.value.trim() && !element.disabled);
    for (const element of empty) element.disabled = true;
    // Enable them again when the page is restored from the browser's cache or the search was stopped.
    const restore = () => empty.forEach((element) => (element.disabled = false));
    setTimeout(restore, 0);
  });
}

for (const form of document.querySelectorAll("form[data-size]")) {
  form.querySelector("select").addEventListener("change", () => form.requestSubmit());
}

/* 全部符合条件: the ticks of this page are then ignored. */
const all = document.querySelector("#bulk-form input[name=all]");
if (all) {
  const boxes = document.querySelectorAll("#list-table input[data-check], #list-table [data-check-all]");
  const follow = () => boxes.forEach((box) => (box.disabled = all.checked));
  all.addEventListener("change", follow);
  follow();
}
