/* The page's side of the USBKey assistant: open its window, hand over what is to be signed, take the
   signature.  Only the window that we opened, at the assistant's own address, is believed. */

const ADDRESS = document.querySelector('meta[name="usbkey-assistant"]')?.content ?? "";
// The code that the demonstration's assistant was started with; elsewhere the member enters it in the window.
const PAIRING = document.querySelector('meta[name="usbkey-pairing"]')?.content;
const STARTS_WITHIN = 8_000; // milliseconds until the window should have said that it is there
const LOOK = "popup,width=580,height=760";

/* Why nothing was signed; `code` is one of absent, blocked, cancelled, refused. */
export class NotSigned extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

export const assistant = {
  /* Sign {type, challenge, payload} (or a promise of it, asked for meanwhile) and resolve to
     {content, cms}, both in base64.  Call it within a click: browsers open windows only then.
     The origin is the one that the browser reports to the assistant; one given here must be ours. */
  async sign(request) {
    const dialog = openWindow();
    const { content, cms } = await dialog.ask(request, "signed");
    return { content, cms };
  },

  /* Make a key on a USBKey: `issue(csr)` is to answer the certificate (PEM), which is kept beside it. */
  async enrol(request, issue) {
    const dialog = openWindow();
    try {
      const { csr } = await dialog.ask(request, "requested");
      dialog.send({ certificate: await issue(csr) });
      await dialog.wait("stored");
    } catch (error) {
      dialog.close(); // It would wait for a certificate that does not come.
      throw error;
    }
  },
};

function openWindow(name = "usbkey-assistant") {
  const origin = new URL(ADDRESS).origin;
  const opened = window.open(`${ADDRESS}/ui`, name, LOOK);
  if (!opened) throw new NotSigned("blocked");
  const waiting = new Map();
  const said = new Map();

  function hear(event) {
    if (event.source !== opened || event.origin !== origin) return;
    const message = event.data ?? {};
    if (message.assistant === "cancelled" || message.assistant === "refused") return fail(message.assistant);
    const resolve = waiting.get(message.assistant);
    if (resolve) resolve(message);
    else said.set(message.assistant, message);
  }

  let fail = () => {};
  const failed = new Promise((_resolve, reject) => {
    fail = (code) => {
      end();
      reject(new NotSigned(code));
    };
  });
  failed.catch(() => {});
  // A window closed without an answer, for instance a browser's error page.
  const watch = setInterval(() => opened.closed && setTimeout(() => fail("cancelled"), 300), 400);
  window.addEventListener("message", hear);
  const end = () => {
    clearInterval(watch);
    window.removeEventListener("message", hear);
  };

  function wait(name) {
    const arrived = said.has(name)
      ? Promise.resolve(said.get(name))
      : new Promise((resolve) => waiting.set(name, resolve));
    return Promise.race([arrived, failed]).then((message) => {
      if (name === "signed" || name === "stored") end();
      return message;
    });
  }

  return {
    wait,
    close() {
      end();
      opened.close();
    },
    send: (message) => opened.postMessage(message, origin),
    async ask(request, answer) {
      const late = setTimeout(() => fail("absent"), STARTS_WITHIN);
      await wait("ready");
      clearTimeout(late);
      const [{ type, challenge, payload, origin: own, pairing = PAIRING }, now] = await Promise.all([request, siteTime()]);
      if (own && own !== location.origin) throw new NotSigned("refused");
      opened.postMessage({ type, challenge, payload, now, pairing }, origin);
      return wait(answer);
    },
  };
}

/* The site's time in milliseconds, beside which the assistant puts this computer's; null where nothing answers. */
async function siteTime() {
  try {
    const response = await fetch(import.meta.url, { method: "HEAD", cache: "no-store" });
    return Date.parse(response.headers.get("Date")) || null;
  } catch {
    return null;
  }
}

