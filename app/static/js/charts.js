/* Charts of shares in per cent, each drawn from the data of the table beneath it, in the page's colours. */

const charts = [];

/* A token of the style sheet as a colour that a canvas understands. */
function colour(token) {
  const probe = document.createElement("span");
  probe.style.color = `var(${token})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function options(data) {
  const ink = colour("--ink-soft"), line = colour("--line");
  const size = getComputedStyle(document.body).fontFamily;
  return {
    animation: false,
    color: [colour("--accent"), colour("--green-bar")],
    textStyle: { fontFamily: size, color: ink },
    legend: { top: 8, right: 16, textStyle: { color: ink } },
    tooltip: { trigger: "axis", axisPointer: { type: "shadow" }, valueFormatter: (value) => (value == null ? "-" : `${value.toFixed(2)}%`),
      backgroundColor: colour("--surface"), borderColor: line, textStyle: { color: colour("--ink") } },
    grid: { top: 44, left: 12, right: 16, bottom: 12, outerBoundsMode: "same" },
    xAxis: { type: "category", data: data.names, axisLine: { lineStyle: { color: line } }, axisTick: { show: false },
      axisLabel: { color: ink, hideOverlap: true, interval: data.names.length > 16 ? "auto" : 0 } },
    yAxis: { type: "value", min: 0, max: 100, axisLabel: { color: ink, formatter: "{value}%" }, splitLine: { lineStyle: { color: line } } },
    series: data.series.map((each) => ({ name: each.name, type: "bar", barMaxWidth: 22, data: each.values })),
  };
}

function draw() {
  for (const [chart, data] of charts) chart.setOption(options(data), true);
}

for (const element of document.querySelectorAll("[data-chart]")) {
  charts.push([window.echarts.init(element), JSON.parse(element.dataset.chart)]);
}
draw();
addEventListener("resize", () => charts.forEach(([chart]) => chart.resize()));
new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
