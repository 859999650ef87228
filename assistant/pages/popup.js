/* The assistant's window.  It believes one sender: the window that opened it, if it is a known site.
   What is signed is laid out by the assistant from the content itself; texts are never read as HTML. */

const ORIGINS = document.body.dataset.origins.split(" ").filter(Boolean);
const CHALLENGE = document.body.dataset.challenge; // of this start of the assistant, for the proof of pairing
const at = (id) => document.getElementById(id);

const MESSAGES = {
  pin_incorrect: (answer) => `PIN码错误，还可尝试 ${answer.tries_left} 次。`,
  pin_locked: () => "PIN码错误次数过多，USBKey已锁定。请联系注册登记管理机构解锁。",
  pin_refused: () => "新PIN码须为6至16位字母或数字，且不得使用出厂PIN码。",
  pin_factory: () => "",
  token_absent: () => "没有读到所选的USBKey，可能已被拔出。请插入后再点“确定”，并确认驱动已启动。",
  clock_wrong: () => "本机时间不正确（见上方说明），没有签名，也没有试PIN码。",
  not_paired: () => "配对码不正确，请核对后重新填写。",
  no_answer: () => "USBKey助手没有应答。请确认助手正在运行，再重新打开本窗口。",
  key_missing: () => "USBKey中没有该证书的密钥，请选择其他证书。",
  key_unusable: () => "该证书不能用于此项操作，请选择其他证书。",
  token: () => "USBKey没有完成操作，请重新插入后再试。",
  unknown_site: () => "该网站不在USBKey助手的信任名单中，请勿继续。",
  unknown_type: () => "该网站请求的操作未知，请勿继续。",
  malformed: () => "该网站请求签名的内容格式不正确，请勿继续。",
  too_large: () => "请求签名的内容过大。",
  window_expired: () => "本窗口已过期，请关闭后在登记系统页面中重新打开。",
};
const GRAVE = ["unknown_site", "unknown_type", "malformed", "too_large", "window_expired"];

let site = "";        // the origin of the page that asked, as the browser told it
let asked = {};       // what it asked
let token = "";       // of this window, given to a paired browser
let type = "";
let memberNo = "";
let choices = [];
let isAnswered = false;

window.addEventListener("message", (event) => {
  if (!window.opener || event.source !== window.opener) return;
  if (!ORIGINS.includes(event.origin)) {
    halt(`网站 ${event.origin} 不在USBKey助手的信任名单中，请勿继续。`);
    return;
  }
  if (!site) take(event.origin, event.data);
  else if (event.origin === site && typeof event.data?.certificate === "string") keep(event.data.certificate);
});
window.addEventListener("pagehide", () => { if (site && !isAnswered) answer({ assistant: "cancelled" }); });

if (window.opener) window.opener.postMessage({ assistant: "ready" }, "*");
else halt("请从全国碳排放权注册登记系统的页面中打开本窗口。");

for (const button of document.querySelectorAll("[data-cancel]")) button.addEventListener("click", () => window.close());
at("pair").addEventListener("submit", async (event) => {
  event.preventDefault();
  const error = await pair(at("code").value);
  if (!error) return hand();
  at("pair-message").hidden = false;
  at("pair-message").textContent = textOf({ error });
  at("code").setAttribute("aria-invalid", "true");
  at("code").focus();
});
at("again").addEventListener("click", async () => showChoices(await call("/keys", {})));
at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  confirm();
});

async function take(origin, request) {
  site = origin;
  const { type, challenge, payload, now = null, pairing } = request ?? {};
  asked = { type, origin, challenge, payload, now };
  if (!window.isSecureContext) return halt("此浏览器不能与USBKey助手配对，请换用当前版本的 Chrome、Edge 或 Firefox。");
  const kept = await ofKeys("readonly", (keys) => keys.get("pairing"));
  if (kept && !(await prove(kept))) return hand();
  if (pairing && !(await pair(pairing))) return hand();
  at("waiting").hidden = true;
  at("pair").hidden = false;
  at("code").focus();
}