/* The certificate step of signing in: one button, one window, one form sent. */
export function startCertificateStep() {
  const form = document.querySelector("[data-certificate-step]");
  if (!form) return;
  const button = form.querySelector("[data-choose]");
  const { type, challenge, payload } = JSON.parse(form.dataset.certificateStep);
  button.addEventListener("click", async () => {
    button.disabled = true;
    tell(form, "waiting");
    try {
      const signed = await assistant.sign({ type, challenge, payload });
      form.elements.content.value = signed.content;
      form.elements.cms.value = signed.cms;
      form.submit();
    } catch (error) {
      if (!(error instanceof NotSigned)) throw error;
      tell(form, error.code);
      button.disabled = false;
    }
  });
  countDown(form);
}

/* Applying for a certificate by the two codes: they are checked, the key is made, the certificate comes. */
export function startEnrolment() {
  const form = document.querySelector("[data-enrolment]");
  if (!form) return;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!form.reportValidity()) return;
    const button = form.querySelector("[data-choose]");
    button.disabled = true;
    tell(form, "waiting");
    try {
      const begun = post(form, form.dataset.begin, {});
      begun.catch(() => {}); // It is looked at where it is awaited.
      await assistant.enrol(begun, async (csr) => (await post(form, form.action, { csr })).certificate);
      location.assign(form.dataset.done);
    } catch (error) {
      if (error instanceof NotSigned) tell(form, error.code);
      else {
        tell(form, "answer");
        form.querySelector("[data-answer]").textContent = error.message;
      }
      button.disabled = false;
    }
  });
}

/* Renewal: one window makes the new key and waits, another signs for it with the present certificate. */
export function startRenewal() {
  const form = document.querySelector("[data-renewal]");
  if (!form) return;
  const [make, sign] = form.querySelectorAll("button");
  let waiting = null;
  let csr = "";
  let begun = null;
  const fail = (error) => {
    waiting?.close();
    if (error instanceof NotSigned) tell(form, error.code);
    else {
      tell(form, "answer");
      form.querySelector("[data-answer]").textContent = error.message;
    }
    make.disabled = false;
    sign.hidden = true;
  };
  make.addEventListener("click", async () => {
    make.disabled = true;
    tell(form, "waiting");
    try {
      waiting = openWindow("usbkey-assistant-key");
      ({ csr } = await waiting.ask(JSON.parse(form.dataset.renewal), "requested"));
      begun = await post(form, form.dataset.begin, { csr });
      tell(form, "made");
      sign.hidden = false;
      sign.focus();
    } catch (error) {
      fail(error);
    }
  });
  sign.addEventListener("click", async () => {
    try {
      const { content, cms } = await assistant.sign(begun);
      waiting.send(await post(form, form.action, { csr, content, cms }));
      await waiting.wait("stored");
      location.assign(form.dataset.done);
    } catch (error) {
      fail(error);
    }
  });
}

/* Send the fields of a form with more beside them; resolves to the answer, or shows the error. */
async function post(form, address, more) {
  const body = new FormData(form);
  for (const [name, value] of Object.entries(more)) body.set(name, value);
  let answer = {};
  try {
    const response = await fetch(address, { method: "POST", body });
    answer = await response.json();
  } catch { /* Reported below. */ }
  if (answer.error || !(answer.payload || answer.certificate)) throw new Error(answer.error || form.dataset.failed);
  return answer;
}

/* The token of the first sign-in is in the fragment, which is never sent to a server. */
export function startFirstSignIn() {
  const field = document.querySelector("[data-first-token]");
  const token = location.hash.slice(1);
  if (!field || !/^[\w-]{43}$/.test(token)) return;
  field.value = token;
  field.closest(".field-top").hidden = true;
  history.replaceState(null, "", location.pathname);
  document.querySelector("[data-first-password]").focus();
}

/* Show the matching message; the page has all of them, translated. */
function tell(form, code) {
  for (const text of form.querySelectorAll("[data-told]")) text.hidden = text.dataset.told !== code;
}

function countDown(form) {
  const place = document.querySelector("[data-seconds]");
  const until = Date.now() + Number(place.dataset.seconds) * 1000;
  const timer = setInterval(() => {
    const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    place.textContent = String(left);
    if (left) return;
    clearInterval(timer);
    form.querySelector("[data-choose]").disabled = true;
    tell(form, "late");
  }, 500);
}
