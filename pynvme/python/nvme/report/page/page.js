"use strict";
// Draws the curves of a test when it is opened, hides the tests that are not looked for.
(() => {
  const curves = JSON.parse(document.getElementById("curves").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const palettes = {
    light: ["#1f6fd0", "#d9730d", "#1a8a5a", "#8e44ad", "#c0392b", "#00838f", "#8d6e0c", "#5d4037", "#ad1457", "#455a64", "#558b2f", "#283593"],
    dark: ["#62a8ff", "#ffa657", "#56d39a", "#c99bff", "#ff8a80", "#4dd0e1", "#e3c567", "#bcaaa4", "#f48fb1", "#b0bec5", "#aed581", "#9fa8da"],
  };
  const palette = () => palettes[dark.matches ? "dark" : "light"];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const drawn = new Map();

  const short = (value) => {
    const size = Math.abs(value);
    if (size >= 1e9) return +(value / 1e9).toPrecision(3) + "G";
    if (size >= 1e6) return +(value / 1e6).toPrecision(3) + "M";
    if (size >= 1e3) return +(value / 1e3).toPrecision(3) + "k";
    return String(+value.toPrecision(3));
  };
  const time = (us) => (us >= 1e6 ? +(us / 1e6).toPrecision(3) + " s" : us >= 1e3 ? +(us / 1e3).toPrecision(3) + " ms" : +us.toPrecision(3) + " µs");
  const nines = (place) => +(100 - 100 / 10 ** place).toFixed(Math.max(0, Math.ceil(place) - 2) + 1);

  // Each kind of plot: the points of a worker, and how the axes look.
  const kinds = {
    iops: {
      // A value stands at the end of its interval, counted from the start of the test's first worker.
      points: (w, first) => {
        const late = Math.round(w.started - first);
        return [w.iops_over_time.map((_, i) => late + (i + 1) * w.interval), w.iops_over_time];
      },
      x: { tell: (v) => v + " s", format: (v) => short(v) + " s" },
      y: { tell: (v) => Math.round(v).toLocaleString("en"), format: short, range: (u, low, high) => [0, (high || 1) * 1.08] },
    },
    percentiles: {
      // By the number of nines: what is rare gets as much room as what is common. The maximum, 100 %, is as far as
      // the last point before it.
      points: (w) => {
        const last = Math.max(0, ...w.percentiles.filter(([p]) => p < 100).map(([p]) => p));
        const rows = w.percentiles.map(([p, us]) => [-Math.log10(1 - Math.min(p, last + (100 - last) / 2) / 100), us]);
        return [rows.map((row) => row[0]), rows.map((row) => row[1])];
      },
      x: {
        tell: (v) => nines(v) + " %",
        format: nines,
        splits: (u, axis, low, high) => Array.from({ length: Math.floor(high) + 1 }, (_, i) => i).filter((i) => high < 5 || i % 2 == 0),
      },
      y: { tell: time, format: time, log: true },
    },
    histogram: {
      points: (w) => {
        const all = w.histogram.reduce((sum, bar) => sum + bar[2], 0) || 1;
        const x = w.histogram.map((bar) => Math.max(bar[0], 0.5));
        const y = w.histogram.map((bar) => (100 * bar[2]) / all);
        const end = w.histogram[w.histogram.length - 1];
        return end ? [[...x, end[1]], [...y, 0]] : [x, y];
      },
      x: { tell: time, format: time, log: true },
      y: { tell: (v) => +v.toPrecision(3) + " %", format: (v) => v + " %", range: (u, low, high) => [0, (high || 1) * 1.08] },
      steps: true,
    },
  };

  // Points of several workers on one axis. Between the ends of its bars a histogram keeps its height.
  const join = (tables, steps) => {
    const joined = uPlot.join(tables);
    if (steps) for (const y of joined.slice(1)) for (let i = 0, last = 0; i < y.length; i++) last = y[i] ??= last;
    return joined;
  };

  // Of logarithmic axes, whole decades are enough, unless there are too few of them.
  const decades = (spec, name) => (u, splits) => {
    const { min, max } = u.scales[name];
    return splits.map((v) => (!spec.log || max / min < 20 || Number.isInteger(+Math.log10(v).toFixed(6)) ? v : null));
  };

  const axis = (name, spec, size) => ({
    stroke: css("--soft"), font: "11px system-ui, sans-serif", size, gap: 3, filter: decades(spec, name),
    grid: { stroke: css("--line"), width: 1, filter: decades(spec, name) },
    ticks: { stroke: css("--line"), width: 1, size: 4, filter: decades(spec, name) },
    values: (u, splits) => splits.map((v) => (v == null ? "" : spec.format(v))),
    ...(spec.splits && { splits: spec.splits }),
  });

  const draw = (place, kind, workers) => {
    const series = [];
    const first = Math.min(...workers.map((w) => w.started));
    const before = Math.min(...workers.map((w) => w.before?.started ?? Infinity));
    workers.forEach((worker, number) => {
      const color = palette()[number];
      const [x, y] = kind.points(worker, first);
      if (x.length) series.push({ x, y, label: String(number + 1), stroke: color });
      if (worker.before) {
        const [x, y] = kind.points(worker.before, before);
        if (x.length) series.push({ x, y, label: number + 1 + " before", stroke: color, dash: [4, 4], alpha: 0.6 });
      }
    });
    if (!series.length) {
      place.innerHTML = '<p class="empty">It ran for less than a second.</p>';
      return null;
    }
    const data = join(series.map(({ x, y }) => [x, y]), kind.steps);
    const scale = (spec) => ({ time: false, distr: spec.log ? 3 : 1, ...(spec.range && { range: spec.range }) });
    const plot = new uPlot({
      width: place.clientWidth || 360, height: 250, legend: { live: true }, cursor: { y: false, points: { size: 6 } },
      scales: { x: scale(kind.x), y: scale(kind.y) },
      axes: [axis("x", kind.x, 34), axis("y", kind.y, 58)],
      series: [
        { label: "at", value: (u, v) => (v == null ? "" : kind.x.tell(v)) },
        ...series.map((one) => ({
          label: one.label, stroke: one.stroke, width: 1.6, dash: one.dash, alpha: one.alpha ?? 1, spanGaps: true,
          value: (u, v) => (v == null ? "" : kind.y.tell(v)), points: { show: data[0].length < 3, size: 6, fill: one.stroke },
          ...(kind.steps && { paths: uPlot.paths.stepped({ align: 1 }), ...(!one.dash && { fill: one.stroke + "2a" }) }),
        })),
      ],
    }, data, place);
    place.dataset.points = data[0].length;
    place.dataset.series = series.length;
    return plot;
  };

  const show = (test) => {
    const box = test.querySelector(".plots");
    if (!box || drawn.has(test)) return;
    const workers = curves[box.dataset.test];
    for (const key of test.querySelectorAll(".key")) {
      if (key.dataset.series !== "") key.style.background = palette()[+key.dataset.series];
    }
    const places = [...box.querySelectorAll("[data-plot]")];
    drawn.set(test, places.map((place) => draw(place, kinds[place.dataset.plot], workers)));
  };
  const again = () => {
    for (const [test, plots] of [...drawn]) {
      plots.forEach((plot) => plot?.destroy());
      drawn.delete(test);
      if (test.open) show(test);
    }
  };

  const tests = [...document.querySelectorAll(".test")];
  tests.forEach((test) => test.addEventListener("toggle", () => test.open && show(test)));
  dark.addEventListener("change", again);
  let resized;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(again, 150); });
  // On paper there is nothing to open.
  addEventListener("beforeprint", () => tests.forEach((test) => { test.open = true; show(test); }));

  const search = document.getElementById("search");
  const buttons = [...document.querySelectorAll(".sum")];
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const outcomes = buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.filter);
    for (const test of tests) {
      const found = words.every((word) => test.dataset.name.includes(word));
      test.hidden = !found || (outcomes.length > 0 && !outcomes.includes(test.dataset.outcome));
    }
  };
  search.addEventListener("input", filter);
  buttons.forEach((button) => button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    filter();
  }));

  // What one wants to see first: the test of the address, or what failed, or the curves if there are few.
  const asked = () => {
    const test = document.getElementById(location.hash.slice(1));
    if (test?.classList.contains("test")) { test.open = true; test.scrollIntoView(); }
    return test;
  };
  addEventListener("hashchange", asked);
  if (!asked()) {
    const failed = tests.filter((test) => ["failed", "error"].includes(test.dataset.outcome));
    const loaded = tests.filter((test) => test.querySelector(".plots"));
    for (const test of [...failed.slice(0, 1), ...(loaded.length <= 2 ? loaded : [])]) test.open = true;
  }
})();
