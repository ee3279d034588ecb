// Draws each element with `data-chart` by uPlot, in the page's colours, language and the reader's
// time zone. What it draws stands in a table beside it, so the drawing itself is for eyes only.
// Loaded after admin.js, which knows the language.
"use strict";

(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const plots = new Map();
  const day = 86_400;

  const when = (form) => {
    const written = new Intl.DateTimeFormat(language, form);
    return (seconds) => written.format(new Date(seconds * 1000));
  };
  const asDay = when({ month: "short", day: "numeric" });
  const asTime = when({ hour: "numeric", minute: "2-digit" });
  const asMoment = when({ month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });
  const plain = new Intl.NumberFormat(language);
  const compact = new Intl.NumberFormat(language, { notation: "compact" });
  const measure = (unit, most) => new Intl.NumberFormat(language, {
    style: "unit", unit, unitDisplay: "short", maximumFractionDigits: most,
  });
  const units = [
    [3600, measure("hour", 1)], [60, measure("minute", 1)], [1, measure("second", 1)], [0, null],
  ];
  const milliseconds = measure("millisecond", 0);

  function duration(seconds) {
    if (!seconds) return "0";
    const [size, form] = units.find(([least]) => seconds >= least);
    return form ? form.format(seconds / size) : milliseconds.format(seconds * 1000);
  }

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }

  // Bars stand on each other: a part is drawn as high as itself and all before it, the last first.
  function stacked(series) {
    let below = series[0].values.map(() => 0);
    return series.map((each) => {
      below = each.values.map((value, at) => value + below[at]);
      return below;
    });
  }

  function resting(chart, values) {
    if (chart.bars) return values.reduce((sum, value) => sum + value, 0);
    return values.findLast((value) => value !== null) ?? null;
  }

  function seriesOf(chart, { label, tone, values }) {
    const line = colour(tone);
    const alone = chart.series.length === 1;
    const write = chart.unit === "seconds" ? duration : (value) => plain.format(value);
    return {
      label,
      stroke: line,
      fill: chart.bars ? line : alone && `color-mix(in srgb, ${line} 12%, transparent)`,
      width: chart.bars ? 0 : 2,
      paths: chart.bars ? uPlot.paths.bars({ size: [0.8, 40] }) : undefined,
      points: { show: !chart.bars && isolated(values), size: 5, fill: line, width: 0 },
      value: (_plot, _drawn, _place, at) => {
        const value = at === null ? resting(chart, values) : values[at];
        return value === null ? "-" : write(value);
      },
    };
  }

  // A value with none beside it makes no line; as points they can all be seen.
  function isolated(values) {
    const none = (at) => (values[at] ?? null) === null;
    return values.some((_, at) => !none(at) && none(at - 1) && none(at + 1));
  }

  function options(chart, width) {
    const grid = { stroke: colour("line"), width: 1 };
    const axis = { stroke: colour("quiet"), font: `12px ${getComputedStyle(document.body).fontFamily}`, grid };
    const short = chart.unit === "seconds" ? duration : (value) => compact.format(value);
    const [first, last] = [chart.at[0], chart.at.at(-1) + chart.step];
    const drawn = chart.series.map((each) => seriesOf(chart, each));
    return {
      width,
      height: 180,
      padding: [12, 28, 0, 0],
      series: [
        { label: "", value: (_plot, at) => (at === null ? chart.resting : begins(chart, at)) },
        ...(chart.bars ? drawn.reverse() : drawn),
      ],
      scales: {
        x: { time: true, range: [first, last] },
        y: { range: (_plot, _least, most) => [0, (most || 1) * 1.08] },
      },
      axes: [
        {
          ...axis, grid: { show: false }, ticks: { show: false }, space: 64, size: 28,
          values: (_plot, splits, _axis, _space, step) => splits.map(step >= day ? asDay : atMidnight),
        },
        {
          ...axis, ticks: { show: false }, size: widest, space: 32,
          incrs: chart.unit === "count" ? counted : timed,
          values: (_plot, splits) => splits.map(short),
        },
      ],
      cursor: { y: false, drag: { x: false, y: false }, points: { show: !chart.bars } },
      legend: { live: true, isolate: false },
    };
  }

  // Steps between the lines of a scale: whole numbers; of times such as clocks have.
  const timed = [
    ...[0.001, 0.01, 0.1].flatMap((size) => [1, 2, 5].map((each) => each * size)),
    ...[1, 2, 5, 10, 15, 30], ...[1, 2, 5, 10, 15, 30].map((each) => each * 60),
    ...[1, 2, 6, 12, 24, 48, 120, 240, 480].map((each) => each * 3600),
  ];
  const counted = [...Array(16).keys()].flatMap((power) => [1, 2, 5].map((each) => each * 10 ** power));
  const widest = (_plot, labels) => Math.max(...(labels ?? [""]).map((each) => each.length)) * 7 + 14;
  const begins = (chart, at) => (chart.step >= day ? asDay : asMoment)(at - chart.step / 2);

  function atMidnight(seconds) {
    const at = new Date(seconds * 1000);
    return at.getHours() || at.getMinutes() ? asTime(seconds) : asDay(seconds);
  }

  function draw(place) {
    const chart = JSON.parse(place.dataset.chart);
    const values = chart.bars ? stacked(chart.series).reverse() : chart.series.map((each) => each.values);
    const middles = chart.at.map((since) => since + chart.step / 2);
    plots.set(place, new uPlot(options(chart, place.clientWidth), [middles, ...values], place));
    resized.observe(place);
  }

  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const plot = plots.get(target);
      if (plot && target.clientWidth !== plot.width) plot.setSize({ width: target.clientWidth, height: 180 });
    }
  });

  function forget(place) {
    resized.unobserve(place);
    plots.get(place).destroy();
    plots.delete(place);
  }

  function drawNew() {
    for (const place of [...plots.keys()]) if (!place.isConnected) forget(place);
    for (const place of document.querySelectorAll("[data-chart]")) if (!plots.has(place)) draw(place);
  }

  dark.addEventListener("change", () => {
    for (const place of [...plots.keys()]) forget(place);
    drawNew();
  });
  new MutationObserver(drawNew).observe(document.getElementById("main"), { childList: true, subtree: true });
  drawNew();

  // Numbers that nobody sees are not asked for, and a chart that somebody reads stays as it is.
  document.addEventListener("htmx:before:request", (event) => {
    const part = event.target;
    if (!part.matches?.("[data-refreshed]")) return;
    const read = part.id === "charts" && (part.matches(":hover, :focus-within") || part.querySelector("details[open]"));
    if (document.hidden || read) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    for (const part of document.querySelectorAll("[data-refreshed]")) part.dispatchEvent(new Event("every"));
  });
})();
