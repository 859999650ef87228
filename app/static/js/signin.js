/* Sign-in and passwords: another captcha, its sound, and a look at the typed password. */

export function startSignIn() {
  for (const button of document.querySelectorAll("[data-peek]")) {
    button.addEventListener("click", () => {
      const input = document.getElementById(button.dataset.peek);
      const shown = input.type === "password";
      input.type = shown ? "text" : "password";
      button.setAttribute("aria-pressed", String(shown));
      button.querySelector("i").className = shown ? "ti ti-eye-off" : "ti ti-eye";
    });
  }
  const box = document.querySelector("[data-captcha]");
  if (!box) return;
  box.querySelector("[data-captcha-next]")?.addEventListener("click", (event) => {
    event.preventDefault();
    renew(box);
  });
  box.querySelector("[data-captcha-image]")?.addEventListener("click", () => renew(box));
  box.querySelector("[data-captcha-sound]")?.addEventListener("click", (event) => {
    event.preventDefault();
    const silent = box.querySelector("[data-captcha-silent]");
    const sound = new Audio(event.currentTarget.href);
    sound.addEventListener("error", () => (silent.hidden = false));
    sound.play().then(() => (silent.hidden = true), () => {});
  });
}

/* Fetch the sign-in page again: it makes a new captcha. */
async function renew(box) {
  const response = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelector("[data-captcha]");
  if (!fresh) return location.reload();
  for (const part of ["[data-captcha-image]", "[data-captcha-sound]", "[data-captcha-id]"]) {
    const from = fresh.querySelector(part);
    const to = box.querySelector(part);
    if (!from || !to) continue;
    for (const name of ["src", "href", "value"]) if (from.hasAttribute(name)) to.setAttribute(name, from.getAttribute(name));
  }
  const token = page.querySelector("form input[name=csrf_token]");
  const own = box.closest("form").querySelector("input[name=csrf_token]");
  if (token && own) own.value = token.value;
  const answer = box.querySelector("input[name=captcha], input[type=text]");
  answer.value = "";
  answer.focus();
}
