/* Dates: <input data-date> reads YYYY-MM-DD, <input data-datetime> reads YYYY-MM-DD HH:mm:ss; typing stays possible. */

function load(tag, attributes) {
  return new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement(tag), attributes);
    element.addEventListener("load", resolve);
    element.addEventListener("error", reject);
    document.head.prepend(element); // Before our own style sheet, which has the last word.
  });
}

export async function startDates() {
  const inputs = document.querySelectorAll("input[data-date], input[data-datetime]");
  const { flatpickrCss, flatpickrJs, flatpickrZh } = document.body.dataset;
  if (!inputs.length || !flatpickrJs) return;
  try {
    await Promise.all([load("link", { rel: "stylesheet", href: flatpickrCss }), load("script", { src: flatpickrJs })]);
    if (document.documentElement.lang.startsWith("zh")) await load("script", { src: flatpickrZh });
  } catch {
    return; // Without the calendar the inputs still take typed dates.
  }
  for (const input of inputs) start(input);
}

function start(input) {
  const hasTime = "datetime" in input.dataset;
  const isChinese = window.flatpickr.l10ns.zh && document.documentElement.lang.startsWith("zh");
  const calendar = window.flatpickr(input, {
    locale: { ...(isChinese ? window.flatpickr.l10ns.zh : {}), firstDayOfWeek: 1 },
    allowInput: true,
    disableMobile: true,
    dateFormat: hasTime ? "Y-m-d H:i:S" : "Y-m-d",
    enableTime: hasTime,
    enableSeconds: hasTime,
    time_24hr: true,
    minuteIncrement: 1,
    defaultHour: Number(input.dataset.hour ?? 0),
    minDate: input.min || undefined,
    maxDate: input.max || undefined,
  });
  calendar.secondElement?.setAttribute("aria-label", document.body.dataset.textSecond);
}
