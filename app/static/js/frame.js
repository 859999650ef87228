/* The frame: menu, floating panels, theme, business clock. */
const root = document.documentElement;
const narrow = window.matchMedia("(max-width: 991px)");

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    /* Storage may be disabled; then the menu state is not kept. */
  }
}

function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function setDrawer(open, toggle, menu) {
  root.classList.toggle("menu-open", open);
  toggle.setAttribute("aria-expanded", String(open));
  if (open) menu.querySelector("a[aria-current], .menu-link")?.focus({ preventScroll: true });
  else toggle.focus();
}

export function startMenu() {
  const toggle = document.querySelector("[data-menu-toggle]");
  const menu = document.getElementById("menu");
  if (!toggle || !menu) return;
  const isOpen = () => (narrow.matches ? root.classList.contains("menu-open") : !root.classList.contains("menu-closed"));
  toggle.setAttribute("aria-expanded", String(isOpen()));
  toggle.addEventListener("click", (event) => {
    event.preventDefault();
    if (narrow.matches) return setDrawer(!isOpen(), toggle, menu);
    const closed = root.classList.toggle("menu-closed");
    toggle.setAttribute("aria-expanded", String(!closed));
    remember("menu", closed ? "closed" : "open");
  });
  toggle.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      event.preventDefault();
      toggle.click();
    }
  });
  for (const closer of document.querySelectorAll("[data-menu-close]")) {
    closer.addEventListener("click", (event) => {
      event.preventDefault();
      setDrawer(false, toggle, menu);
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && root.classList.contains("menu-open")) setDrawer(false, toggle, menu);
  });
  startGroups(menu);
  showOpenEntry(menu.querySelector(".menu-scroll"), menu.querySelector("[aria-current]"));
}

/* Only the menu scrolls: scrollIntoView would move the page as well. */
function showOpenEntry(list, entry) {
  if (!list || !entry) return;
  const above = entry.getBoundingClientRect().top - list.getBoundingClientRect().top;
  list.scrollTop += above - list.clientHeight / 2;
}

function startGroups(menu) {
  const closed = new Set((recall("menu-groups") || "").split("\n").filter(Boolean));
  for (const group of menu.querySelectorAll("details[data-menu-group]")) {
    const name = group.dataset.menuGroup;
    if (closed.has(name) && !group.querySelector("[aria-current]")) group.open = false;
    group.addEventListener("toggle", () => {
      if (group.open) closed.delete(name);
      else closed.add(name);
      remember("menu-groups", [...closed].join("\n"));
    });
  }
}

export function startPops() {
  const opened = () => document.querySelectorAll("details[data-pop][open]");
  document.addEventListener("click", (event) => {
    for (const pop of opened()) if (!pop.contains(event.target)) pop.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const pop of opened()) {
      pop.open = false;
      pop.querySelector("summary").focus();
    }
  });
}

export function startTheme() {
  const form = document.querySelector("[data-theme-form]");
  if (!form) return;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const theme = root.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
    root.setAttribute("data-bs-theme", theme);
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `theme=${theme}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
    document.dispatchEvent(new CustomEvent("themechange", { detail: theme }));
  });
}

export function startClock() {
  const clock = document.querySelector("time[data-clock]");
  if (!clock) return;
  const match = /^(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)$/.exec(clock.textContent.trim());
  if (!match) return;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number);
  // The text is in the registry's time zone; treat it as UTC and count on.
  const start = Date.UTC(year, month - 1, day, hour, minute, second);
  const began = performance.now();
  const show = () => {
    const now = new Date(start + performance.now() - began);
    clock.textContent = now.toISOString().slice(0, 19).replace("T", " ");
  };
  setInterval(show, 1000);
}

export function startPrint() {
  document.querySelector("[data-print]")?.addEventListener("click", () => window.print());
}
