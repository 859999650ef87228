/* Fields for files: what was chosen, in the page's own words; see templates/parts/file_field.html. */

export function startFiles() {
  for (const field of document.querySelectorAll("[data-files]")) {
    const input = field.querySelector("input");
    const names = field.querySelector(".file-names");
    const show = () => {
      const chosen = [...input.files].map((file) => file.name);
      const count = chosen.length > 1 ? `${field.dataset.many.replace("{count}", chosen.length)} · ` : "";
      names.textContent = chosen.length ? count + chosen.join(", ") : field.dataset.none;
      input.title = names.textContent;
    };
    field.querySelector(".file-face").hidden = false;
    field.classList.add("is-faced");
    input.addEventListener("change", show);
    show();
  }
}