/* Open the window with the assistant, which wants to see that this browser has its code; resolve to what was wrong. */
async function prove(key) {
  const proof = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(CHALLENGE));
  const digits = [...new Uint8Array(proof)].map((byte) => byte.toString(16).padStart(2, "0"));
  const opened = await call("/window", { proof: digits.join("") });
  token = opened.token ?? "";
  return opened.error ?? "";
}

/* Try a code; the right one is kept as a key that no page can read out again. */
async function pair(code) {
  const letters = new TextEncoder().encode(String(code).toUpperCase().replace(/[^0-9A-Z]/g, ""));
  if (!letters.length) return "not_paired";
  const key = await crypto.subtle.importKey("raw", letters, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const error = await prove(key);
  if (!error) await ofKeys("readwrite", (keys) => keys.put(key, "pairing"));
  return error;
}

/* Ask the browser's store; where it keeps nothing, the code is asked for each time. */
function ofKeys(mode, act) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("usbkey-assistant");
    opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
    opening.onerror = reject;
    opening.onsuccess = () => {
      try {
        const transaction = opening.result.transaction("keys", mode);
        const found = act(transaction.objectStore("keys"));
        transaction.oncomplete = () => resolve(found.result);
        transaction.onabort = reject;
      } catch (error) {
        reject(error);
      }
    };
  }).catch(() => null);
}

async function hand() {
  at("pair").hidden = true;
  const taken = await call("/request", asked);
  if (taken.error) {
    answer({ assistant: "refused", error: taken.error });
    return halt(textOf(taken));
  }
  show(taken);
}

function show(taken) {
  type = taken.type;
  memberNo = taken.member_no;
  at("title").textContent = taken.title;
  at("origin").textContent = taken.origin;
  at("blocks").replaceChildren(...taken.blocks.map(blockOf));
  at("clock").textContent = taken.clock;
  at("clock").hidden = !taken.clock;
  at("waiting").hidden = true;
  at("ask").hidden = false;
  showChoices(taken);
}

function blockOf(block) {
  const box = element("div", "block");
  if (block.title) box.append(element("div", "block-title", block.title));
  const table = element("table", block.kind === "facts" ? "facts" : "lines");
  if (block.kind === "table") {
    const head = table.createTHead().insertRow();
    for (const name of block.columns) head.append(column(name, "col"));
  }
  const body = table.createTBody();
  for (const values of block.rows) {
    const row = body.insertRow();
    values.forEach((value, n) => {
      row.append(block.kind === "facts" && n === 0 ? column(value, "row") : element("td", "", value));
    });
  }
  box.append(table);
  return box;
}

function column(text, scope) {
  const cell = element("th", "", text);
  cell.scope = scope;
  return cell;
}

/* Certificates to sign with; tokens to make a key on, when a certificate is applied for. */
function showChoices(found) {
  if (found.error) return say(textOf(found));
  say(found.problem ? textOf({ error: found.problem }) : "");
  choices = type === "enrol" ? found.tokens : found.certificates;
  // The member's own come first: others can be ticked, and the registry will refuse them.
  choices = [...choices].sort((one, other) => isForeign(one) - isForeign(other));
  at("list").replaceChildren(...choices.map(choiceOf));
  at("none").hidden = choices.length > 0;
  at("confirm").disabled = false;
  at("soft").hidden = !choices.some((choice) => choice.is_soft);
  at("choices").querySelector("legend").textContent = type === "enrol" ? "请选择USBKey" : "请选择证书";
  at("list").querySelector("input:not(:disabled)")?.focus();
}

function choiceOf(choice, n) {
  const label = element("label", "choice");
  const input = element("input");
  Object.assign(input, { type: "radio", name: "choice", value: String(n), disabled: Boolean(choice.problem) });
  const words = element("span");
  words.append(element("b", "", choice.name));
  if (choice.problem) words.append(element("em", "tag tag-red", { expired: "已过期", not_yet: "尚未生效", locked: "已锁定" }[choice.problem] ?? "不可用"));
  else if (isForeign(choice)) words.append(element("em", "tag tag-amber", "与会员编号不符"));
  if (choice.is_soft) words.append(element("em", "tag tag-red", "软证书"));
  for (const line of choice.lines ?? []) words.append(element("small", "", line));
  label.append(input, words);
  input.addEventListener("change", () => { at("confirm").disabled = false; at("pin").focus(); say(""); askNewPin(false); });
  return label;
}

function isForeign(choice) {
  return Boolean(memberNo && choice.member_no && choice.member_no !== memberNo);
}

async function confirm() {
  const ticked = at("list").querySelector("input:checked");
  const pin = at("pin").value;
  if (!ticked) return say("请先勾选证书。");
  if (!pin) return say("请输入PIN码。", at("pin"));
  const choice = choices[Number(ticked.value)];
  if (!at("new-pins").hidden) return changePin(choice, pin);
  await withBusy(() => (type === "enrol" ? makeKey(choice, pin) : sign(choice, pin)));
}

async function sign(choice, pin) {
  const signed = await call("/sign", { certificate: choice.id, pin });
  if (signed.error) return refuse(signed);
  at("pin").value = "";
  answer({ assistant: "signed", content: signed.content, cms: signed.cms });
  window.close();
}

async function makeKey(choice, pin) {
  const made = await call("/enrol", { token: choice.id, pin });
  if (made.error) return refuse(made);
  answer({ assistant: "requested", csr: made.csr });
  isAnswered = false;
  at("confirm").hidden = true;
  say("密钥已在USBKey中生成，正在等待登记系统签发证书……");
}

async function keep(certificate) {
  const kept = await call("/store", { pin: at("pin").value, certificate });
  if (kept.error) return refuse(kept);
  at("pin").value = "";
  answer({ assistant: "stored" });
  window.close();
}

async function changePin(choice, pin) {
  const fresh = at("new-pin").value;
  if (fresh !== at("new-again").value) return say("两次输入的新PIN码不一致。", at("new-again"));
  await withBusy(async () => {
    const changed = await call("/pin", { token: choice.token ?? choice.id, pin, new_pin: fresh });
    if (changed.error) return refuse(changed);
    askNewPin(false);
    at("pin").value = fresh;
    return type === "enrol" ? makeKey(choice, fresh) : sign(choice, fresh);
  });
}

function refuse(refusal) {
  if (refusal.error === "pin_factory") return askNewPin(true);
  if (GRAVE.includes(refusal.error)) {
    answer({ assistant: "refused", error: refusal.error });
    return halt(textOf(refusal));
  }
  if (refusal.error === "pin_locked") at("confirm").disabled = true;
  if (refusal.error.startsWith("pin_") && refusal.error !== "pin_refused") at("pin").value = "";
  if (refusal.error === "clock_wrong") return say(textOf(refusal));
  return say(textOf(refusal), refusal.error === "pin_refused" ? at("new-pin") : at("pin"));
}

function askNewPin(wanted) {
  at("new-pins").hidden = !wanted;
  at("new-pin").value = at("new-again").value = "";
  if (!wanted) return;
  say("");
  at("new-pins").scrollIntoView({ block: "center" });
  at("new-pin").focus();
}

async function withBusy(work) {
  const button = at("confirm");
  button.disabled = true;
  button.textContent = "正在签名……";
  say("");
  const isLocked = await work().then(() => at("message").textContent.includes("已锁定"));
  button.textContent = "确定";
  button.disabled = isLocked;
}

async function call(path, message) {
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Window": token },
      body: JSON.stringify(message),
    });
    return await response.json();
  } catch {
    return { error: "no_answer" };
  }
}

function answer(message) {
  isAnswered = true;
  window.opener?.postMessage(message, site);
}

function textOf(refusal) {
  return (MESSAGES[refusal.error] ?? (() => `助手没有完成操作（${refusal.error}）。`))(refusal);
}

function say(text, field) {
  at("message").textContent = text;
  at("message").hidden = !text;
  for (const input of document.querySelectorAll(".field input")) input.removeAttribute("aria-invalid");
  if (!field) return;
  field.setAttribute("aria-invalid", "true");
  field.focus();
}

function halt(text) {
  at("ask").hidden = at("pair").hidden = true;
  at("waiting").hidden = false;
  at("waiting").querySelector("h1").textContent = "未签名";
  at("waiting-text").textContent = text;
}

function element(name, style, text) {
  const made = document.createElement(name);
  if (style) made.className = style;
  if (text) made.textContent = text;
  return made;
}
